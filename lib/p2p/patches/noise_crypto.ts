/**
 * Cryptography of Noise: the runtime's where a known-answer test passes, else pure JavaScript.
 *
 * `node:crypto`'s chacha20-poly1305 gives wrong tags before Deno 2.8.3 when a message is encrypted in more than one piece, which is
 * how libp2p encrypts large ones.
 *
 * @module
 */
import { type ICryptoInterface, noise, pureJsCrypto } from "@chainsafe/libp2p-noise";
import { asCrypto } from "@chainsafe/libp2p-noise/crypto";
import { joinBytes } from "../../util/mod.ts";
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
/** Length of a message of zeros, and its expected tag under the same key, nonce and data. */
const ZEROS: readonly [length: number, tag: string][] = [
  [0, "e622e5647a38d967a7ecbcb46c7f675c"],
  // Largest payload of a Noise message.
  [65_519, "1ece1ea40736c14fb26e50b9ac129697"],
];
/** Offsets of the cuts: one inside the first 64-byte block, one after the second. */
const CUTS: readonly number[] = [17, 70];

/** Which uses of the runtime's cipher passed the test. */
export type NativeCipher =
  /** It passes the test vector in pieces. */
  | "pieces"
  /** It passes in one piece only. */
  | "whole"
  /** It does not pass, or is not there. */
  | "none";

/** Tries the runtime's cipher on RFC 8439's vector, on no bytes and the largest message, both ways. */
export function probeNativeCipher(): NativeCipher {
  if (isRight(CUTS)) return "pieces";
  return isRight([]) ? "whole" : "none";
}

function isRight(cuts: readonly number[]): boolean {
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
  return joinBytes([...sealed, cipher.final(), cipher.getAuthTag()]);
}

/** @throws {Error} where the tag is not the text's */
function open(
  parts: readonly Uint8Array[],
  { key, nonce, aad, tag }: SealOptions & { tag: Uint8Array },
): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const decipher = createDecipheriv(ALGORITHM, key, nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(aad, { plaintextLength: length });
  decipher.setAuthTag(tag);
  const opened = parts.map((part) => decipher.update(part));
  return joinBytes([...opened, decipher.final()]);
}

/**
 * Below this Noise takes its own WebAssembly where it may choose, in bytes: to call the runtime's cipher takes
 * three times as long as that takes for a few.
 */
const SMALL_BYTES = 1200;

/** Pure JavaScript but for the cipher: Noise's own for what is small, else the runtime's, in one piece. */
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

/** What the encrypted stream of libp2p's Noise has besides its interface. */
interface Encrypted {
  decoder?: {
    lengthDecoder?: (bytes: { byteLength: number; getUint16(at: number): number }) => number;
  };
}

/** Says that the length of a message has not come yet. One for all. */
const NOT_YET = new RangeError("The length has not come");

/**
 * Noise makes an error, with its stack, after each piece that it reads, for no other message has begun by then:
 * a sixteenth of all that a busy connection costs. Where its insides are others than these, they stay as they are.
 */
function expectPieces<T extends { connection: unknown }>(secured: T): T {
  const { decoder } = secured.connection as Encrypted;
  if (typeof decoder?.lengthDecoder === "function") {
    decoder.lengthDecoder = (bytes) => {
      if (bytes.byteLength < 2) throw NOT_YET;
      return bytes.getUint16(0);
    };
  }
  return secured;
}

/** libp2p's only encryption here: Noise XX. There is no way to turn it off. */
export function noiseEncryption(
  native: NativeCipher = probeNativeCipher(),
): ReturnType<typeof noise> {
  const make = native === "pieces"
    ? noise()
    : noise({ crypto: native === "whole" ? wholeMessageCrypto : pureJsCrypto });
  return (components) => {
    const encrypter = make(components);
    const { secureInbound, secureOutbound } = encrypter;
    encrypter.secureInbound = async (...to) =>
      expectPieces(await secureInbound.apply(encrypter, to));
    encrypter.secureOutbound = async (...to) =>
      expectPieces(await secureOutbound.apply(encrypter, to));
    return encrypter;
  };
}
