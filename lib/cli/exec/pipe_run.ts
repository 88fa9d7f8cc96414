/**
 * `plasm exec --pipe`: by way of the daemon, standard input as it comes and output as it is written.
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { printable } from "../../util/mod.ts";
import type { ParsedArgs } from "../command.ts";
import { clientOf } from "../daemon_client.ts";
import type { ExecJob } from "./exec_job.ts";
import { exitStatusOf } from "../job_result.ts";
import type { CliIo } from "../io.ts";
import { writeReceipt } from "../receipt_file.ts";

/**
 * Refuses what cannot be together.
 *
 * @throws {PlasmError} `usage`
 */
export function checkPipe(args: ParsedArgs): void {
  if (!args.flag("json")) return;
  throw new PlasmError("usage", "Cannot use --json with --pipe: output is printed as it comes", {
    hint: "Write the receipt to a file with --receipt",
  });
}

/**
 * Runs a job; the receipt has been checked against what was sent and printed when this resolves. Who
 * leaves cancels it: an interrupt, a reader of the output that is gone.
 *
 * @throws {PlasmError} `no-daemon`, the daemon's refusals, the error of a job without a result, `bad-receipt`
 */
export async function execByPipe(
  job: ExecJob,
  { args, io }: { args: ParsedArgs; io: CliIo },
): Promise<number> {
  using client = clientOf(args, io);
  const { module_hash: _hash, inputs: _inputs, ...manifest } = job.manifest;
  const events = client.pipe(job.module, {
    manifest,
    ...(Object.keys(job.inputs).length === 0 ? {} : { inputs: job.inputs }),
    stdin: io.stdinIsTerminal ? undefined : io.stdinReader,
    signal: io.signal,
  });
  for await (const event of events) {
    if (event.type === "stdout") await io.write(event.data);
    else if (event.type === "stderr") await io.message(event.data);
    else if (event.type === "finished") {
      const { receipt } = event;
      const path = args.string("receipt");
      if (path !== undefined) await writeReceipt(path, receipt);
      if (receipt.status !== "exited") {
        await io.message(`plasm: ${printable(event.job.message ?? receipt.status)}\n`);
      }
      return exitStatusOf(receipt.status, receipt.exit_code);
    }
  }
  throw new PlasmError("protocol", "Cannot read result: the run ended without an end");
}
