/**
 * `plasm exec --remote`, `--daemon` and `--pipe`: reads the job, and leaves the rest to others.
 * @module
 */
import type { ParsedArgs } from "../args.ts";
import { readJob } from "./exec_job.ts";
import type { CliIo } from "../io.ts";

/** Runs the job on another node. */
export async function runRemote(args: ParsedArgs, io: CliIo): Promise<number> {
  const job = await readJob(args, io);
  return await (await import("./exec_remote.ts")).execRemote(job, { args, io });
}

/** Runs the job by way of the daemon. */
export async function runByDaemon(args: ParsedArgs, io: CliIo): Promise<number> {
  if (args.flag("pipe")) {
    const { checkPipe, execByPipe } = await import("./pipe_run.ts");
    checkPipe(args);
    return await execByPipe(await readJob(args, io), { args, io });
  }
  const job = await readJob(args, io);
  return await (await import("./daemon_run.ts")).execByDaemon(job, { args, io });
}
