/**
 * Verifies receipts: compares a receipt with everything that the verifier knows and refuses any difference.
 *
 * @module
 */
import { PlasmError } from "./errors/mod.ts";
import { sha256 } from "./hash.ts";
import { clip } from "./json.ts";
import { manifestHash } from "./manifest.ts";
import { peerIdFromPublicKey } from "./ids.ts";
import { checkReceipt, hasValidSignature } from "./receipt.ts";
import { findTimeProblem } from "./receipt.ts";
import type { Hash, Manifest, Receipt } from "./types.gen.ts";

/** Hash and length of content, as computed by `Hasher`. */
export interface Measured {
  /** SHA-256 of the content. */
  hash: Hash;
  /** Length in bytes. */
  bytes: number;
}

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

/** What the verifier knows. Absent fields are not checked. */
export interface ReceiptExpectations {
  /** The node's Ed25519 public key, in hex. */
  key?: string;
  /** The node's peer id. */
  peerId?: string;
  /** The job's id. */
  jobId?: string;
  /** The nonce that was sent with the job. */
  nonce?: string;
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
  /** Time in which the job can have run. */
  window?: ReceiptWindow;
}

/** Clocks without network time drift by minutes; a replayed receipt is caught by its nonce. */
const CLOCK_TOLERANCE_MS = 5 * 60 * 1000;

const EXPECTATIONS: ReadonlySet<string> = new Set<keyof ReceiptExpectations>([
  "key",
  "peerId",
  "jobId",
  "nonce",
  "manifest",
  "module",
  "stdin",
  "stdout",
  "stderr",
  "window",
]);

/**
 * Verifies a receipt and returns a copy. Checks, in this order: form, signature, peer id (derived from the
 * key), the expected node, job id, nonce, manifest, module, standard input, hash and length of the received
 * output, and times.
 *
 * @throws {PlasmError} `bad-receipt`; `details.field` names the first field that is wrong
 * @throws {PlasmError} `usage` when an expectation is unknown or undefined: an expectation that is lost
 * on its way must not turn into a check that passes
 *
 * @example
 * ```ts
 * import { verifyReceipt } from "@plasm/plasm";
 * import { assertRejects } from "@std/assert";
 *
 * await assertRejects(() => verifyReceipt({}), Error, "version is missing");
 * ```
 */
export async function verifyReceipt(
  receipt: unknown,
  expected: ReceiptExpectations = {},
): Promise<Receipt> {
  for (const [name, value] of Object.entries(expected)) {
    if (!EXPECTATIONS.has(name) || value === undefined) {
      const why = EXPECTATIONS.has(name) ? "undefined" : "not known";
      throw new PlasmError("usage", `Cannot verify receipt: expectation is ${why}: ${clip(name)}`);
    }
  }
  // A copy, because the caller may change its object during the checks.
  const checked = structuredClone(checkReceipt(receipt));
  await checkNode(checked, expected);
  compare("job_id", checked.job_id, expected.jobId, "expected");
  compare("nonce", checked.nonce, expected.nonce, "sent");
  await checkSent(checked, expected);
  await checkOutput(checked, "stdout", expected.stdout);
  await checkOutput(checked, "stderr", expected.stderr);
  checkTimes(checked, expected.window);
  return checked;
}

async function checkNode(receipt: Receipt, expected: ReceiptExpectations): Promise<void> {
  const { peer_id, public_key } = receipt.node;
  if (!await hasValidSignature(receipt)) {
    throw refusal("signature", `signature is not by ${public_key} over this receipt`);
  }
  const peerId = peerIdFromPublicKey(public_key);
  if (peer_id !== peerId) {
    throw refusal("node.peer_id", `node.peer_id is ${peer_id}, its key belongs to ${peerId}`);
  }
  compare("node.public_key", public_key, expected.key, "expected");
  compare("node.peer_id", peer_id, expected.peerId, "expected");
}

async function checkSent(receipt: Receipt, expected: ReceiptExpectations): Promise<void> {
  const { manifest, module, stdin } = expected;
  if (manifest !== undefined) {
    compare("manifest_hash", receipt.manifest_hash, await manifestHash(manifest), "the manifest");
    compare("module_hash", receipt.module_hash, manifest.module_hash, "the manifest names");
    compare("stdin_hash", receipt.stdin_hash, manifest.stdin_hash, "the manifest names");
  }
  compare("module_hash", receipt.module_hash, await hashOf(module), "the module sent is");
  compare("stdin_hash", receipt.stdin_hash, await hashOf(stdin), "the stdin sent is");
}

async function hashOf(content: Uint8Array | Hash | undefined): Promise<Hash | undefined> {
  return content instanceof Uint8Array ? await sha256(content) : content;
}

async function checkOutput(
  receipt: Receipt,
  name: "stdout" | "stderr",
  received: Uint8Array | Measured | undefined,
): Promise<void> {
  if (received === undefined) return;
  const { hash, bytes } = received instanceof Uint8Array
    ? { hash: await sha256(received), bytes: received.length }
    : received;
  if (receipt[`${name}_hash`] !== hash) {
    const told = receipt[`${name}_hash`];
    throw refusal(`${name}_hash`, `${name}_hash is ${told}, received bytes hash to ${hash}`);
  }
  if (receipt[`${name}_bytes`] !== bytes) {
    const told = receipt[`${name}_bytes`];
    throw refusal(`${name}_bytes`, `${name}_bytes is ${told}, received were ${bytes}`);
  }
}

function checkTimes(receipt: Receipt, window: ReceiptWindow | undefined): void {
  const problem = findTimeProblem(receipt);
  if (problem !== undefined) throw refusal(problem.field, problem.text);
  if (window === undefined) return;
  const tolerance = window.toleranceMs ?? CLOCK_TOLERANCE_MS;
  for (const field of ["started_at", "finished_at"] as const) {
    const time = Date.parse(receipt[field]);
    // Negated, so that NaN in the window refuses.
    if (!(time >= window.from - tolerance && time <= window.to + tolerance)) {
      throw refusal(
        field,
        `${field} is ${receipt[field]}, the job ran between ` +
          `${timeText(window.from)} and ${timeText(window.to)}`,
      );
    }
  }
}

function timeText(time: number): string {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? String(time) : date.toISOString();
}

function compare(field: string, told: string, wanted: string | undefined, source: string): void {
  if (wanted === undefined || told === wanted) return;
  throw refusal(field, `${field} is ${told}, ${source} ${clip(String(wanted))}`);
}

function refusal(field: string, why: string): PlasmError {
  return new PlasmError("bad-receipt", `Cannot trust receipt: ${why}`, { details: { field } });
}
