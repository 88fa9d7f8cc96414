/**
 * Verifies receipts: compares a receipt with everything that the verifier knows and rejects any difference.
 *
 * @module
 */
import { PlasmError } from "./errors/mod.ts";
import { peerIdFromPublicKey } from "./ids.ts";
import { checkReceipt, findSignatureProblem, findTimeProblem } from "./receipt.ts";
import type { Receipt, Run } from "./types.gen.ts";
import {
  checkExpectations,
  CLAIM_EXPECTATIONS,
  type ClaimExpectations,
  findClaimMismatch,
  findDifference,
} from "./verify_claim.ts";

/** Time in which a job can have run, by the verifier's clock; Unix times in milliseconds. */
export interface ReceiptWindow {
  /** When the job was offered. */
  from: number;
  /** When the receipt was received. */
  to: number;
  /**
   * Maximum error of the node's clock, in milliseconds.
   * @default {300000}
   */
  toleranceMs?: number;
}

/** What the verifier of a receipt knows. Absent fields are not checked. */
export interface ReceiptExpectations extends ClaimExpectations {
  /** The node's Ed25519 public key, in hex. */
  key?: string;
  /** The node's peer id. */
  peerId?: string;
  /** The job's id. */
  jobId?: string;
  /** The nonce that was sent with the job. */
  nonce?: string;
  /** Time in which the job can have run. */
  window?: ReceiptWindow;
}

/** Clocks without network time drift by minutes; a replayed receipt is caught by its nonce. */
const CLOCK_TOLERANCE_MS = 5 * 60 * 1000;

const EXPECTATIONS: readonly (keyof ReceiptExpectations)[] = [
  ...CLAIM_EXPECTATIONS,
  "key",
  "peerId",
  "jobId",
  "nonce",
  "window",
];

/**
 * Verifies a receipt and returns a copy. Checks, in this order: form, signature, claim hash, attestation, peer id
 * (derived from the key), the expected node, job id, nonce, manifest, module, standard input, hash and length
 * of the received output and files, and times.
 *
 * @throws {PlasmError} `bad-receipt`; `details.field` names the first field that is wrong
 * @throws {PlasmError} `usage` when an expectation is unknown or undefined: an expectation that is lost
 * on its way must not turn into a check that passes
 *
 * @example
 * ```ts
 * import { verifyReceipt } from "@plasm/plasm/verify";
 * import { assertEquals, assertRejects } from "@std/assert";
 *
 * const vector = JSON.parse(await Deno.readTextFile("tests/vectors/receipt.json"));
 * const { claim } = await verifyReceipt(vector.receipt, { key: vector.public_key });
 * assertEquals(claim.status, "exited");
 *
 * const other = new TextEncoder().encode("other output");
 * await assertRejects(() => verifyReceipt(vector.receipt, { stdout: other }), Error, "stdout.hash");
 * ```
 */
export async function verifyReceipt(
  receipt: unknown,
  expected: ReceiptExpectations = {},
): Promise<Receipt> {
  checkExpectations(expected, { known: EXPECTATIONS, what: "receipt" });
  // A copy, because the caller may change its object during the checks.
  const checked = structuredClone(checkReceipt(receipt));
  const { claim, run } = checked;
  await checkNode(checked, expected);
  compare("run.job_id", run.job_id, expected.jobId, "expected");
  compare("run.nonce", run.nonce, expected.nonce, "sent");
  const problem = await findClaimMismatch(claim, expected);
  if (problem !== undefined) throw mismatch(`claim.${problem.field}`, `claim.${problem.text}`);
  checkTimes(checked, expected.window);
  return checked;
}

async function checkNode(receipt: Receipt, expected: ReceiptExpectations): Promise<void> {
  const problem = await findSignatureProblem(receipt);
  if (problem !== undefined) throw mismatch(problem.field, problem.text);
  const { peer_id, public_key } = receipt.run.node;
  const peerId = peerIdFromPublicKey(public_key);
  if (peer_id !== peerId) {
    throw mismatch(
      "run.node.peer_id",
      `run.node.peer_id is ${peer_id}, its key belongs to ${peerId}`,
    );
  }
  compare("run.node.public_key", public_key, expected.key, "expected");
  compare("run.node.peer_id", peer_id, expected.peerId, "expected");
}

function checkTimes(receipt: Receipt, window: ReceiptWindow | undefined): void {
  const problem = findTimeProblem(receipt);
  if (problem !== undefined) throw mismatch(problem.field, problem.text);
  if (window === undefined) return;
  const tolerance = window.toleranceMs ?? CLOCK_TOLERANCE_MS;
  for (const name of ["started_at", "finished_at"] as const satisfies (keyof Run)[]) {
    const text = receipt.run[name];
    const time = Date.parse(text);
    // Negated, so that NaN in the window is rejected.
    if (!(time >= window.from - tolerance && time <= window.to + tolerance)) {
      throw mismatch(
        `run.${name}`,
        `run.${name} is ${text}, the job ran between ` +
          `${timeText(window.from)} and ${timeText(window.to)}`,
      );
    }
  }
}

function timeText(time: number): string {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? String(time) : date.toISOString();
}

function compare(
  field: string,
  actual: string | undefined,
  wanted: string | undefined,
  source: string,
): void {
  const problem = findDifference({ field, actual, wanted, source });
  if (problem !== undefined) throw mismatch(problem.field, problem.text);
}

function mismatch(field: string, why: string): PlasmError {
  return new PlasmError("bad-receipt", `Cannot trust receipt: ${why}`, { details: { field } });
}
