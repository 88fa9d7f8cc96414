/**
 * Counts the requests that a node sends to the DHT.
 *
 * @module
 */
import type { PeerId } from "@libp2p/interface";
import type { KadDHT } from "@libp2p/kad-dht";

/** Event of a request, as far as it is read. */
interface RequestEvent {
  name: string;
  closer?: { id: PeerId }[];
}

type Send = (to: PeerId, ...rest: unknown[]) => AsyncGenerator<RequestEvent>;

/** Requests of one node. */
export class DhtRequests {
  count = 0;
  /** Longest chain of nodes of which one named the next. */
  hops = 0;
  /** Length of the shortest known chain to each peer; those of the routing table have none. */
  readonly #depths = new Map<string, number>();

  /** Counts the requests of a DHT from now on. */
  constructor(dht: KadDHT) {
    const { network } = dht as unknown as { network: { sendRequest: Send; sendMessage: Send } };
    for (const name of ["sendRequest", "sendMessage"] as const) {
      const send = network[name].bind(network);
      network[name] = (to, ...rest) => this.#observe(to, send(to, ...rest));
    }
  }

  async *#observe(to: PeerId, events: AsyncGenerator<RequestEvent>): AsyncGenerator<RequestEvent> {
    const depth = this.#depths.get(to.toString()) ?? 1;
    this.count++;
    this.hops = Math.max(this.hops, depth);
    for await (const event of events) {
      if (event.name === "PEER_RESPONSE") {
        for (const { id } of event.closer ?? []) {
          const known = this.#depths.get(id.toString()) ?? Infinity;
          this.#depths.set(id.toString(), Math.min(known, depth + 1));
        }
      }
      yield event;
    }
  }
}
