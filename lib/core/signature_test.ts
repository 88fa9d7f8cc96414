import { assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { getPublicKeyAsync, signAsync } from "@noble/ed25519";
import vectors from "../../tests/vectors/receipt.json" with { type: "json" };
import { loadNativeHash } from "./hash.ts";
import { fromHex, toHex } from "../util/hex.ts";
import { isValidSignature, publicKeyOf, signBytes } from "./signature.ts";

Deno.test("signBytes() and publicKeyOf() give what @noble/ed25519 gives", async () => {
  for (let i = 0; i < 20; i++) {
    const secretKey = new Uint8Array(32).fill(i * 13);
    const bytes = new Uint8Array(i * 50).fill(i);
    assertEquals(await publicKeyOf(secretKey), toHex(await getPublicKeyAsync(secretKey)));
    assertEquals(await signBytes(bytes, secretKey), await signAsync(bytes, secretKey));
  }
});

Deno.test("signBytes() gives the same by way of node:crypto", async () => {
  const secretKey = crypto.getRandomValues(new Uint8Array(32));
  const bytes = crypto.getRandomValues(new Uint8Array(900));
  await loadNativeHash();
  for (let change = 0; change < 3; change++) {
    assertEquals(await signBytes(bytes, secretKey), await signAsync(bytes, secretKey));
    secretKey[0]! ^= 1; // another key in the same array
  }
});

Deno.test("signBytes() and publicKeyOf() refuse secret keys of another length", async () => {
  for (const length of [0, 31, 33, 64]) {
    const secretKey = new Uint8Array(length);
    await assertRejects(() => publicKeyOf(secretKey), RangeError);
    await assertRejects(() => signBytes(secretKey, secretKey), RangeError);
  }
});

Deno.test("isValidSignature() refuses malformed input and other signatures of the same", async () => {
  const bytes = fromHex(vectors.signed_bytes);
  const { signature, public_key: publicKey } = vectors;
  assertEquals(await isValidSignature({ bytes, signature, publicKey }), true);
  // S plus the group's order: the equation still holds, RFC 8032, section 5.1.7 refuses it.
  const order = 2n ** 252n + 27742317777372353535851937790883648493n;
  const little = signature.slice(64).match(/../g)!;
  const s = BigInt(`0x${[...little].reverse().join("")}`) + order;
  const malleable = signature.slice(0, 64) +
    s.toString(16).padStart(64, "0").match(/../g)!.reverse().join("");
  assertNotEquals(malleable, signature);
  for (const other of [malleable, "", signature.slice(2), "zz", signature.toUpperCase()]) {
    assertEquals(await isValidSignature({ bytes, signature: other, publicKey }), false);
  }
  for (const key of ["", "00", "f".repeat(64), publicKey.toUpperCase()]) {
    assertEquals(await isValidSignature({ bytes, signature, publicKey: key }), false);
  }
});
