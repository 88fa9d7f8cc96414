import { assertEquals } from "@std/assert";
import { BoundedDatastore } from "./bounded_datastore.ts";

type Key = Parameters<BoundedDatastore["put"]>[0];

function key(text: string): Key {
  return { toString: () => text } as Key;
}

async function has(store: BoundedDatastore, text: string): Promise<boolean> {
  return await store.has(key(text));
}

Deno.test("BoundedDatastore forgets the oldest entry of the same kind only", async () => {
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

Deno.test("BoundedDatastore counts what was deleted no longer", async () => {
  const store = new BoundedDatastore(2);
  for (const name of ["/dht/a", "/dht/b"]) await store.put(key(name), new Uint8Array([1]));
  await store.delete(key("/dht/b"));
  await store.put(key("/dht/c"), new Uint8Array([1]));
  assertEquals([await has(store, "/dht/a"), await has(store, "/dht/c")], [true, true]);
});

Deno.test("BoundedDatastore.query() gives the entries of a path, and looks at no others", async () => {
  const store = new BoundedDatastore(4);
  const value = new Uint8Array([1]);
  const names = ["/dht/a/1", "/dht/a/2", "/dht/ab/1", "/dht/b/1", "/dht/b/2", "/peers/a"];
  for (const name of names) await store.put(key(name), value);
  await store.delete(key("/dht/b/2"));
  const looked: string[] = [];
  const found = async (prefix: string): Promise<string[]> => {
    const filters = [({ key }: { key: Key }) => looked.push(key.toString()) > 0];
    const entries = await Array.fromAsync(store.query({ prefix, filters }));
    return entries.map(({ key }) => key.toString());
  };
  // The first was forgotten for the fifth of its kind.
  assertEquals(await found("/dht/a"), ["/dht/a/2"]);
  assertEquals(await found("/dht/b/"), ["/dht/b/1"]);
  assertEquals(await found("/peers"), ["/peers/a"]);
  assertEquals(looked, ["/dht/a/2", "/dht/b/1", "/peers/a"]);
  assertEquals(await found("/dht"), ["/dht/a/2", "/dht/ab/1", "/dht/b/1"]);
  assertEquals(await found("/none/of/them"), []);
});
