import { assertEquals, assertLess } from "@std/assert";
import type { PeerInfo } from "@libp2p/interface";
import { ProviderQueue, type QueuedProvider } from "./provider_queue.ts";

/** Providers with a common prefix. */
const named = (prefix: string, count: number): PeerInfo[] =>
  Array.from({ length: count }, (_, at) => ({ id: `${prefix}${at}` }) as unknown as PeerInfo);

const nameOf = (provider: QueuedProvider | undefined): string | undefined =>
  provider?.peer.id.toString();

async function take(queue: ProviderQueue, count: number): Promise<QueuedProvider[]> {
  const taken: QueuedProvider[] = [];
  while (taken.length < count) taken.push((await queue.next())!);
  return taken;
}

Deno.test("ProviderQueue returns each provider once and omits known ones", async () => {
  const queue = new ProviderQueue(["a1"]);
  queue.add("x", named("a", 3));
  queue.add("y", named("a", 4));
  queue.end();
  const names: (string | undefined)[] = [];
  for (let next = await queue.next(); next; next = await queue.next()) names.push(nameOf(next));
  assertEquals(names.sort(), ["a0", "a2", "a3"]);
});

Deno.test("ProviderQueue waits for providers until it ends", async () => {
  const queue = new ProviderQueue();
  const [first, second] = [queue.next(), queue.next()];
  queue.add("x", named("a", 1));
  assertEquals(nameOf(await first), "a0");
  queue.end();
  assertEquals(await second, undefined);
});

Deno.test("ProviderQueue prefers peers whose providers answer", async () => {
  const queue = new ProviderQueue();
  queue.add("liar", named("none", 10_000));
  queue.add("honest", named("node", 100));
  let fromLiar = 0;
  for (const provider of await take(queue, 100)) {
    const isReal = nameOf(provider)!.startsWith("node");
    if (!isReal) fromLiar++;
    provider.settle({ ok: isReal });
  }
  // Half of the first ones, while no query has ended.
  assertLess(fromLiar, 60);
  for (const provider of await take(queue, 20)) {
    assertEquals(nameOf(provider)!.startsWith("node"), true);
    provider.settle({ ok: true });
  }
});

Deno.test("ProviderQueue limits the providers of one peer", async () => {
  const queue = new ProviderQueue();
  queue.add("liar", named("none", 10_000));
  queue.end();
  let count = 0;
  for (let next = await queue.next(); next; next = await queue.next()) count++;
  assertEquals(count, 1024);
});
