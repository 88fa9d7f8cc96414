/**
 * Ed25519 signatures (RFC 8032) over strings of bytes that name their purpose.
 * @module
 */
import { getPublicKeyAsync, signAsync, verifyAsync } from "@noble/ed25519";
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

/** The public key of a 32-byte secret key (RFC 8032's seed), in lowercase hex. */
export async function publicKeyOf(secretKey: Uint8Array): Promise<string> {
  return toHex(await getPublicKeyAsync(secretKey));
}

/** Signs with a 32-byte secret key. */
export async function signBytes(bytes: Uint8Array, secretKey: Uint8Array): Promise<Uint8Array> {
  return await signAsync(bytes, secretKey);
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
