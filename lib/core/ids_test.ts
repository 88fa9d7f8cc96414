import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { publicKeyFromRaw } from "@libp2p/crypto/keys";
import { peerIdFromPublicKey as libp2pPeerId } from "@libp2p/peer-id";
import { fromHex, toHex } from "../util/mod.ts";
import { createJobId, createNonce, isJobId, peerIdFromPublicKey } from "./ids.ts";
import { publicKeyOf } from "./signature.ts";

Deno.test("createJobId() returns distinct ids that isJobId() accepts", () => {
  const ids = Array.from({ length: 1000 }, () => createJobId());
  assertEquals(ids.every(isJobId), true);
  assertEquals(new Set(ids).size, 1000);
  // 26,000 random digits contain every digit of the alphabet.
  assertEquals(new Set(ids.join("").replaceAll("job_", "")).size, 32);
});

Deno.test("isJobId() rejects other forms", () => {
  const id = createJobId();
  for (const value of [id.slice(1), `${id}a`, id.toUpperCase(), `${id}\n`, `../${id}`, 7, null]) {
    assertEquals(isJobId(value), false);
  }
});

Deno.test("createNonce() returns 32 new bytes in hex on each call", () => {
  assertMatch(createNonce(), /^[0-9a-f]{64}$/);
  assertEquals(new Set(Array.from({ length: 100 }, () => createNonce())).size, 100);
});

Deno.test("peerIdFromPublicKey() returns the same peer id as libp2p", async () => {
  for (let i = 0; i < 20; i++) {
    const publicKey = await publicKeyOf(new Uint8Array(32).fill(i));
    const expected = libp2pPeerId(publicKeyFromRaw(fromHex(publicKey))).toString();
    assertEquals(peerIdFromPublicKey(publicKey), expected);
  }
});

Deno.test("peerIdFromPublicKey() returns ids that match the receipt schema", () => {
  for (const fill of [0, 1, 0x7f, 0xff]) {
    const id = peerIdFromPublicKey(toHex(new Uint8Array(32).fill(fill)));
    assertEquals(/^12D3KooW[1-9A-HJ-NP-Za-km-z]{44}$/.test(id), true);
  }
});

Deno.test("peerIdFromPublicKey() throws when the text is not a key", () => {
  for (const text of ["", "00", "zz".repeat(32), "AA".repeat(32), "00".repeat(33)]) {
    assertThrows(() => peerIdFromPublicKey(text), SyntaxError);
  }
});
