/**
 * Signs the receipts of the published test vectors, also those that `signReceipt` rejects.
 *
 * @module
 */
import { attestedBytes, statementBytes } from "../lib/core/attestation.ts";
import { claimHash } from "../lib/core/claim.ts";
import { type ReceiptFields, signedBytes } from "../lib/core/receipt.ts";
import type { Signer } from "../lib/core/signature.ts";
import type { Claim, Manifest, Receipt } from "../lib/core/types.gen.ts";
import { toHex } from "../lib/util/bytes.ts";
import { withValue } from "../tests/fixtures/receipt_mutations.ts";

/** Values known to the verifier; bytes in hex. */
export interface VectorExpectations {
  key?: string;
  peer_id?: string;
  job_id?: string;
  nonce?: string;
  manifest?: Manifest;
  module?: string;
  stdin?: string;
  stdout?: string;
  stderr?: string;
  outputs?: { [path: string]: string };
}

/** A receipt that must not verify. */
export interface RefusedReceipt {
  name: string;
  /** Field that a verifier reports. */
  field: string;
  json: string;
  /** Overrides what the verifier knows. */
  expected?: VectorExpectations;
}

/** UTF-8 of a text. */
export const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Sets values of a receipt by path, such as `claim.status`. */
export function changed(
  fields: ReceiptFields,
  changes: Readonly<Record<string, unknown>>,
): ReceiptFields {
  let result = fields;
  for (const [path, value] of Object.entries(changes)) {
    result = withValue(result, path.split("."), value);
  }
  return result;
}

/** A receipt without the fields that signing adds. */
export interface SigningOptions {
  /** Hash of the claim. @default {computed} */
  claimHash?: string;
  /** Signs the claim. @default {the node} */
  attester?: Pick<Signer, "sign">;
  /** Bytes to attest. @default {of the claim} */
  attested?: Uint8Array;
}

/** Signs a receipt that `signReceipt` rejects. */
export async function sign(
  fields: ReceiptFields,
  node: Signer,
  options: SigningOptions = {},
): Promise<Receipt> {
  const claim: Claim = { version: "0.2", ...fields.claim };
  const unsigned = {
    version: "0.2" as const,
    claim,
    run: {
      ...fields.run,
      claim_hash: options.claimHash ?? await claimHash(claim),
      node: { peer_id: node.peerId, public_key: node.publicKey },
    },
  };
  const attested = options.attested ?? attestedBytes(statementBytes(claim));
  return {
    ...unsigned,
    signature: toHex(await node.sign(signedBytes(unsigned))),
    attestation: toHex(await (options.attester ?? node).sign(attested)),
  };
}
