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
