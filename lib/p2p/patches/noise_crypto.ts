/**
 * Selects the cryptography of Noise: the runtime's if it passes a known-answer test, else pure JavaScript.
 *
 * Before Deno 2.8.3, `node:crypto`'s chacha20-poly1305 computes wrong tags if a message is encrypted in several pieces,
 * as libp2p does with large messages.
 *
 * @module
 */
import { type ICryptoInterface, noise, pureJsCrypto } from "@chainsafe/libp2p-noise";
import { asCrypto } from "@chainsafe/libp2p-noise/crypto";
import { concat } from "../../util/mod.ts";
import { createCipheriv, createDecipheriv } from "node:crypto";

const ALGORITHM = "chacha20-poly1305";
const TAG_BYTES = 16;

// RFC 8439, section 2.8.2.
const KEY = Uint8Array.fromHex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
const NONCE = Uint8Array.fromHex("070000004041424344454647");
const AAD = Uint8Array.fromHex("50515253c0c1c2c3c4c5c6c7");
const OPTIONS: SealOptions = { key: KEY, nonce: NONCE, aad: AAD };
const PLAINTEXT = new TextEncoder().encode(
  "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, " +
    "sunscreen would be it.",
);
const SEALED = "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6" +
  "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36" +
  "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc" +
  "3ff4def08e4b7a9de576d26586cec64b6116" + "1ae10b594f09e26a7e902ecbd0600691";
/** Length of a message of zeros, and its expected tag with the same key, nonce and data. */
const ZEROS: readonly [length: number, tag: string][] = [
  [0, "e622e5647a38d967a7ecbcb46c7f675c"],
  // Largest payload of a Noise message.
  [65_519, "1ece1ea40736c14fb26e50b9ac129697"],
];
/** Offsets of the cuts: one inside the first 64-byte block, one after the second. */
const CUTS: readonly number[] = [17, 70];

/** Result of the test of the runtime's cipher. */
export type NativeCipher =
  /** Passes with messages in pieces. */
  | "pieces"
  /** Passes with messages in one piece only. */
  | "whole"
  /** Fails or is missing. */
  | "none";

/**
 * Tests the runtime's cipher in both directions on the vector of RFC 8439, on an empty message and on the largest one.
 */
export function probeNativeCipher(): NativeCipher {
  if (passes(CUTS)) return "pieces";
  return passes([]) ? "whole" : "none";
}

function passes(cuts: readonly number[]): boolean {
  try {
    const sealed = seal(pieces(PLAINTEXT, cuts), OPTIONS);
    if (sealed.toHex() !== SEALED) return false;
    const expected = Uint8Array.fromHex(SEALED);
    const [text, tag] = [expected.subarray(0, -TAG_BYTES), expected.subarray(-TAG_BYTES)];
    if (open(pieces(text, cuts), { ...OPTIONS, tag }).toHex() !== PLAINTEXT.toHex()) return false;
    return ZEROS.every(([length, end]) => {
      const zeros = pieces(new Uint8Array(length), cuts.map((cut) => Math.min(cut, length)));
      const whole = seal(zeros, OPTIONS);
      const [body, found] = [whole.subarray(0, -TAG_BYTES), whole.subarray(-TAG_BYTES)];
      return found.toHex() === end &&
        open([body], { ...OPTIONS, tag: found }).every((byte) => byte === 0);
    });
  } catch {
    return false;
  }
}

function pieces(data: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const bounds = [0, ...cuts, data.length];
  return bounds.slice(1).map((end, index) => data.subarray(bounds[index]!, end));
}

interface SealOptions {
  key: Uint8Array;
  nonce: Uint8Array;
  aad: Uint8Array;
}

function seal(parts: readonly Uint8Array[], { key, nonce, aad }: SealOptions): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const cipher = createCipheriv(ALGORITHM, key, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(aad, { plaintextLength: length });
  const sealed = parts.map((part) => cipher.update(part));
  return concat([...sealed, cipher.final(), cipher.getAuthTag()]);
}

/** @throws {Error} If the tag is wrong. */
function open(
  parts: readonly Uint8Array[],
  { key, nonce, aad, tag }: SealOptions & { tag: Uint8Array },
): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const decipher = createDecipheriv(ALGORITHM, key, nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(aad, { plaintextLength: length });
  decipher.setAuthTag(tag);
  const opened = parts.map((part) => decipher.update(part));
  return concat([...opened, decipher.final()]);
}

/**
 * Messages below this size, in bytes, use Noise's WebAssembly cipher, as Noise does by default: for a few bytes a call
 * of the runtime's cipher takes three times as long.
 */
const SMALL_BYTES = 1200;

/** Pure JavaScript except for the cipher: WebAssembly for small messages, else the runtime's, in one piece. */
export const wholeMessageCrypto: ICryptoInterface = {
  ...pureJsCrypto,
  chaCha20Poly1305Encrypt(text, nonce, aad, key) {
    if (text.byteLength < SMALL_BYTES) {
      return asCrypto.chaCha20Poly1305Encrypt(text, nonce, aad, key);
    }
    return seal([text.subarray()], { key, nonce, aad });
  },
  chaCha20Poly1305Decrypt(sealed, nonce, aad, key, into) {
    if (sealed.byteLength < SMALL_BYTES) {
      return asCrypto.chaCha20Poly1305Decrypt(sealed, nonce, aad, key, into);
    }
    const bytes = sealed.subarray();
    const tag = bytes.subarray(-TAG_BYTES);
    return open([bytes.subarray(0, -TAG_BYTES)], { key, nonce, aad, tag });
  },
};

/** libp2p's encryption: always Noise XX; it cannot be disabled. */
export function noiseEncryption(
  native: NativeCipher = probeNativeCipher(),
): ReturnType<typeof noise> {
  if (native === "pieces") return noise();
  return noise({ crypto: native === "whole" ? wholeMessageCrypto : pureJsCrypto });
}
