/**
 * Records what audits found out about nodes: how often the next one is due, and which nodes are banned.
 *
 * @module
 */
import { readStateFile, writeStateFile } from "../core/mod.ts";
import { BoundedMap } from "../util/mod.ts";

/** Name of the file in the state directory. */
export const AUDIT_FILE = "audit.json";

/** Format version of the file. */
const VERSION = 1;

/** Most nodes with a record. */
const MAX_RECORDS = 1000;

/** Ban after the first false result, in milliseconds; it quadruples with each further one. */
const BAN_MS = 24 * 60 * 60 * 1000;

/** Longest ban, in milliseconds. */
const MAX_BAN_MS = 90 * 24 * 60 * 60 * 1000;

/** Most results that are counted, so that numbers stay small. */
const MAX_COUNT = 1_000_000;

/** What audits found out about one node. */
export interface AuditRecord {
  /** Reproduced results since the latest false one. */
  good: number;
  /** False results. */
  false: number;
  /** End of the ban in Unix milliseconds; 0 if the node was never banned. */
  bannedUntil: number;
}

const UNKNOWN: Readonly<AuditRecord> = { good: 0, false: 0, bannedUntil: 0 };

/** Records of nodes by peer id. */
export class AuditLedger {
  readonly #records = new BoundedMap<string, AuditRecord>(MAX_RECORDS);

  /** Record of a node; zeros for an unknown one. */
  get(peerId: string): Readonly<AuditRecord> {
    return this.#records.get(peerId) ?? UNKNOWN;
  }

  /** Probability with which the next result of a node is audited: 1 / n after n good results, and at least `base`. */
  probability(peerId: string, base: number): number {
    const { good } = this.get(peerId);
    return base <= 0 ? 0 : Math.max(base, 1 / Math.max(1, good));
  }

  /** Records a result that an audit reproduced. */
  recordGood(peerId: string): void {
    const record = this.get(peerId);
    this.#records.set(peerId, { ...record, good: Math.min(record.good + 1, MAX_COUNT) });
  }

  /** Records a false result and bans the node. Returns the end of the ban in Unix milliseconds. */
  recordFalse(peerId: string, now: number = Date.now()): number {
    const count = Math.min(this.get(peerId).false + 1, MAX_COUNT);
    const bannedUntil = now + Math.min(BAN_MS * 4 ** (count - 1), MAX_BAN_MS);
    this.#records.set(peerId, { good: 0, false: count, bannedUntil });
    return bannedUntil;
  }

  /** Reports whether a node gets no jobs. */
  isBanned(peerId: string, now: number = Date.now()): boolean {
    return this.get(peerId).bannedUntil > now;
  }

  /** Records of all nodes. */
  all(): { peerId: string; record: Readonly<AuditRecord> }[] {
    return [...this.#records].map(([peerId, record]) => ({ peerId, record }));
  }

  /** Nodes that are banned now. */
  banned(now: number = Date.now()): { peerId: string; record: Readonly<AuditRecord> }[] {
    return this.all().filter(({ record }) => record.bannedUntil > now);
  }

  /**
   * Reads the records of the last run; invalid entries are skipped.
   *
   * @throws {Error} if the file cannot be read
   */
  async load(stateDir: string): Promise<void> {
    const file = await readStateFile(`${stateDir}/${AUDIT_FILE}`);
    if (file === undefined) return;
    const { version, nodes } = Object(file) as { version?: unknown; nodes?: unknown };
    if (version !== VERSION || !Array.isArray(nodes)) throw new TypeError("not an audit file");
    for (const entry of nodes.slice(-MAX_RECORDS)) {
      const { peer_id, good, false: wrong, banned_until } = Object(entry) as Record<
        string,
        unknown
      >;
      const counts = [good, wrong];
      const isValid = typeof peer_id === "string" && peer_id.length <= 128 &&
        counts.every((count) => Number.isSafeInteger(count) && Number(count) >= 0) &&
        Number.isFinite(banned_until);
      if (!isValid) continue;
      this.#records.set(peer_id, {
        good: Math.min(Number(good), MAX_COUNT),
        false: Math.min(Number(wrong), MAX_COUNT),
        // The clock may have been wrong.
        bannedUntil: Math.min(Number(banned_until), Date.now() + MAX_BAN_MS),
      });
    }
  }

  /**
   * Writes all records.
   *
   * @throws {Error} if the file cannot be written
   */
  async save(stateDir: string): Promise<void> {
    const nodes = [...this.#records].map(([peer_id, record]) => ({
      peer_id,
      good: record.good,
      false: record.false,
      banned_until: record.bannedUntil,
    }));
    await writeStateFile(`${stateDir}/${AUDIT_FILE}`, { version: VERSION, nodes });
  }
}
