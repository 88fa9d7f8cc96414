import { assert, assertEquals, assertThrows } from "@std/assert";
import { createCipheriv } from "node:crypto";
import { pureJsCrypto } from "@chainsafe/libp2p-noise";
import { probeNativeCipher, wholeMessageCrypto } from "./noise_crypto.ts";

Deno.test("probeNativeCipher() agrees with a comparison to pure JavaScript", () => {
  const key = new Uint8Array(32).fill(7);
  const nonce = new Uint8Array(12).fill(9);
  const text = crypto.getRandomValues(new Uint8Array(5000));
  const expected = pureJsCrypto.chaCha20Poly1305Encrypt(text, nonce, new Uint8Array(), key);
  const isSame = (cuts: number[]) => {
    const cipher = createCipheriv("chacha20-poly1305", key, nonce, { authTagLength: 16 });
    const bounds = [0, ...cuts, text.length];
    const native = bounds.slice(1).flatMap((end, i) => [
      ...cipher.update(text.subarray(bounds[i]!, end)),
    ]);
    native.push(...cipher.final(), ...cipher.getAuthTag());
    return new Uint8Array(native).toHex() === (expected as Uint8Array).toHex();
  };
  const found = isSame([1234]) ? "pieces" : isSame([]) ? "whole" : "none";
  assertEquals(probeNativeCipher(), found);
});

Deno.test("wholeMessageCrypto speaks with pure JavaScript and refuses a changed byte", () => {
  if (probeNativeCipher() === "none") return;
  const key = new Uint8Array(32).fill(1);
  const nonce = new Uint8Array(12).fill(2);
  const aad = new Uint8Array([3]);
  for (const length of [0, 1, 63, 64, 65, 1000, 65519]) {
    const text = new Uint8Array(length).fill(length);
    const ours = wholeMessageCrypto.chaCha20Poly1305Encrypt(text, nonce, aad, key).subarray();
    const theirs = pureJsCrypto.chaCha20Poly1305Encrypt(text, nonce, aad, key).subarray();
    assertEquals(ours, theirs);
    const opened = wholeMessageCrypto.chaCha20Poly1305Decrypt(theirs, nonce, aad, key);
    assertEquals(opened.subarray(), text);
    const changed = theirs.slice();
    changed[0]! ^= 1;
    assertThrows(() => wholeMessageCrypto.chaCha20Poly1305Decrypt(changed, nonce, aad, key));
  }
});

Deno.test("RFC 8439's vector is what pure JavaScript computes", () => {
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

Deno.test("probeNativeCipher()'s other tags are what pure JavaScript computes", async () => {
  const source = await Deno.readTextFile(new URL("noise_crypto.ts", import.meta.url));
  for (const length of [0, 65_519]) {
    const sealed = pureJsCrypto.chaCha20Poly1305Encrypt(
      new Uint8Array(length),
      Uint8Array.fromHex("070000004041424344454647"),
      Uint8Array.fromHex("50515253c0c1c2c3c4c5c6c7"),
      Uint8Array.fromHex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"),
    );
    assert(source.includes(sealed.subarray(-16).toHex()), `${length}`);
  }
});
