import { assert, assertEquals } from "@std/assert";
import { createCipheriv } from "node:crypto";
import { pureJsCrypto } from "@chainsafe/libp2p-noise";
import { isNativeCipherRight } from "./noise_crypto.ts";

Deno.test("isNativeCipherRight() agrees with a comparison to pure JavaScript", () => {
  const key = new Uint8Array(32).fill(7);
  const nonce = new Uint8Array(12).fill(9);
  const text = crypto.getRandomValues(new Uint8Array(5000));
  const cipher = createCipheriv("chacha20-poly1305", key, nonce, { authTagLength: 16 });
  const native = [
    ...cipher.update(text.subarray(0, 1234)),
    ...cipher.update(text.subarray(1234)),
    ...cipher.final(),
    ...cipher.getAuthTag(),
  ];
  const expected = pureJsCrypto.chaCha20Poly1305Encrypt(text, nonce, new Uint8Array(), key);
  const same = new Uint8Array(native).toHex() === (expected as Uint8Array).toHex();
  assertEquals(isNativeCipherRight(), same);
});

Deno.test("isNativeCipherRight() expects what pure JavaScript computes for RFC 8439", () => {
  // The vector itself: a typing error in it would silently cost the native speed.
  const sealed = pureJsCrypto.chaCha20Poly1305Encrypt(
    new TextEncoder().encode(
      "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the " +
        "future, sunscreen would be it.",
    ),
    Uint8Array.fromHex("070000004041424344454647"),
    Uint8Array.fromHex("50515253c0c1c2c3c4c5c6c7"),
    Uint8Array.fromHex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"),
  );
  assert((sealed as Uint8Array).toHex().endsWith("1ae10b594f09e26a7e902ecbd0600691"));
});
