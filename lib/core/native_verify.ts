/**
 * Ed25519 verification by the runtime: fast, and right where it says yes.
 * @module
 */
import { fromHex } from "../util/mod.ts";
import { nativeCrypto } from "./hash.ts";
import { isWeakKey } from "./small_order_key.ts";

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
