import { assertEquals, assertRejects } from "@std/assert";
import type { PeerDialer } from "../../p2p/dialer/mod.ts";
import { AnonymousPool, type PeerLists } from "./anonymous_pool.ts";

const NODE = { peerAddresses: () => Promise.resolve([]) };

/** Counts the clients that a pool starts and closes. */
class Starts {
  started = 0;
  readonly closed: number[] = [];
  lists: PeerLists = { allow: [], deny: [], private_addresses: "last" };
  isBroken = false;
  #changed = Promise.withResolvers<void>();

  readonly start = (): Promise<PeerDialer> => {
    if (this.isBroken) return Promise.reject(new Error("No sockets"));
    const id = ++this.started;
    this.#notify();
    return Promise.resolve({
      peerId: String(id),
      [Symbol.asyncDispose]: () => {
        this.closed.push(id);
        this.#notify();
        return Promise.resolve();
      },
    } as unknown as PeerDialer);
  };

  async until(condition: () => boolean): Promise<void> {
    // The pool's own timer does not keep the process running.
    const timer = setTimeout(() => {}, 30_000);
    while (!condition()) await this.#changed.promise;
    clearTimeout(timer);
  }

  #notify(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  pool(idleMs?: number): AnonymousPool {
    return new AnonymousPool({ lists: () => this.lists, start: this.start, idleMs });
  }
}

Deno.test("AnonymousPool starts no client before the first job and returns each one once", async () => {
  const starts = new Starts();
  const pool = starts.pool();
  const taken: string[] = [];
  assertEquals(starts.started, 0);
  for (let job = 0; job < 5; job++) {
    const dialer = await pool.take();
    taken.push(dialer.peerId);
    await dialer[Symbol.asyncDispose]();
    pool.refill();
    await starts.until(() => starts.started === job + 2);
  }
  assertEquals(taken, ["1", "2", "3", "4", "5"]);
  await pool[Symbol.asyncDispose]();
  assertEquals(starts.closed, [1, 2, 3, 4, 5, 6]);
});

Deno.test("AnonymousPool grows with concurrent jobs up to a cap and is empty when idle or closed", async () => {
  const starts = new Starts();
  const pool = starts.pool(1);
  const taken = await Promise.all(Array.from({ length: 10 }, () => pool.take()));
  assertEquals(new Set(taken.map(({ peerId }) => peerId)).size, 10);
  pool.refill();
  await starts.until(() => starts.closed.length === 4);
  assertEquals([starts.started, pool.size], [14, 0]);
  await pool[Symbol.asyncDispose]();
  pool.refill();
  assertEquals([starts.started, pool.size], [14, 0]);
});

Deno.test("AnonymousPool closes clients whose access lists have changed", async () => {
  const starts = new Starts();
  const pool = starts.pool();
  await pool.take();
  pool.refill();
  await starts.until(() => starts.started === 2);
  starts.lists = { ...starts.lists, deny: ["10.0.0.0/8"] };
  assertEquals((await pool.take()).peerId, "3");
  assertEquals(starts.closed, [2]);
  await pool[Symbol.asyncDispose]();
});

Deno.test("AnonymousPool reports a failed start to the job, and works when starts succeed again", async () => {
  const starts = new Starts();
  starts.isBroken = true;
  const pool = starts.pool();
  const { signal } = new AbortController();
  for (let job = 0; job < 2; job++) {
    await using client = pool.client(NODE);
    await assertRejects(() => client.dial("peer", { signal }), Error, "No sockets");
  }
  starts.isBroken = false;
  assertEquals((await pool.take()).peerId, "1");
  await pool[Symbol.asyncDispose]();
});
