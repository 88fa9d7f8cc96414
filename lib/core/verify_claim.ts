/**
 * Verifies claims: compares a claim with what the verifier has sent and received.
 *
 * @module
 */
import { checkClaim, type ClaimProblem } from "./claim.ts";
import { PlasmError } from "./errors/mod.ts";
import { sha256 } from "./hash.ts";
import { clip, pathText } from "./json.ts";
import { manifestHash } from "./manifest.ts";
import type { Claim, Hash, Manifest, Measured } from "./types.gen.ts";

/** What the verifier of a claim knows. Absent fields are not checked. */
export interface ClaimExpectations {
  /** The manifest that was sent; binds the module, and standard input if it has its hash. */
  manifest?: Manifest;
  /** The module that was sent, or its hash. */
  module?: Uint8Array | Hash;
  /** The standard input that was sent, or its hash. */
  stdin?: Uint8Array | Hash;
  /** The standard output that was received, or its hash and length. */
  stdout?: Uint8Array | Measured;
  /** The standard error that was received, or its hash and length. */
  stderr?: Uint8Array | Measured;
  /** All files that were returned, by guest path, or their hashes and lengths. */
  outputs?: { [path: string]: Uint8Array | Measured };
}

/** Names of {@linkcode ClaimExpectations}. */
export const CLAIM_EXPECTATIONS: readonly (keyof ClaimExpectations)[] = [
  "manifest",
  "module",
  "stdin",
  "stdout",
  "stderr",
  "outputs",
];

/** Options of {@linkcode checkExpectations}. */
export interface CheckExpectationsOptions {
  /** Names of the expectations that exist. */
  known: readonly string[];
  /** Name of the document in the message. */
  what: string;
}

/**
 * Refuses an expectation that is unknown or undefined: one that is lost on its way must not turn into a check that
 * passes.
 *
 * @throws {PlasmError} `usage`
 */
export function checkExpectations(
  expected: object,
  { known, what }: CheckExpectationsOptions,
): void {
  for (const [name, value] of Object.entries(expected)) {
    if (known.includes(name) && value !== undefined) continue;
    const why = known.includes(name) ? "undefined" : "not known";
    throw new PlasmError("usage", `Cannot verify ${what}: expectation is ${why}: ${clip(name)}`);
  }
}

/**
 * Verifies a claim, such as the predicate of a statement, and returns a copy. Who made the claim is not checked: that
 * follows from the signatures of a receipt or an envelope.
 *
 * @throws {PlasmError} `bad-receipt`; `details.field` names the first field that is wrong
 * @throws {PlasmError} `usage` when an expectation is unknown or undefined
 *
 * @example
 * ```ts
 * import { verifyClaim } from "@plasm/plasm/verify";
 * import { assertEquals, assertRejects } from "@std/assert";
 *
 * const { receipt, expected } = JSON.parse(await Deno.readTextFile("tests/vectors/receipt.json"));
 * const stdout = Uint8Array.fromHex(expected.stdout);
 * assertEquals((await verifyClaim(receipt.claim, { stdout })).status, "exited");
 * await assertRejects(() => verifyClaim(receipt.claim, { stderr: stdout }), Error, "stderr.hash");
 * ```
 */
export async function verifyClaim(
  claim: unknown,
  expected: ClaimExpectations = {},
): Promise<Claim> {
  checkExpectations(expected, { known: CLAIM_EXPECTATIONS, what: "claim" });
  // A copy, because the caller may change its object during the checks.
  const checked = structuredClone(checkClaim(claim));
  const problem = await findClaimMismatch(checked, expected);
  if (problem === undefined) return checked;
  throw new PlasmError("bad-receipt", `Cannot trust claim: ${problem.text}`, {
    details: { field: problem.field },
  });
}

/** Finds the first field of a claim that differs from what was sent and received. */
export async function findClaimMismatch(
  claim: Claim,
  expected: ClaimExpectations,
): Promise<ClaimProblem | undefined> {
  const { stdout, stderr, outputs } = expected;
  return await findUnsent(claim, expected) ??
    await findOtherContent("stdout", claim.stdout, stdout) ??
    await findOtherContent("stderr", claim.stderr, stderr) ??
    await findOtherOutput(claim, outputs);
}

async function findUnsent(
  claim: Claim,
  { manifest, module, stdin }: ClaimExpectations,
): Promise<ClaimProblem | undefined> {
  const find = (
    field: "manifest_hash" | "module_hash" | "stdin_hash",
    wanted: Hash | undefined,
    source: string,
  ) => findDifference({ field, actual: claim[field], wanted, source });
  const named = manifest && (
    find("manifest_hash", await manifestHash(manifest), "the manifest") ??
      find("module_hash", manifest.module_hash, "the manifest names") ??
      find("stdin_hash", manifest.stdin_hash, "the manifest names") ??
      findUnasked(claim, manifest)
  );
  return named ?? find("module_hash", await hashOf(module), "the module sent is") ??
    find("stdin_hash", await hashOf(stdin), "the stdin sent is");
}

/** Finds what the manifest did not ask for. */
function findUnasked(
  claim: Claim,
  { profile = "default", resources, outputs = [] }: Manifest,
): ClaimProblem | undefined {
  const { fuel, status } = claim;
  const limit = resources.fuel;
  if (claim.profile !== profile) {
    return problem("profile", `is ${claim.profile}, the manifest asks ${profile}`);
  }
  if (fuel !== undefined && limit === undefined) {
    return problem("fuel", `is ${fuel}, the manifest does not ask for it`);
  }
  if (fuel !== undefined && fuel > limit!) {
    return problem("fuel", `is ${fuel}, the manifest's limit is ${limit}`);
  }
  if (fuel === undefined && limit !== undefined && status === "exited") {
    return problem("fuel", "is missing, the manifest asks for it");
  }
  for (const path of Object.keys(claim.outputs).sort()) {
    if (outputs.some((asked) => path === asked || isBelow(path, asked))) continue;
    return problem(pathText(["outputs", path]), "is not among the manifest's outputs");
  }
  return undefined;
}

/** Reports whether a path lies in a directory, which ends in "/". */
function isBelow(path: string, directory: string): boolean {
  if (!directory.endsWith("/")) return false;
  return directory === "./" ? !path.startsWith("/") : path.startsWith(directory);
}

async function hashOf(content: Uint8Array | Hash | undefined): Promise<Hash | undefined> {
  return content instanceof Uint8Array ? await sha256(content) : content;
}

async function findOtherContent(
  name: string,
  claimed: Measured,
  received: Uint8Array | Measured | undefined,
): Promise<ClaimProblem | undefined> {
  if (received === undefined) return undefined;
  const { hash, bytes } = received instanceof Uint8Array
    ? { hash: await sha256(received), bytes: received.length }
    : received;
  if (claimed.hash !== hash) {
    return problem(`${name}.hash`, `is ${claimed.hash}, received bytes hash to ${hash}`);
  }
  if (claimed.bytes === bytes) return undefined;
  return problem(`${name}.bytes`, `is ${claimed.bytes}, received were ${bytes}`);
}

/** All files that were received must be in the claim, and no other. */
async function findOtherOutput(
  { outputs }: Claim,
  received: ClaimExpectations["outputs"],
): Promise<ClaimProblem | undefined> {
  if (received === undefined) return undefined;
  const paths = new Set([...Object.keys(outputs), ...Object.keys(received)]);
  for (const path of [...paths].sort()) {
    const name = pathText(["outputs", path]);
    if (!Object.hasOwn(outputs, path)) return problem(name, "is missing, it was received");
    if (!Object.hasOwn(received, path)) return problem(name, "was not received");
    const found = await findOtherContent(name, outputs[path]!, received[path]);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** A field and the value that it must have. */
export interface Comparison {
  /** Path of the field. */
  field: string;
  /** Its value; undefined if it is missing. */
  actual: string | undefined;
  /** The value that it must have; undefined if any is right. */
  wanted: string | undefined;
  /** Where the wanted value comes from, before it in the message. */
  source: string;
}

/** Describes the difference between two values, if there is one. */
export function findDifference(
  { field, actual, wanted, source }: Comparison,
): ClaimProblem | undefined {
  if (wanted === undefined || actual === wanted) return undefined;
  return problem(field, `is ${actual ?? "missing"}, ${source} ${clip(String(wanted))}`);
}

function problem(field: string, why: string): ClaimProblem {
  return { field, text: `${field} ${why}` };
}
