/**
 * Ed25519 signatures (RFC 8032). Signing is WebCrypto's: it is native, so it takes constant time, and
 * it spares a short-lived process the 45 ms in which a JavaScript implementation makes its tables.
 * Verifying is @noble/ed25519's, whose rules for odd keys and signatures are written down and strict.
 * @module
 */
import { verifyAsync } from "@noble/ed25519";
import { fromHex, toHex } from "./hex.ts";

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
  const { x } = await crypto.subtle.exportKey("jwk", await importKey(secretKey));
  return toHex(Uint8Array.fromBase64(x!, { alphabet: "base64url" }));
}

/**
 * Signs with a 32-byte secret key.
 *
 * @throws {RangeError} when the secret key has another length
 */
export async function signBytes(bytes: Uint8Array, secretKey: Uint8Array): Promise<Uint8Array> {
  const key = await importKey(secretKey);
  const data = bytes as Uint8Array<ArrayBuffer>;
  return new Uint8Array(await crypto.subtle.sign("Ed25519", key, data));
}

// An import costs as much as a signature, and a node signs with one key.
const imported = new WeakMap<Uint8Array, { bytes: Uint8Array; key: Promise<CryptoKey> }>();

function importKey(secretKey: Uint8Array): Promise<CryptoKey> {
  const known = imported.get(secretKey);
  // Whoever owns the array may have put another key into it.
  if (known !== undefined && equal(known.bytes, secretKey)) return known.key;
  const key = crypto.subtle.importKey("pkcs8", toPkcs8(secretKey), "Ed25519", true, ["sign"]);
  imported.set(secretKey, { bytes: secretKey.slice(), key });
  return key;
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
    const { bytes, signature, publicKey } = signed;
    return await verifyAsync(fromHex(signature), bytes, fromHex(publicKey), { zip215: false });
  } catch {
    return false;
  }
}
