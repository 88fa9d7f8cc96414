/**
 * Ed25519 signatures (RFC 8032). Signing is WebCrypto's, or node:crypto's where that is loaded: they are
 * native, so it takes constant time, and it spares a short-lived process the 45 ms in which a JavaScript
 * implementation makes its tables.
 * What is valid is what @noble/ed25519 takes for valid, whose rules for odd keys and signatures are written
 * down and strict. The native check takes a 20th of the time and is asked first; its yes is one of noble's too
 * (see `isValidNatively`), its no is not the last word.
 * @module
 */
import { verifyAsync } from "@noble/ed25519";
import type { KeyObject } from "node:crypto";
import { nativeCrypto } from "./hash.ts";
import { fromHex, toHex } from "../util/mod.ts";
import { isValidNatively } from "./native_verify.ts";

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
