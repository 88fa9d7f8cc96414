/**
 * Crafts receipts whose signatures only some Ed25519 verifiers accept.
 *
 * @module
 */
import { peerIdFromPublicKey } from "../lib/core/ids.ts";
import type { ReceiptFields } from "../lib/core/receipt.ts";
import type { Signer } from "../lib/core/signature.ts";
import { type RefusedReceipt, sign } from "./signed_vectors.ts";
import { Point } from "@noble/ed25519";

/** Point of order 8. */
const T8 = Point.fromHex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05");

/** Order of Ed25519's large subgroup. */
const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;

interface CraftedSignature {
  name: string;
  /** Component of small order of the key. */
  keyTorsion: Point;
  /** Component of small order of R. */
  rTorsion: Point;
  /** Scalar of R. */
  r: bigint;
}

/** Receipts whose signatures only some Ed25519 verifiers accept: those with the cofactor, or without checks of R. */
export async function craftedSignatures(fields: ReceiptFields): Promise<RefusedReceipt[]> {
  const zero = Point.ZERO;
  const cases: CraftedSignature[] = [
    { name: "R is the neutral element", keyTorsion: zero, rTorsion: zero, r: 0n },
    { name: "R of order 2", keyTorsion: zero, rTorsion: T8.double().double(), r: 0n },
    { name: "R of order 8", keyTorsion: zero, rTorsion: T8, r: 0n },
    { name: "R has a component of order 8", keyTorsion: zero, rTorsion: T8, r: 777n },
    { name: "key has a component of order 8", keyTorsion: T8, rTorsion: zero, r: 777n },
    { name: "key has a component of order 8, R is neutral", keyTorsion: T8, rTorsion: zero, r: 0n },
  ];
  const vectors: RefusedReceipt[] = [];
  for (const { name, ...crafted } of cases) {
    const signer = craftedSigner(crafted);
    const expected = { key: signer.publicKey, peer_id: signer.peerId };
    vectors.push({
      name: `signature: ${name}`,
      field: "signature",
      json: JSON.stringify(await sign(fields, signer)),
      expected,
    });
    // With another key, the signature would be refused first.
    if (!crafted.keyTorsion.is0()) continue;
    const honest = craftedSigner({ keyTorsion: zero, rTorsion: zero, r: 777n });
    vectors.push({
      name: `attestation: ${name}`,
      field: "attestation",
      json: JSON.stringify(await sign(fields, honest, { attester: signer })),
      expected,
    });
  }
  return vectors;
}

/** Signs by the equation with the cofactor, with chosen components of small order. */
function craftedSigner(
  { keyTorsion, rTorsion, r }: Omit<CraftedSignature, "name">,
): Signer {
  const secret = 12345n;
  const key = Point.BASE.multiply(secret).add(keyTorsion);
  const publicKey = key.toHex();
  return {
    publicKey,
    peerId: peerIdFromPublicKey(publicKey),
    async sign(bytes) {
      // Another R until the key's component of small order does not vanish: then the equation without the cofactor fails.
      for (let scalar = r;; scalar += 1n) {
        const point = Point.BASE.multiply(scalar, false).add(rTorsion);
        const hash = await sha512(new Uint8Array([...point.toBytes(), ...key.toBytes(), ...bytes]));
        const k = littleEndian(hash) % ORDER;
        if (r !== 0n && !keyTorsion.is0() && k % 8n === 0n) continue;
        const s = (scalar + k * secret) % ORDER;
        const hex = s.toString(16).padStart(64, "0");
        return new Uint8Array([...point.toBytes(), ...Uint8Array.fromHex(hex).reverse()]);
      }
    },
  };
}

async function sha512(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-512", bytes));
}

function littleEndian(bytes: Uint8Array): bigint {
  return BigInt(`0x${bytes.toReversed().toHex()}`);
}
