/**
 * Seeing a node as a stranger does.
 * @module
 */
import { ephemeralIdentity } from "../../core/mod.ts";
import { type Path, reasonOf, type Transport } from "../network_events.ts";
import { createNetwork } from "../network.ts";

/** What a stranger sees of a node. */
export interface Visibility {
  /** Whether the stranger found the node in the DHT and got its document. */
  isVisible: boolean;
  path: Path | null;
  transport: Transport | null;
  /** From asking for the document to having it; null where it did not come. */
  latencyMs: number | null;
  /** Why not; null where it is visible. */
  reason: string | null;
}

/** Options of {@linkcode checkVisibility}. */
export interface VisibilityOptions {
  /** Whom to look for. */
  peerId: string;
  /** Input of the probe. */
  bootstrap: readonly string[];
  /** @default {true} */
  allowPrivate?: boolean | undefined;
  /** @default {20000} */
  timeoutMs?: number | undefined;
  /** Ends it. */
  signal?: AbortSignal | undefined;
}

/** Nodes looked at before the one looked for counts as not found. */
const MAX_LOOKED_AT = 256;

/**
 * Joins the network under a fresh key and searches for another node by its capabilities.
 *
 * @throws {PlasmError} `bad-config` where a bootstrap address cannot be read
 * @throws {DOMException} where the signal is aborted: its reason
 */
export async function checkVisibility(
  { peerId, bootstrap, allowPrivate, timeoutMs = 20_000, signal }: VisibilityOptions,
): Promise<Visibility> {
  const stranger = await createNetwork({
    identity: await ephemeralIdentity(),
    mode: "client",
    bootstrap,
    allowPrivate,
    nat: { autonat: false },
  });
  const nothing = { isVisible: false, path: null, transport: null, latencyMs: null };
  try {
    let others = 0;
    const options = { limit: MAX_LOOKED_AT, timeoutMs, signal };
    for await (const candidate of stranger.discover({}, options)) {
      const { path, transport, latencyMs } = candidate;
      if (candidate.peerId === peerId) {
        return { isVisible: true, path, transport, latencyMs, reason: null };
      }
      others++;
    }
    const isJoined = stranger.peers().length > 0;
    const reason = isJoined
      ? `found ${others} other nodes, but not this one`
      : "no bootstrap node answers";
    return { ...nothing, reason };
  } catch (error) {
    signal?.throwIfAborted();
    return { ...nothing, reason: reasonOf(error) };
  } finally {
    await stranger.stop();
  }
}
