/**
 * `plasm result`: waits for a job and ends as it did.
 * @module
 */
import type { JobJson } from "../../api/mod.ts";
import type { DaemonClient } from "../../client/mod.ts";
import { verifyReceipt } from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import { printable } from "../../util/mod.ts";
import type { ParsedArgs } from "../args.ts";
import type { Command } from "../command.ts";
import { clientOf } from "../daemon_client.ts";
import { SOCKET_OPTION } from "../socket_option.ts";
import { CollectedOutput } from "../exec/mod.ts";
import { exitStatusOf } from "../job_exit.ts";
import type { CliIo } from "../io.ts";
import { checkReceiptPath, writeReceipt } from "../receipt_file.ts";

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

/** The command. */
export const result: Command = {
  spec: {
    name: "result",
    summary: "Wait for a job of the daemon and print what it wrote",
    usage: "[OPTIONS] JOB",
    description:
      "Waits until the job is over, checks its receipt against the daemon's key and the output that " +
      "came, prints the output and exits with the job's own code; 124, 130, 134 and 137 as " +
      "plasm exec.",
    options: [
      {
        name: "receipt",
        kind: "string",
        placeholder: "FILE",
        complete: "file",
        help: "Write the signed receipt to a file",
      },
      SOCKET_OPTION,
    ],
    positionals: { min: 1, max: 1 },
    examples: [
      {
        call: 'plasm result "$(plasm submit hello.wasm < in)" > out',
        does: "Run a job by way of the daemon",
      },
    ],
  },
  drops: () => ["run", "sys"],
  async run(args, io): Promise<number> {
    using client = clientOf(args, io);
    const path = args.string("receipt");
    if (path !== undefined) await checkReceiptPath(path);
    return await printResult(client, args.positionals[0]!, { args, io });
  },
};
