/**
 * What the daemon asks of a network; the part that knows libp2p plugs in here.
 * @module
 */
import type { JsonValue } from "../../core/errors/mod.ts";

/** A network that the node has joined. */
export interface DaemonNetwork extends AsyncDisposable {
  /** Peers that the node is connected to, for `GET /v1/peers`. */
  peers(): JsonValue[];
  /**
   * Finds nodes that run jobs, for `POST /v1/discover`: each as it answers.
   *
   * @throws {PlasmError} `usage` at once, before anything is looked for
   */
  discover(query: unknown, options: { signal: AbortSignal }): AsyncIterable<JsonValue>;
  /** What `GET /v1/node` tells: listen addresses, reachability. */
  status(): Record<string, JsonValue>;
}
