/**
 * How peers behaved so far, kept over restarts: success, failure and latency.
 * @module
 */
import { peerIdFromString } from "@libp2p/peer-id";
import { BoundedMap } from "../../util/mod.ts";
import { readStateFile, writeStateFile } from "../../core/mod.ts";

/** Name of the file in the state directory. */
export const REPUTATION_FILE = "reputation.json";

/** Peers remembered. */
const MAX_PEERS = 1000;
/** How much the latest latency weighs against all before. */
const LATENCY_WEIGHT = 0.3;
/** Counts are halved at this value, so that old failures lose weight. */
const MAX_COUNT = 64;
const VERSION = 1;

/** What is known of one peer. */
export interface PeerRecord {
  succeeded: number;
  failed: number;
  /** Moving average of round trips in milliseconds; null before the first. */
  latencyMs: number | null;
}

/** The records of all peers. */
export class Reputation {
  #records = new BoundedMap<string, PeerRecord>(MAX_PEERS);

  /** What is known of a peer; zeros where nothing is. */
  get(peerId: string): Readonly<PeerRecord> {
    return this.#records.get(peerId) ?? { succeeded: 0, failed: 0, latencyMs: null };
  }

  /** Notes how an exchange with a peer went. */
  note(peerId: string, outcome: { ok: boolean; latencyMs?: number | undefined }): void {
    const old = this.get(peerId);
    const { ok, latencyMs } = outcome;
    const scale = old.succeeded + old.failed >= MAX_COUNT ? 0.5 : 1;
    this.#records.set(peerId, {
      succeeded: Math.floor(old.succeeded * scale) + Number(ok),
      failed: Math.floor(old.failed * scale) + Number(!ok),
      latencyMs: latencyMs === undefined
        ? old.latencyMs
        : old.latencyMs === null
        ? latencyMs
        : old.latencyMs + LATENCY_WEIGHT * (latencyMs - old.latencyMs),
    });
  }

  /**
   * Reads the records of the last run; entries that make no sense are left out.
   *
   * @throws {Error} where the file as a whole cannot be read
   */
  async load(stateDir: string): Promise<void> {
    const file = await readStateFile(`${stateDir}/${REPUTATION_FILE}`);
    if (file === undefined) return;
    const { version, peers } = file as { version?: unknown; peers?: unknown };
    if (version !== VERSION || !Array.isArray(peers)) throw new TypeError("not a reputation file");
    for (const entry of peers.slice(-MAX_PEERS)) {
      const read = readEntry(entry);
      if (read !== null) this.#records.set(...read);
    }
  }

  /**
   * Writes all records.
   *
   * @throws {Error} where the file cannot be written
   */
  async save(stateDir: string): Promise<void> {
    const peers = [...this.#records].map(([id, { succeeded, failed, latencyMs }]) => ({
      id,
      succeeded,
      failed,
      latency_ms: latencyMs === null ? null : Math.round(latencyMs),
    }));
    await writeStateFile(`${stateDir}/${REPUTATION_FILE}`, { version: VERSION, peers });
  }
}

function readEntry(entry: unknown): [string, PeerRecord] | null {
  const { id, succeeded, failed, latency_ms } = (entry ?? {}) as Record<string, unknown>;
  const counts = [succeeded, failed, latency_ms ?? 0];
  const isCount = (value: unknown) => typeof value === "number" && value >= 0 && value < 1e9;
  if (!counts.every(isCount)) return null;
  try {
    peerIdFromString(String(id));
  } catch {
    return null;
  }
  const latencyMs = typeof latency_ms === "number" ? latency_ms : null;
  return [String(id), { succeeded: Number(succeeded), failed: Number(failed), latencyMs }];
}
