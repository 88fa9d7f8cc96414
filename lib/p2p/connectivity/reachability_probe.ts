/**
 * Probes the reachability of a node from the point of view of a new peer.
 *
 * @module
 */
import { ephemeralIdentity } from "../../core/mod.ts";
import { type Path, reasonOf, type Transport } from "../network_events.ts";
import { createNetwork } from "../network.ts";
import type { PrivateDials } from "./dial_ranking.ts";

/** Result of a reachability probe. */
export interface ProbeResult {
  /** Whether the new peer found the node in the DHT and received its document. */
  isReachable: boolean;
  path: Path | null;
  transport: Transport | null;
  /** Time to request and receive the document, in milliseconds; null if it was not received. */
  latencyMs: number | null;
  /** Why the node is unreachable; null if it is reachable. */
  reason: string | null;
}

/** Options of {@linkcode probeReachability}. */
export interface ProbeOptions {
  /** Peer id of the node to probe. */
  peerId: string;
  /** Multiaddrs of the bootstrap nodes. */
  bootstrap: readonly string[];
  /**
   * Private addresses to dial.
   * @default {"last"}
   */
  privateAddresses?: PrivateDials | undefined;
  /**
   * Time limit of the search, in milliseconds.
   * @default {20000}
   */
  timeoutMs?: number | undefined;
  /** Aborts the probe. @default {never} */
  signal?: AbortSignal | undefined;
}

/** Most nodes queried before the node counts as not found. */
const MAX_QUERIES = 256;

/**
 * Joins the network with a new key and searches for another node by its capabilities.
 *
 * @throws {PlasmError} `bad-config` if a bootstrap address is invalid.
 * @throws The signal's reason if it aborts.
 */
export async function probeReachability(
  { peerId, bootstrap, privateAddresses, timeoutMs = 20_000, signal }: ProbeOptions,
): Promise<ProbeResult> {
  const prober = await createNetwork({
    identity: await ephemeralIdentity(),
    mode: "client",
    bootstrap,
    privateAddresses,
    nat: { autonat: false },
  });
  const unreachable = { isReachable: false, path: null, transport: null, latencyMs: null };
  try {
    let others = 0;
    const options = { limit: MAX_QUERIES, timeoutMs, signal };
    for await (const candidate of prober.discover({}, options)) {
      const { path, transport, latencyMs } = candidate;
      if (candidate.peerId === peerId) {
        return { isReachable: true, path, transport, latencyMs, reason: null };
      }
      others++;
    }
    const hasJoined = prober.peers().length > 0;
    const reason = hasJoined
      ? `found ${others} other nodes, but not this one`
      : "no bootstrap node answers";
    return { ...unreachable, reason };
  } catch (error) {
    signal?.throwIfAborted();
    return { ...unreachable, reason: reasonOf(error) };
  } finally {
    await prober.stop();
  }
}
