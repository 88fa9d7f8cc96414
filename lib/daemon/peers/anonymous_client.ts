/**
 * A client of one job that has a key of its own, beside the node: whoever runs the job cannot tell which node,
 * or that the same one, asked. What is not hidden is the address that it asks from, and that this node
 * had looked for who can run a job shortly before.
 * @module
 */
import { ephemeralIdentity } from "../../core/mod.ts";
import { createNetwork, type PlasmNetwork } from "../../p2p/mod.ts";
import type { ByteStream } from "../../remote/wire/mod.ts";
import { jobDialer } from "../../remote/libp2p/mod.ts";

/** Nobody dials it, so nothing is done to be reached. */
const NO_NAT = { autonat: false, relay: false, relayServer: false };

/** Who may be dialled: the node's own lists. */
export interface PeerLists {
  allow: readonly string[];
  deny: readonly string[];
}

/** A client of its own. */
export class AnonymousClient implements AsyncDisposable {
  readonly #node: PlasmNetwork;
  readonly #lists: PeerLists;
  #own: Promise<PlasmNetwork> | undefined;

  /** @param node Knows where nodes are */
  constructor(node: PlasmNetwork, lists: PeerLists) {
    this.#node = node;
    this.#lists = lists;
  }

  /** Opens a conversation about a job; the first one starts the client. */
  async dial(peerId: string, options: { signal: AbortSignal }): Promise<ByteStream> {
    const own = await (this.#own ??= start(this.#lists));
    await own.noteAddresses(peerId, await this.#node.addressesOf(peerId));
    return await jobDialer(own)(peerId, options);
  }

  /** Closes its connections. */
  async [Symbol.asyncDispose](): Promise<void> {
    // One that did not start has nothing to stop; who dialled was told.
    const own = await this.#own?.catch(() => undefined);
    await own?.stop();
  }
}

async function start({ allow, deny }: PeerLists): Promise<PlasmNetwork> {
  const identity = await ephemeralIdentity();
  return await createNetwork({ identity, mode: "client", nat: NO_NAT, allow, deny });
}
