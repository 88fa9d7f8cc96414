/**
 * Creates Ed25519 signatures (RFC 8032) natively, and verifies them by one rule that every verifier shares.
 *
 * Signing is native (WebCrypto, or node:crypto if loaded): it takes constant time, and saves a short-lived process
 * the 45 ms in which a JavaScript implementation computes its tables.
 *
 * @module
 */
import { hashes, Point } from "@noble/ed25519";
import type { KeyObject } from "node:crypto";
import { fromHex, toHex } from "../util/mod.ts";
import { nativeCrypto } from "./hash.ts";

/** Signs documents; an identity is one. */
export interface Signer {
  /** Ed25519 public key, in lowercase hex. */
  readonly publicKey: string;
  /** The libp2p peer id that follows from the key. */
  readonly peerId: string;
  /** Signs bytes; the signature has 64 bytes. */
  sign(bytes: Uint8Array): Promise<Uint8Array>;
}

/** A signature, the signed bytes and the key. */
export interface SignedBytes {
  /** The signed bytes. */
  bytes: Uint8Array;
  /** 128 hex digits. */
  signature: string;
  /** 64 hex digits. */
  publicKey: string;
}

/** RFC 8410, section 7: the DER of an Ed25519 PrivateKeyInfo up to the secret key. */
export const PKCS8_PREFIX: Readonly<Uint8Array> = fromHex("302e020100300506032b657004220420");

/** The PKCS #8 form of a 32-byte secret key (RFC 8032's seed). */
export function toPkcs8(secretKey: Uint8Array): Uint8Array<ArrayBuffer> {
  if (secretKey.length !== 32) throw new RangeError("Secret key is not 32 bytes");
  return new Uint8Array([...PKCS8_PREFIX, ...secretKey]);
}

/**
 * The public key of a 32-byte secret key, in lowercase hex.
 *
 * @throws {RangeError} if the secret key does not have 32 bytes
 */
export async function publicKeyOf(secretKey: Uint8Array): Promise<string> {
  const { x } = await crypto.subtle.exportKey("jwk", await keysOf(secretKey).web);
  return toHex(Uint8Array.fromBase64(x!, { alphabet: "base64url" }));
}

/**
 * Signs with a 32-byte secret key.
 *
 * @throws {RangeError} if the secret key does not have 32 bytes
 */
export async function signBytes(bytes: Uint8Array, secretKey: Uint8Array): Promise<Uint8Array> {
  const keys = keysOf(secretKey);
  const native = nativeCrypto();
  if (native !== undefined) {
    keys.native ??= nativeKey(native, secretKey);
    return new Uint8Array(native.sign(null, bytes, keys.native));
  }
  const data = bytes as Uint8Array<ArrayBuffer>;
  return new Uint8Array(await crypto.subtle.sign("Ed25519", await keys.web, data));
}

function nativeKey(native: typeof import("node:crypto"), secretKey: Uint8Array): KeyObject {
  // The types accept only Node's Buffer.
  const pkcs8 = { key: toPkcs8(secretKey) as unknown, format: "der", type: "pkcs8" };
  return native.createPrivateKey(pkcs8 as Parameters<typeof native.createPrivateKey>[0]);
}

interface Keys {
  /** The secret key that they were imported from. */
  bytes: Uint8Array;
  web: Promise<CryptoKey>;
  native?: KeyObject;
}

// Importing a key costs as much as a signature, and a node signs with one key.
const imported = new WeakMap<Uint8Array, Keys>();

function keysOf(secretKey: Uint8Array): Keys {
  const known = imported.get(secretKey);
  // The caller may have overwritten the array with another key.
  if (known !== undefined && equal(known.bytes, secretKey)) return known;
  const web = crypto.subtle.importKey("pkcs8", toPkcs8(secretKey), "Ed25519", true, ["sign"]);
  const keys = { bytes: secretKey.slice(), web };
  imported.set(secretKey, keys);
  return keys;
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}

/**
 * Reports whether a signature is valid: RFC 8032, section 5.1.7, by the equation without the cofactor, with canonical
 * encodings of S, R and the key, and neither R nor the key of small order.
 *
 * libsodium applies the same rule, so that PHP and TypeScript give one verdict. A key of small order would fit one
 * signature to any message; the equation with the cofactor would accept signatures that other verifiers refuse.
 */
export async function isValidSignature(signed: SignedBytes): Promise<boolean> {
  try {
    const [signature, key] = [fromHex(signed.signature), fromHex(signed.publicKey)];
    return await verifyBytes({ bytes: signed.bytes, signature, key });
  } catch {
    return false;
  }
}

/** RFC 8410, section 4: the DER of an Ed25519 SubjectPublicKeyInfo up to the public key. */
const SPKI_PREFIX: Readonly<Uint8Array> = fromHex("302a300506032b6570032100");

/** A signature, the signed bytes and the key, as bytes. */
export interface RawSignature {
  /** The signed bytes. */
  bytes: Uint8Array;
  /** 64 bytes: R and S. */
  signature: Uint8Array;
  /** 32 bytes. */
  key: Uint8Array;
}

/**
 * Implementations of the equation without the cofactor. `node` needs no other thread; `web` is everywhere but in
 * older browsers; `noble` is portable and 20 times slower.
 */
export type SignatureEngine = "node" | "web" | "noble";

/**
 * Reports whether a signature is valid by the rule of {@linkcode isValidSignature}.
 *
 * @param engine Implementation. @default {the fastest that the runtime has}
 */
export async function verifyBytes(
  signed: RawSignature,
  engine?: SignatureEngine,
): Promise<boolean> {
  const { bytes, signature, key } = signed;
  if (signature.length !== 64 || key.length !== 32) return false;
  // Each engine compares R as bytes with a computed one, which makes it canonical, and rejects S at or above the order.
  if (isSmallOrderPoint(key) || isSmallOrderPoint(signature.subarray(0, 32))) return false;
  const native = nativeCrypto();
  try {
    if (engine === "noble") return await verifyPortably(signed);
    if (native !== undefined && engine !== "web") {
      const der = new Uint8Array([...SPKI_PREFIX, ...key]);
      // The types accept only Node's Buffer.
      const spki = { key: der as unknown, format: "der", type: "spki" };
      const point = native.createPublicKey(spki as Parameters<typeof native.createPublicKey>[0]);
      return native.verify(null, bytes, point, signature);
    }
    const raw = key as Uint8Array<ArrayBuffer>;
    const point = await crypto.subtle.importKey("raw", raw, "Ed25519", false, ["verify"]);
    const [s, data] = [signature, bytes] as Uint8Array<ArrayBuffer>[];
    return await crypto.subtle.verify("Ed25519", point, s!, data!);
  } catch (error) {
    const isMissing = error instanceof DOMException && error.name === "NotSupportedError";
    return isMissing && engine === undefined ? await verifyPortably(signed) : false;
  }
}

/** Order of the group's large prime-order subgroup. */
const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;

/** Checks that R is the encoding of [S]B - [k]A, with k = SHA-512(R || A || message). */
async function verifyPortably({ bytes, signature, key }: RawSignature): Promise<boolean> {
  try {
    const r = signature.subarray(0, 32);
    const s = littleEndian(signature.subarray(32));
    if (s >= ORDER) return false;
    const hash = await hashes.sha512Async!(new Uint8Array([...r, ...key, ...bytes]));
    const k = littleEndian(hash) % ORDER;
    const point = Point.fromBytes(key).multiply(k, false);
    return equal(Point.BASE.multiply(s, false).subtract(point).toBytes(), r);
  } catch {
    return false; // the key is not a point
  }
}

function littleEndian(bytes: Uint8Array): bigint {
  return BigInt(`0x${toHex(bytes.toReversed())}`);
}

/** Last byte, without the sign bit, and lowest first byte of a y at or above the field's modulus, 2^255 - 19. */
const TOP_BYTE = 0x7f;
const LOWEST_BYTE = 0xed;

/**
 * The y of the eight points of small order, little-endian: 0, 1, -1, and those of order 8. Each is the y of
 * two points, x and -x.
 */
const SMALL_ORDER_Y: ReadonlySet<string> = new Set([
  "0000000000000000000000000000000000000000000000000000000000000000",
  "0100000000000000000000000000000000000000000000000000000000000000",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
]);

/**
 * Reports whether 32 bytes encode a point of small order or have a y that is not canonical (RFC 8032, section 5.1.3: y
 * is below the modulus). Does not check that they are a point.
 */
export function isSmallOrderPoint(bytes: Uint8Array): boolean {
  const y = bytes.slice();
  y[31]! &= TOP_BYTE;
  if (y[31] === TOP_BYTE && y[0]! >= LOWEST_BYTE && y.subarray(1, 31).every((b) => b === 0xff)) {
    return true;
  }
  return SMALL_ORDER_Y.has(toHex(y));
}
