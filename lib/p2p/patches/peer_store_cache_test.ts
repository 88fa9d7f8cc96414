import { assertEquals } from "@std/assert";
import { generateKeyPair } from "@libp2p/crypto/keys";
import type { PeerStore } from "@libp2p/interface";
import { peerIdFromPrivateKey } from "@libp2p/peer-id";
import { cachePeerMerges } from "./peer_store_cache.ts";

Deno.test("cachePeerMerges() has a store told once of a protocol, and of all else each time", async () => {
  const told: unknown[] = [];
  const store = {
    merge: (_: unknown, data: unknown) => Promise.resolve(told.push(data)),
    delete: () => Promise.resolve(),
  } as unknown as PeerStore;
  cachePeerMerges(store);
  const [one, two] = [
    peerIdFromPrivateKey(await generateKeyPair("Ed25519")),
    peerIdFromPrivateKey(await generateKeyPair("Ed25519")),
  ];
  const job = { protocols: ["/job"] };
  for (let n = 0; n < 3; n++) await store.merge(one, job);
  assertEquals(told, [job]);
  await store.merge(two, job);
  await store.merge(one, { protocols: ["/other"] });
  assertEquals(told.length, 3);
  for (
    const more of [{ protocols: ["/job", "/other"] }, { ...job, tags: {} }, { multiaddrs: [] }]
  ) {
    await store.merge(one, more);
    await store.merge(one, more);
  }
  assertEquals(told.length, 9);
  await store.delete(one);
  await store.merge(one, job);
  assertEquals(told.length, 10);
});
