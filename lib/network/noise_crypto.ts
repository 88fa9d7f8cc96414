/**
 * Which cryptography Noise runs on: the runtime's own where it computes rightly, else pure
 * JavaScript. Node's chacha20-poly1305 gives wrong tags in some Deno versions when a message is
 * encrypted in more than one piece, which is how Noise encrypts large ones.
 * @module
 */
import { noise, pureJsCrypto } from "@chainsafe/libp2p-noise";
import { createCipheriv, createDecipheriv } from "node:crypto";

const ALGORITHM = "chacha20-poly1305";

// RFC 8439, section 2.8.2.
const KEY = Uint8Array.fromHex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
const NONCE = Uint8Array.fromHex("070000004041424344454647");
const AAD = Uint8Array.fromHex("50515253c0c1c2c3c4c5c6c7");
const PLAINTEXT = new TextEncoder().encode(
  "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, " +
    "sunscreen would be it.",
);
const SEALED = "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6" +
  "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36" +
  "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc" +
  "3ff4def08e4b7a9de576d26586cec64b6116" + "1ae10b594f09e26a7e902ecbd0600691";
/** Where the pieces part: once inside the first 64-byte block, once after the second. */
const CUTS: readonly number[] = [17, 70];

/** Whether the runtime's cipher passes RFC 8439's test vector piece by piece, both ways. */
export function isNativeCipherRight(): boolean {
  try {
    const cipher = createCipheriv(ALGORITHM, KEY, NONCE, { authTagLength: 16 });
    cipher.setAAD(AAD, { plaintextLength: PLAINTEXT.length });
    const sealed = [...pieces(PLAINTEXT, cipher), ...cipher.final(), ...cipher.getAuthTag()];
    if (new Uint8Array(sealed).toHex() !== SEALED) return false;

    const expected = Uint8Array.fromHex(SEALED);
    const decipher = createDecipheriv(ALGORITHM, KEY, NONCE, { authTagLength: 16 });
    decipher.setAAD(AAD, { plaintextLength: PLAINTEXT.length });
    decipher.setAuthTag(expected.subarray(PLAINTEXT.length));
    const opened = [
      ...pieces(expected.subarray(0, PLAINTEXT.length), decipher),
      ...decipher.final(),
    ];
    return new Uint8Array(opened).toHex() === PLAINTEXT.toHex();
  } catch {
    return false;
  }
}

function pieces(data: Uint8Array, cipher: { update(data: Uint8Array): Uint8Array }): number[] {
  const bounds = [0, ...CUTS, data.length];
  return bounds.slice(1).flatMap((end, index) => [
    ...cipher.update(data.subarray(bounds[index]!, end)),
  ]);
}

/** libp2p's only encryption here: Noise XX. There is no way to turn it off. */
export function noiseEncryption(native: boolean = isNativeCipherRight()): ReturnType<typeof noise> {
  return native ? noise() : noise({ crypto: pureJsCrypto });
}
