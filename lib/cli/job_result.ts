/**
 * The result of a job as the command line prints it: exit status, output, verified receipt.
 *
 * @module
 */
import type { JobJson } from "../api/mod.ts";
import type { DaemonClient } from "../client/mod.ts";
import { type JobStatus, verifyReceipt } from "../core/mod.ts";
import { PlasmError } from "../core/errors/mod.ts";
import { printable } from "../util/mod.ts";
import type { ParsedArgs } from "./command.ts";
import type { CliIo } from "./io.ts";
import { writeReceipt } from "./receipt_file.ts";

/** Exit statuses of jobs that did not exit by themselves; see docs/operations.md. */
const EXIT_OF_STATUS: Record<Exclude<JobStatus, "exited">, number> = {
  timeout: 124,
  cancelled: 130,
  trapped: 134,
  memory: 137,
  output: 137,
  rejected: 77,
};

/** A guest may exit with 32 bits, a process with 8: what does not fit must not look like success. */
export function exitStatusOf(status: JobStatus, exitCode: number | null): number {
  return status === "exited" ? Math.min(exitCode ?? 0, 255) : EXIT_OF_STATUS[status];
}

/** Collects both streams; see {@linkcode CollectedOutput.toJSON}. */
export class CollectedOutput {
  readonly #parts = { stdout: [] as Uint8Array[], stderr: [] as Uint8Array[] };

  /** Adds a piece of a stream. */
  add(stream: "stdout" | "stderr", data: Uint8Array): void {
    this.#parts[stream].push(data.slice());
  }

  /** Each stream as text where it is UTF-8, else in base64, with a field that says which. */
  toJSON(): Record<string, string> {
    const { stdout, stderr } = this.#parts;
    return { ...encode("stdout", stdout), ...encode("stderr", stderr) };
  }
}

function encode(name: string, parts: Uint8Array[]): Record<string, string> {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  try {
    // A byte order mark is part of the output: without ignoreBOM it would be dropped.
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    return { [name]: text, [`${name}_encoding`]: "utf-8" };
  } catch {
    return { [name]: bytes.toBase64(), [`${name}_encoding`]: "base64" };
  }
}

/**
 * Waits for a job, checks its receipt against the node's key and what came, and prints what it wrote.
 *
 * @returns the exit status that tells how the job ended
 * @throws {PlasmError} The error of a job without a result; `bad-receipt`
 */
export async function printResult(
  client: DaemonClient,
  id: string,
  { args, io }: { args: ParsedArgs; io: CliIo },
): Promise<number> {
  const { signal } = io;
  const { job, stdout, stderr, receipt } = await client.result(id, { signal });
  await verifyReceipt(receipt, {
    ...await signerOf(client, job, io),
    nonce: job.nonce,
    stdout,
    stderr,
  });
  const path = args.string("receipt");
  if (path !== undefined) await writeReceipt(path, receipt);
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
          usage: receipt.usage,
          ...output.toJSON(),
          receipt,
        })
      }\n`,
    );
  } else {
    await io.write(stdout);
    await io.message(stderr);
    if (job.status !== "exited") {
      await io.message(`plasm: ${printable(job.message ?? job.status ?? job.state)}\n`);
    }
  }
  if (job.status === null) throw new PlasmError("protocol", "Cannot read result: it has no status");
  return exitStatusOf(job.status, job.exit_code);
}

/**
 * Who must have signed: the daemon, also what it cancelled before another node had it; else the node that was
 * asked for, or the one that the daemon found and has verified.
 */
async function signerOf(
  client: DaemonClient,
  { target, peer }: JobJson,
  { signal }: CliIo,
): Promise<{ key: string } | { peerId: string }> {
  if (peer === null) return { key: (await client.node({ signal })).public_key };
  return { peerId: target?.peer?.split("/").at(-1) ?? peer };
}
