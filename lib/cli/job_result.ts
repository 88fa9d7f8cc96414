/**
 * Prints the result of a job: output, verified receipt and exit status.
 *
 * @module
 */
import type { JobJson } from "../api/mod.ts";
import type { DaemonClient } from "../client/mod.ts";
import { createEnvelope, type JobStatus, type Receipt, verifyReceipt } from "../core/mod.ts";
import { PlasmError } from "../core/errors/mod.ts";
import { concat } from "../util/mod.ts";
import { backtraceJson, printFailure } from "./backtrace_text.ts";
import type { ParsedArgs } from "./command.ts";
import type { CliIo } from "./io.ts";
import { writeReceipt } from "./host_files.ts";
import {
  exitStatusWith,
  fetchOutputs,
  outputsJson,
  type OutputTarget,
  printOutputs,
} from "./output_files/mod.ts";

/** Exit statuses of jobs that did not exit; see docs/operations.md. */
const EXIT_OF_STATUS: Record<Exclude<JobStatus, "exited">, number> = {
  timeout: 124,
  cancelled: 130,
  trapped: 134,
  memory: 137,
  output: 137,
  fuel: 137,
  rejected: 77,
};

/**
 * The exit status of a finished job. Exit codes of a guest have 32 bits, those of a process 8: larger codes become 255, so
 * that none becomes 0.
 */
export function exitStatusOf(status: JobStatus, exitCode: number | null): number {
  return status === "exited" ? Math.min(exitCode ?? 0, 255) : EXIT_OF_STATUS[status];
}

/** Fields of a result as JSON that a job has only if its instructions were counted. */
export function fuelJson(fuel: number | undefined): { fuel?: number } {
  return fuel === undefined ? {} : { fuel };
}

/** Prints the instructions that a job executed, if `--fuel` asked for it. */
export async function printFuel(
  fuel: number | undefined,
  { args, io }: { args: ParsedArgs; io: CliIo },
): Promise<void> {
  if (!args.flag("fuel") || fuel === undefined) return;
  await io.message(`plasm: fuel used: ${fuel} instructions\n`);
}

/** Collects a job's output for JSON. */
export class CollectedOutput {
  readonly #parts = { stdout: [] as Uint8Array[], stderr: [] as Uint8Array[] };

  /** Appends to a stream. */
  add(stream: "stdout" | "stderr", data: Uint8Array): void {
    this.#parts[stream].push(data.slice());
  }

  /** Both streams, as text if they are UTF-8, else in base64; `*_encoding` is `utf-8` or `base64`. */
  toJSON(): Record<string, string> {
    const { stdout, stderr } = this.#parts;
    return { ...encode("stdout", stdout), ...encode("stderr", stderr) };
  }
}

function encode(name: string, parts: Uint8Array[]): Record<string, string> {
  const bytes = concat(parts);
  try {
    // A byte order mark is part of the output: without ignoreBOM it would be dropped.
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    return { [name]: text, [`${name}_encoding`]: "utf-8" };
  } catch {
    return { [name]: bytes.toBase64(), [`${name}_encoding`]: "base64" };
  }
}

/** Options of {@linkcode printResult}. */
export interface PrintResultOptions {
  /** Arguments of the command. */
  args: ParsedArgs;
  /** Streams of the command. */
  io: CliIo;
  /** Receives the verified result before it is printed. @default {none} */
  onResult?: ((result: PrintedResult) => Promise<void>) | undefined;
  /** Where output files are written. @default {nowhere} */
  targets?: readonly OutputTarget[] | undefined;
  /** The inputs of the manifest: what a shared directory already has. @default {none} */
  inputs?: Readonly<Record<string, string>> | undefined;
}

/** A verified result. */
export interface PrintedResult {
  receipt: Receipt;
  stdout: Uint8Array;
  stderr: Uint8Array;
  /** Parts of the archive of output files. */
  archive: readonly Uint8Array[];
}

/**
 * Waits for a job, verifies its receipt with the node's key and the received output, and prints the output.
 *
 * @returns The exit status
 * @throws {PlasmError} The error of a job without a result; `bad-receipt`
 */
export async function printResult(
  client: DaemonClient,
  id: string,
  { args, io, onResult, targets = [], inputs }: PrintResultOptions,
): Promise<number> {
  const { signal } = io;
  const { job, stdout, stderr, receipt } = await client.result(id, { signal, outputs: false });
  await verifyReceipt(receipt, {
    ...await signerOf(client, job, io),
    nonce: job.nonce,
    stdout,
    stderr,
  });
  const receipts = job.target?.agree === undefined
    ? [receipt]
    : await agreeingReceipts(client, id, { receipt, signal });
  const path = args.string("receipt");
  if (path !== undefined) {
    const file = receipts.length === 1 ? receipt : await createEnvelope(receipts);
    await writeReceipt(path, file, { signal });
  }
  const archive: Uint8Array[] = [];
  const onData = onResult && ((data: Uint8Array) => void archive.push(data));
  const written = await fetchOutputs(client, id, { receipt, targets, inputs, io, onData });
  await onResult?.({ stdout, stderr, receipt, archive });
  const report = { written, leftBehind: job.left_behind ?? undefined };
  if (args.flag("json")) {
    const output = new CollectedOutput();
    output.add("stdout", stdout);
    output.add("stderr", stderr);
    const { status, exit_code, message } = job;
    await io.write(
      `${
        JSON.stringify({
          id,
          status,
          exit_code,
          ...(message === null ? {} : { message }),
          ...backtraceJson(job.backtrace),
          usage: receipt.run.usage,
          ...fuelJson(receipt.claim.fuel),
          ...output.toJSON(),
          ...outputsJson(report),
          receipt,
          ...(receipts.length === 1 ? {} : { receipts }),
        })
      }\n`,
    );
  } else {
    await io.write(stdout);
    await io.message(stderr);
    const { message, status, state, backtrace } = job;
    await printFailure(message ?? status ?? state, { status, backtrace, io });
    await printFuel(receipt.claim.fuel, { args, io });
    await printOutputs(report, io);
  }
  if (job.status === null) throw new PlasmError("protocol", "Cannot read result: it has no status");
  return exitStatusWith(report, exitStatusOf(job.status, job.exit_code));
}

/**
 * Receipts of the nodes that agree, each verified.
 *
 * @throws {PlasmError} `bad-receipt` if they are not `agree` nodes with one claim
 */
async function agreeingReceipts(
  client: DaemonClient,
  id: string,
  { receipt, signal }: { receipt: Receipt; signal: AbortSignal },
): Promise<Receipt[]> {
  const { target } = await client.job(id, { signal });
  const receipts = await client.receipts(id, { signal });
  for (const one of receipts) await verifyReceipt(one, { nonce: receipt.run.nonce });
  const nodes = new Set(receipts.map(({ run }) => run.node.peer_id));
  const isAgreed = receipts.every(({ run }) => run.claim_hash === receipt.run.claim_hash);
  if (isAgreed && nodes.size >= (target?.agree ?? 1)) return receipts;
  throw new PlasmError(
    "bad-receipt",
    `Cannot trust receipts: ${nodes.size} nodes signed, ${target?.agree} must agree`,
  );
}

/**
 * The expected signer: the requested peer or the one that the daemon found and verified; the daemon itself for its own jobs
 * and for jobs cancelled before a peer accepted them.
 */
async function signerOf(
  client: DaemonClient,
  { target, peer }: JobJson,
  { signal }: CliIo,
): Promise<{ key: string } | { peerId: string }> {
  if (peer === null) return { key: (await client.node({ signal })).public_key };
  return { peerId: target?.peer?.split("/").at(-1) ?? peer };
}
