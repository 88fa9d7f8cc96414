import { assertEquals } from "@std/assert";
import { BoundedDatastore } from "./bounded_datastore.ts";

type Key = Parameters<BoundedDatastore["put"]>[0];

function key(text: string): Key {
  return { toString: () => text } as Key;
}

async function has(store: BoundedDatastore, text: string): Promise<boolean> {
  return await store.has(key(text));
}

Deno.test("BoundedDatastore.put() evicts the oldest entry of the same kind only", async () => {
  const store = new BoundedDatastore(2);
  const value = new Uint8Array([1]);
  await store.put(key("/peers/a"), value);
  await store.put(key("/dht/a"), value);
  await store.put(key("/dht/b"), value);
  await store.put(key("/dht/a"), value);
  await store.put(key("/dht/c"), value);
  assertEquals(await has(store, "/peers/a"), true);
  assertEquals(await has(store, "/dht/a"), true);
  assertEquals(await has(store, "/dht/b"), false);
  assertEquals(await has(store, "/dht/c"), true);
});

Deno.test("BoundedDatastore.put() does not count deleted entries", async () => {
  const store = new BoundedDatastore(2);
  for (const name of ["/dht/a", "/dht/b"]) await store.put(key(name), new Uint8Array([1]));
  await store.delete(key("/dht/b"));
  await store.put(key("/dht/c"), new Uint8Array([1]));
  assertEquals({ a: await has(store, "/dht/a"), c: await has(store, "/dht/c") }, {
    a: true,
    c: true,
  });
});

Deno.test("BoundedDatastore.query() yields the entries of a path without scanning others", async () => {
  const store = new BoundedDatastore(4);
  const value = new Uint8Array([1]);
  const names = ["/dht/a/1", "/dht/a/2", "/dht/ab/1", "/dht/b/1", "/dht/b/2", "/peers/a"];
  for (const name of names) await store.put(key(name), value);
  await store.delete(key("/dht/b/2"));
  const scanned: string[] = [];
  const found = async (prefix: string): Promise<string[]> => {
    const filters = [({ key }: { key: Key }) => scanned.push(key.toString()) > 0];
    const entries = await Array.fromAsync(store.query({ prefix, filters }));
    return entries.map(({ key }) => key.toString());
  };
  // The fifth entry of the kind evicted the first.
  assertEquals(await found("/dht/a"), ["/dht/a/2"]);
  assertEquals(await found("/dht/b/"), ["/dht/b/1"]);
  assertEquals(await found("/peers"), ["/peers/a"]);
  assertEquals(scanned, ["/dht/a/2", "/dht/b/1", "/peers/a"]);
  assertEquals(await found("/dht"), ["/dht/a/2", "/dht/ab/1", "/dht/b/1"]);
  assertEquals(await found("/none/of/them"), []);
});
