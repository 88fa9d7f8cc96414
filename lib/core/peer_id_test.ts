import { assertEquals, assertThrows } from "@std/assert";
import { publicKeyFromRaw } from "@libp2p/crypto/keys";
import { peerIdFromPublicKey as libp2pPeerId } from "@libp2p/peer-id";
import { fromHex, toHex } from "../util/hex.ts";
import { peerIdFromPublicKey } from "./peer_id.ts";
import { publicKeyOf } from "./signature.ts";

Deno.test("peerIdFromPublicKey() gives what libp2p gives", async () => {
  for (let i = 0; i < 20; i++) {
    const publicKey = await publicKeyOf(new Uint8Array(32).fill(i));
    const expected = libp2pPeerId(publicKeyFromRaw(fromHex(publicKey))).toString();
    assertEquals(peerIdFromPublicKey(publicKey), expected);
  }
});

Deno.test("peerIdFromPublicKey() gives every key an id of the receipt's form", () => {
  for (const fill of [0, 1, 0x7f, 0xff]) {
    const id = peerIdFromPublicKey(toHex(new Uint8Array(32).fill(fill)));
    assertEquals(/^12D3KooW[1-9A-HJ-NP-Za-km-z]{44}$/.test(id), true);
  }
});

Deno.test("peerIdFromPublicKey() refuses what is no key", () => {
  for (const text of ["", "00", "zz".repeat(32), "AA".repeat(32), "00".repeat(33)]) {
    assertThrows(() => peerIdFromPublicKey(text), SyntaxError);
  }
});
