/**
 * Ways to run the job of `plasm exec`. Each is loaded when it is used: a local run must not wait for the others.
 *
 * @module
 */
import type { ParsedArgs } from "../command.ts";
import type { CliIo } from "../io.ts";
import { readJob } from "./exec_job.ts";

export { readExecJob } from "./exec_job.ts";

/** Runs the job on this machine, without a daemon. Resolves to the exit status. */
export async function runLocally(args: ParsedArgs, io: CliIo): Promise<number> {
  return await (await import("./local_run.ts")).execLocally(args, io);
}

/** Runs the job on another node. Resolves to the exit status. */
export async function runOnPeer(args: ParsedArgs, io: CliIo): Promise<number> {
  const job = await readJob(args, io);
  return await (await import("./exec_remote.ts")).execRemote(job, { args, io });
}

/** Runs the job through the daemon. Resolves to the exit status. */
export async function runByDaemon(args: ParsedArgs, io: CliIo): Promise<number> {
  if (args.flag("pipe")) {
    const { checkPipe, execByPipe } = await import("./pipe_run.ts");
    checkPipe(args);
    return await execByPipe(await readJob(args, io), { args, io });
  }
  const job = await readJob(args, io);
  return await (await import("./daemon_run.ts")).execByDaemon(job, { args, io });
}
