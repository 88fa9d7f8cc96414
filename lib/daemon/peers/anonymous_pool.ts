/**
 * Keeps clients with fresh keys ready for anonymous jobs. A client serves one job and is never used again, so that its
 * key links no two jobs.
 *
 * @module
 */
import type { NetworkConfig } from "../../config/mod.ts";
import { ephemeralIdentity } from "../../core/mod.ts";
import type { PlasmNetwork } from "../../p2p/mod.ts";
import { PeerDialer } from "../../p2p/dialer/mod.ts";
import type { DialJobOptions } from "../../remote/client/mod.ts";
import { jobDialer } from "../../remote/libp2p/mod.ts";
import type { ByteStream } from "../../remote/wire/mod.ts";

/** Clients that wait for a job at most. */
const MAX_READY = 4;

/** Time without an anonymous job after which all waiting clients are closed, in milliseconds. */
const IDLE_MS = 5 * 60_000;

/** Allowlist and denylist of the node, and the private addresses that it dials. */
export type PeerLists = Pick<NetworkConfig, "allow" | "deny" | "private_addresses">;

/** Options of {@linkcode AnonymousPool}. */
export interface AnonymousPoolOptions {
  /** Current lists. */
  lists: () => PeerLists;
  /** Starts a client. @default {one with a fresh key} */
  start?: ((lists: PeerLists) => Promise<PeerDialer>) | undefined;
  /** Time without a job after which all waiting clients are closed, in milliseconds. @default {300000} */
  idleMs?: number | undefined;
}

interface WaitingClient {
  lists: PeerLists;
  dialer: PeerDialer;
}

/** Pool of clients. It is empty until the first anonymous job, and again some time after the last. */
export class AnonymousPool implements AsyncDisposable {
  readonly #lists: () => PeerLists;
  readonly #startClient: (lists: PeerLists) => Promise<PeerDialer>;
  readonly #idleMs: number;
  readonly #ready: WaitingClient[] = [];
  /** Clients that should wait: one more whenever a job has found none, since as many jobs run at once. */
  #wanted = 0;
  #filling: Promise<void> = Promise.resolve();
  #idle: ReturnType<typeof setTimeout> | undefined;
  #isClosed = false;

  constructor({ lists, start = startDialer, idleMs = IDLE_MS }: AnonymousPoolOptions) {
    this.#lists = lists;
    this.#startClient = start;
    this.#idleMs = idleMs;
  }

  /** Number of clients that wait for a job. */
  get size(): number {
    return this.#ready.length;
  }

  /** Creates the client of one job. */
  client(node: Pick<PlasmNetwork, "peerAddresses">): AnonymousClient {
    return new AnonymousClient(this, node);
  }

  /** Removes a waiting client, or starts one. The caller closes it and then calls {@linkcode AnonymousPool.refill}. */
  async take(): Promise<PeerDialer> {
    clearTimeout(this.#idle);
    const lists = this.#lists();
    for (let next; (next = this.#ready.shift()) !== undefined;) {
      if (isSame(next.lists, lists)) return next.dialer;
      close(next.dialer);
    }
    this.#wanted = Math.min(this.#wanted + 1, MAX_READY);
    return await this.#startClient(lists);
  }

  /** Starts clients in the place of those that were taken: after their jobs, which have the processor first. */
  refill(): void {
    if (this.#isClosed) return;
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => this.#shrink(), this.#idleMs);
    Deno.unrefTimer(this.#idle);
    this.#filling = this.#filling.then(() => this.#fill());
  }

  async #fill(): Promise<void> {
    while (!this.#isClosed && this.#ready.length < this.#wanted) {
      const lists = this.#lists();
      try {
        this.#ready.push({ lists, dialer: await this.#startClient(lists) });
      } catch {
        return; // the next job reports it
      }
    }
    if (this.#isClosed) this.#shrink();
  }

  #shrink(): void {
    this.#wanted = 0;
    for (const { dialer } of this.#ready.splice(0)) close(dialer);
  }

  /** Closes all waiting clients. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#idle);
    await this.#filling;
    this.#shrink();
  }
}

/** Client of one job, which it takes from the pool when needed. */
export class AnonymousClient implements AsyncDisposable {
  readonly #pool: AnonymousPool;
  readonly #node: Pick<PlasmNetwork, "peerAddresses">;
  #own: Promise<PeerDialer> | undefined;

  /** @param node Resolves the addresses of peers. */
  constructor(pool: AnonymousPool, node: Pick<PlasmNetwork, "peerAddresses">) {
    this.#pool = pool;
    this.#node = node;
  }

  /** Starts the client during a search: the time that a node has to answer must not include the start. */
  async *startWhile<T>(search: AsyncIterable<T>): AsyncGenerator<T> {
    const starting = this.#start();
    starting.catch(() => {}); // dial() reports it
    for await (const found of search) {
      await starting;
      yield found;
    }
  }

  #start(): Promise<PeerDialer> {
    return this.#own ??= this.#pool.take();
  }

  /** Opens a job stream to a node, whose addresses the daemon's own node knows. */
  readonly dial = async (peerId: string, options: DialJobOptions): Promise<ByteStream> => {
    const own = await this.#start();
    await own.addAddresses(peerId, await this.#node.peerAddresses(peerId));
    return await jobDialer(own)(peerId, options);
  };

  /** Closes the client. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#own === undefined) return;
    // A failed start has nothing to close; dial() reported it.
    const own = await this.#own.catch(() => undefined);
    await own?.[Symbol.asyncDispose]();
    this.#pool.refill();
  }
}

function isSame(a: PeerLists, b: PeerLists): boolean {
  return JSON.stringify([a.allow, a.deny, a.private_addresses]) ===
    JSON.stringify([b.allow, b.deny, b.private_addresses]);
}

function close(dialer: PeerDialer): void {
  dialer[Symbol.asyncDispose]().catch(() => {}); // its connections are gone anyway
}

async function startDialer(
  { allow, deny, private_addresses: privateAddresses }: PeerLists,
): Promise<PeerDialer> {
  const identity = await ephemeralIdentity();
  return await PeerDialer.start({ identity, allow, deny, privateAddresses });
}
