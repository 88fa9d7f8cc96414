/**
 * `plasm exec --daemon`: the same as alone, by way of the daemon's queue and executors.
 * @module
 */
import { Hasher, verifyReceipt } from "../../core/mod.ts";
import type { DaemonClient } from "../../client/mod.ts";
import { printable } from "../../util/mod.ts";
import type { ParsedArgs } from "../command.ts";
import { clientOf } from "../daemon_client.ts";
import type { ExecJob } from "./exec_job.ts";
import { exitStatusOf } from "../job_result.ts";
import type { CliIo } from "../io.ts";
import { writeReceipt } from "../receipt_file.ts";
import { printResult } from "../job_result.ts";
import { readWholeStdin } from "../stdin.ts";

interface Context {
  args: ParsedArgs;
  io: CliIo;
}

/** Prints output as it comes, then checks the receipt against what was printed. */
async function printLive(client: DaemonClient, id: string, { args, io }: Context): Promise<number> {
  const { signal } = io;
  let hashers = { stdout: new Hasher(), stderr: new Hasher() };
  for await (const event of client.events(id, { signal })) {
    if (event.type === "stdout" || event.type === "stderr") {
      await hashers[event.type].update(event.data);
      await (event.type === "stdout" ? io.write(event.data) : io.message(event.data));
    } else if (event.type === "interrupted" && event.rerun) {
      await io.message("plasm: the node stopped; the job begins anew\n");
      hashers = { stdout: new Hasher(), stderr: new Hasher() };
    }
  }
  const job = await client.job(id, { signal });
  const receipt = await client.settledReceipt(job, { signal });
  const { public_key: key } = await client.node({ signal });
  const measure = async (hasher: Hasher): Promise<{ bytes: number; hash: string }> => ({
    bytes: hasher.bytes,
    hash: await hasher.digest(),
  });
  await verifyReceipt(receipt, {
    key,
    nonce: job.nonce,
    stdout: await measure(hashers.stdout),
    stderr: await measure(hashers.stderr),
  });
  const path = args.string("receipt");
  if (path !== undefined) await writeReceipt(path, receipt);
  if (receipt.status !== "exited") {
    await io.message(`plasm: ${printable(job.message ?? receipt.status)}\n`);
  }
  return exitStatusOf(receipt.status, receipt.exit_code);
}

/**
 * Runs a job by way of the daemon and prints its output as it comes. An interrupt cancels the job.
 *
 * @throws {PlasmError} `no-daemon`, the daemon's refusals, the error of a job without a result
 */
export async function execByDaemon(job: ExecJob, context: Context): Promise<number> {
  const { args, io } = context;
  const { signal } = io;
  using client = clientOf(args, io);
  const { module_hash: _hash, inputs: _inputs, ...manifest } = job.manifest;
  const { id } = await client.submit(job.module, {
    manifest,
    ...(Object.keys(job.inputs).length === 0 ? {} : { inputs: job.inputs }),
    stdin: await readWholeStdin(io),
    signal,
  });
  try {
    return await (args.flag("json") ? printResult : printLive)(client, id, context);
  } catch (error) {
    // Nobody waits for it any more: neither after Ctrl-C nor when the reader of the output is gone.
    await client.cancel(id).catch(() => {});
    throw error;
  }
}
