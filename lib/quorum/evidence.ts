/**
 * Creates and verifies evidence: receipts of one job that contradict each other, so that at least one signer is false.
 *
 * @module
 */
import schema from "../../schemas/evidence.json" with { type: "json" };
import {
  type ClaimDifference,
  compareRuns,
  documentSchema,
  findClaimDifference,
  MAX_RECEIPT_BYTES,
  parseJson,
  type Receipt,
  validateDocument,
  verifyReceipt,
} from "../core/mod.ts";
import { PlasmError } from "../core/errors/mod.ts";
import { contradicts } from "./claim_groups.ts";
import type { Evidence } from "./evidence_document.gen.ts";

export type { Evidence };

const EVIDENCE_DOCUMENT = documentSchema(schema);

/** Maximum size of an evidence file, in bytes. */
export const MAX_EVIDENCE_BYTES: number = 4 * MAX_RECEIPT_BYTES;

/** What the receipts of one job have in common. */
const JOB_FIELDS = ["manifest_hash", "module_hash", "stdin_hash"] as const;

/** Two receipts of which at least one is false. */
export interface Contradiction {
  /** A receipt. */
  first: Receipt;
  /** A receipt that contradicts it. */
  second: Receipt;
  /** First field in which their claims differ. */
  difference: ClaimDifference;
}

/** Verified evidence. */
export interface VerifiedEvidence {
  /** All receipts, each verified. */
  receipts: Receipt[];
  /** One contradiction for each pair of claims that contradict each other, and for each node that contradicts itself. */
  contradictions: Contradiction[];
  /** Peer ids of nodes that signed two claims which contradict each other: they are false, whatever the result is. */
  selfContradicting: string[];
}

/**
 * Creates evidence of receipts of one job.
 *
 * @throws {PlasmError} `bad-receipt` if a receipt is not valid, is one of another job, or none contradicts another
 *
 * @example
 * ```ts
 * import { createEvidence } from "@plasm/plasm/quorum";
 * import { assertRejects } from "@std/assert";
 *
 * const { receipt } = JSON.parse(await Deno.readTextFile("tests/vectors/receipt.json"));
 * await assertRejects(() => createEvidence([receipt, receipt]), Error, "no two receipts contradict");
 * ```
 */
export async function createEvidence(receipts: readonly unknown[]): Promise<Evidence> {
  const evidence = { version: "0.2", receipts: receipts as Evidence["receipts"] } as const;
  await verifyEvidence(evidence);
  return evidence;
}

/**
 * Parses evidence and validates its form only; see {@linkcode verifyEvidence}.
 *
 * @throws {PlasmError} `bad-receipt` if it is not JSON, is too large or violates the schema
 *
 * @example
 * ```ts
 * import { parseEvidence } from "@plasm/plasm/quorum";
 * import { assertThrows } from "@std/assert";
 *
 * assertThrows(() => parseEvidence('{"version":"0.2"}'), Error, "receipts is missing");
 * ```
 */
export function parseEvidence(input: string | Uint8Array): Evidence {
  return checkEvidence(
    parseJson(input, { maxBytes: MAX_EVIDENCE_BYTES, code: "bad-receipt", what: "evidence" }),
  );
}

function checkEvidence(value: unknown): Evidence {
  validateDocument(EVIDENCE_DOCUMENT, value, {
    code: "bad-receipt",
    what: "evidence",
    verb: "trust",
  });
  return value as Evidence;
}

/**
 * Verifies evidence: every receipt, that all are of one job, and that at least two contradict each other. Nothing that
 * honest nodes can differ in counts: sources of nondeterminism, ends that depend on the node and, in the default profile,
 * architecture and engine.
 *
 * @throws {PlasmError} `bad-receipt`; `details.field` names the first field that is wrong
 *
 * @example
 * ```ts
 * import { verifyEvidence } from "@plasm/plasm/quorum";
 * import { assertRejects } from "@std/assert";
 *
 * const { receipt } = JSON.parse(await Deno.readTextFile("tests/vectors/receipt.json"));
 * const evidence = { version: "0.2", receipts: [receipt, receipt] };
 * await assertRejects(() => verifyEvidence(evidence), Error, "no two receipts contradict");
 * ```
 */
export async function verifyEvidence(evidence: unknown): Promise<VerifiedEvidence> {
  const receipts: Receipt[] = [];
  for (const [at, receipt] of checkEvidence(evidence).receipts.entries()) {
    receipts.push(await verifyAt(receipt, at));
  }
  const [first] = receipts;
  for (const [at, { claim }] of receipts.entries()) {
    const field = JOB_FIELDS.find((name) => claim[name] !== first!.claim[name]);
    if (field === undefined) continue;
    throw wrong(
      `receipts[${at}].claim.${field}`,
      `is ${claim[field]}, another job than that of receipts[0]`,
    );
  }
  const all = findContradictions(receipts);
  if (all.length === 0) {
    const sources = new Set(receipts.flatMap(({ claim }) => claim.nondeterminism));
    const why = sources.size > 0 ? `; the job depends on ${[...sources].sort().join(", ")}` : "";
    throw wrong("receipts", `prove nothing: no two receipts contradict each other${why}`);
  }
  const own = all.filter(({ first, second }) => nodeOf(first) === nodeOf(second));
  return {
    receipts,
    contradictions: [...new Map([...own, ...all].map((one) => [pairKey(one), one])).values()],
    selfContradicting: [...new Set(own.map(({ first }) => nodeOf(first)))],
  };
}

async function verifyAt(receipt: unknown, at: number): Promise<Receipt> {
  try {
    return await verifyReceipt(receipt);
  } catch (cause) {
    const { code, message, details } = PlasmError.from(cause);
    throw new PlasmError(code, `${message} (receipts[${at}])`, { details, cause });
  }
}

function findContradictions(receipts: readonly Receipt[]): Contradiction[] {
  return receipts.flatMap((first, at) =>
    receipts.slice(at + 1).filter((second) => contradicts(first, second)).map((second) => ({
      first,
      second,
      difference: findClaimDifference(first.claim, second.claim)!,
    }))
  );
}

function nodeOf({ run }: Receipt): string {
  return run.node.peer_id;
}

/** Identifies a pair of claims; those of one node are a pair of their own. */
function pairKey({ first, second }: Contradiction): string {
  const node = nodeOf(first) === nodeOf(second) ? nodeOf(first) : "";
  return [first.run.claim_hash, second.run.claim_hash].sort().join() + node;
}

/** Verdict of a new run about the receipts of a job. */
export interface Arbitration {
  /** The receipt of the new run. */
  receipt: Receipt;
  /** Receipts with the claim of the new run. */
  confirmed: Receipt[];
  /** Receipts that the new run contradicts. */
  false: Receipt[];
  /** Receipts that differ from the new run for a reason that an honest node can have. */
  undecided: Receipt[];
}

/**
 * Compares the receipts of a job with that of a new run that the caller trusts.
 *
 * @example
 * ```ts
 * import { arbitrate } from "@plasm/plasm/quorum";
 * import { assertEquals } from "@std/assert";
 *
 * const { receipt } = JSON.parse(await Deno.readTextFile("tests/vectors/receipt.json"));
 * assertEquals(arbitrate([receipt], receipt).confirmed.length, 1);
 * ```
 */
export function arbitrate(receipts: readonly Receipt[], again: Receipt): Arbitration {
  const result: Arbitration = { receipt: again, confirmed: [], false: [], undecided: [] };
  for (const receipt of receipts) {
    const isSame = compareRuns(receipt.claim, again.claim).outcome === "reproduced";
    result[isSame ? "confirmed" : contradicts(receipt, again) ? "false" : "undecided"].push(
      receipt,
    );
  }
  return result;
}

function wrong(field: string, why: string): PlasmError {
  return new PlasmError("bad-receipt", `Cannot trust evidence: ${field} ${why}`, {
    details: { field },
  });
}

/** Creates evidence if any two receipts contradict each other; else undefined. */
export async function evidenceOf(receipts: readonly Receipt[]): Promise<Evidence | undefined> {
  const isContradicted = receipts.some((one) => receipts.some((other) => contradicts(one, other)));
  return isContradicted ? await createEvidence(receipts) : undefined;
}
