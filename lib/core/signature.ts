/**
 * Ed25519 signatures (RFC 8032): native signing, and verification by the strict rules of @noble/ed25519.
 *
 * @module
 */
import { verifyAsync } from "@noble/ed25519";
import type { KeyObject } from "node:crypto";
import { fromHex, toHex } from "../util/mod.ts";
import { nativeCrypto } from "./hash.ts";

/** Who can sign a document: an identity, seen from here. */
export interface Signer {
  /** Ed25519 public key, in lowercase hex. */
  readonly publicKey: string;
  /** The libp2p peer id that follows from the key. */
  readonly peerId: string;
  /** Signs bytes; the result has 64 bytes. */
  sign(bytes: Uint8Array): Promise<Uint8Array>;
}

/** A signature and all that it is checked against. */
export interface SignedBytes {
  /** What was signed. */
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
 * @throws {RangeError} when the secret key has another length
 */
export async function publicKeyOf(secretKey: Uint8Array): Promise<string> {
  const { x } = await crypto.subtle.exportKey("jwk", await keysOf(secretKey).web);
  return toHex(Uint8Array.fromBase64(x!, { alphabet: "base64url" }));
}

/**
 * Signs with a 32-byte secret key.
 *
 * @throws {RangeError} when the secret key has another length
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
  // Its types know Node's Buffer only.
  const pkcs8 = { key: toPkcs8(secretKey) as unknown, format: "der", type: "pkcs8" };
  return native.createPrivateKey(pkcs8 as Parameters<typeof native.createPrivateKey>[0]);
}

interface Keys {
  /** What they were made from. */
  bytes: Uint8Array;
  web: Promise<CryptoKey>;
  native?: KeyObject;
}

// An import costs as much as a signature, and a node signs with one key.
const imported = new WeakMap<Uint8Array, Keys>();

function keysOf(secretKey: Uint8Array): Keys {
  const known = imported.get(secretKey);
  // Whoever owns the array may have put another key into it.
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
 * Tells whether a signature is valid. What is malformed, in a form that is not canonical, or under
 * a key of small order (under which one signature fits any message) is not.
 */
export async function isValidSignature(signed: SignedBytes): Promise<boolean> {
  try {
    const [signature, key] = [fromHex(signed.signature), fromHex(signed.publicKey)];
    const { bytes } = signed;
    if (await isValidNatively({ bytes, signature, key })) return true;
    // Refused, or of a kind that the two judge differently: noble's cofactored equation decides.
    return await verifyAsync(signature, bytes, key, { zip215: false });
  } catch {
    return false;
  }
}

/** RFC 8410, section 4: the DER of an Ed25519 SubjectPublicKeyInfo up to the public key. */
const SPKI_PREFIX: Readonly<Uint8Array> = fromHex("302a300506032b6570032100");

/** A signature and all that it is checked against, as bytes. */
export interface RawSignature {
  /** What was signed. */
  bytes: Uint8Array;
  signature: Uint8Array;
  key: Uint8Array;
}

/**
 * Whether the runtime's own check takes a signature for valid. Where it does, noble does too: both refuse S
 * that is not below the group's order; the equation without the cofactor implies the one with it; R is
 * compared as bytes with one that was computed, so it is canonical; and of keys, noble alone refuses the weak,
 * which are refused here first. Its no may be noble's yes, under a key or R with a part of small order.
 *
 * @param native node:crypto instead of WebCrypto, which goes by way of another thread
 */
export async function isValidNatively(
  { bytes, signature, key }: RawSignature,
  native: typeof import("node:crypto") | undefined = nativeCrypto(),
): Promise<boolean> {
  if (signature.length !== 64 || key.length !== 32 || isWeakKey(key)) return false;
  try {
    if (native !== undefined) {
      const der = new Uint8Array([...SPKI_PREFIX, ...key]);
      // Its types know Node's Buffer only.
      const spki = { key: der as unknown, format: "der", type: "spki" };
      const point = native.createPublicKey(spki as Parameters<typeof native.createPublicKey>[0]);
      return native.verify(null, bytes, point, signature);
    }
    const raw = key as Uint8Array<ArrayBuffer>;
    const point = await crypto.subtle.importKey("raw", raw, "Ed25519", false, ["verify"]);
    const [s, data] = [signature, bytes] as Uint8Array<ArrayBuffer>[];
    return await crypto.subtle.verify("Ed25519", point, s!, data!);
  } catch {
    return false; // not a point, say: noble tells
  }
}

/** The field's modulus is 2^255 - 19: the last byte of one at or above it, its sign cleared. */
const TOP_BYTE = 0x7f;
const LOWEST_BYTE = 0xed;

/**
 * The y of the eight points of small order, little-endian: 0, 1, -1, and those of order 8. Each stands for
 * two points, x and -x. Under such a key one signature fits any message.
 */
const SMALL_ORDER_Y: ReadonlySet<string> = new Set([
  "0000000000000000000000000000000000000000000000000000000000000000",
  "0100000000000000000000000000000000000000000000000000000000000000",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
]);

/**
 * Tells whether a 32-byte key is of small order, or in a form that is not canonical (RFC 8032, section 5.1.3:
 * y is below the modulus). Whether it is a point at all, it does not tell.
 */
export function isWeakKey(key: Uint8Array): boolean {
  const y = key.slice();
  y[31]! &= TOP_BYTE;
  if (y[31] === TOP_BYTE && y[0]! >= LOWEST_BYTE && y.subarray(1, 31).every((b) => b === 0xff)) {
    return true;
  }
  return SMALL_ORDER_Y.has(y.toHex());
}
