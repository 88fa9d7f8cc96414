/**
 * Validates and hashes claims, the part of a receipt that every honest node agrees on.
 *
 * @module
 */
import { PlasmError } from "./errors/mod.ts";
import { EMPTY_HASH, sha256 } from "./hash.ts";
import { canonicalBytes, pathText } from "./json.ts";
import { validateDocument } from "./schema.ts";
import type { Claim, Hash } from "./types.gen.ts";
import { CLAIM_DOCUMENT } from "./documents.ts";

/** Hash of a claim: SHA-256 of its canonical JSON. */
export async function claimHash(claim: Claim): Promise<Hash> {
  return await sha256(canonicalBytes(claim));
}

/**
 * Validates the form of a claim, such as the predicate of a statement.
 *
 * @throws {PlasmError} `bad-receipt` if it violates the schema or contradicts itself
 */
export function checkClaim(value: unknown): Claim {
  validateDocument(CLAIM_DOCUMENT, value, { code: "bad-receipt", what: "claim", verb: "trust" });
  const claim = value as Claim;
  const problem = findClaimProblem(claim);
  if (problem === undefined) return claim;
  throw new PlasmError("bad-receipt", `Cannot trust claim: ${problem.text}`, {
    details: { field: problem.field },
  });
}

/** A contradiction in a claim. */
export interface ClaimProblem {
  /** Path of the field in the claim. */
  field: string;
  /** What is wrong, beginning with the field. */
  text: string;
}

/** Finds what a schema cannot express: the order of the sources, sources of a deterministic job, content of a directory. */
export function findClaimProblem(claim: Claim): ClaimProblem | undefined {
  const { nondeterminism, outputs, profile, status, fuel } = claim;
  if (nondeterminism.some((source, at) => at > 0 && nondeterminism[at - 1]! >= source)) {
    return problem("nondeterminism", `is not sorted: ${nondeterminism.join(", ")}`);
  }
  if (profile === "deterministic" && nondeterminism.length > 0) {
    return problem("nondeterminism", `must be empty with profile ${profile}`);
  }
  if (status === "fuel" && fuel === undefined) return problem("fuel", `is missing, status is fuel`);
  for (const [path, { hash, bytes }] of Object.entries(outputs)) {
    if (!path.endsWith("/")) continue;
    if (hash !== EMPTY_HASH || bytes !== 0) {
      return problem(pathText(["outputs", path]), "is a directory, its content must be empty");
    }
  }
  return undefined;
}

function problem(field: string, why: string): ClaimProblem {
  return { field, text: `${field} ${why}` };
}
