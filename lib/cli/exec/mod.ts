/**
 * Runs the job of `plasm exec` locally, through the daemon or on another node. Each way is loaded on demand: a local
 * run must not wait for the others.
 *
 * @module
 */
import type { ParsedArgs } from "../command.ts";
import type { CliIo } from "../io.ts";
import type { PlasmNetwork } from "../../p2p/mod.ts";
import type { Evidence } from "../../quorum/mod.ts";
import type { RemoteResult } from "../../remote/client/mod.ts";
import { checkModuleSections } from "../../sandbox/mod.ts";
import { readCheckedJob, readJob } from "./exec_job.ts";
import type { RemoteExecJob } from "./exec_remote.ts";

export {
  envOf,
  type HostFiles,
  type HostInputs,
  type InputFile,
  type JobBase,
  parseInput,
  readCheckedJob,
  readHostInputs,
  readJobBase,
} from "./exec_job.ts";

/** Writes evidence to the state directory. Resolves to its path. */
export async function saveInState(evidence: Evidence, io: CliIo): Promise<string> {
  return await (await import("./evidence_file.ts")).saveEvidenceIn(evidence, io);
}

/** Runs the job on this machine, without a daemon. Resolves to the exit status. */
export async function runLocally(args: ParsedArgs, io: CliIo): Promise<number> {
  return await (await import("./exec_local.ts")).execLocally(args, io);
}

/** Runs the job on another node, or with `--agree` on several. Resolves to the exit status. */
export async function runOnPeer(args: ParsedArgs, io: CliIo): Promise<number> {
  const job = await readCheckedJob(args, io);
  if (args.flag("agree")) {
    return await (await import("./exec_agreed.ts")).execAgreed(job, { args, io });
  }
  return await (await import("./exec_remote.ts")).execRemote(job, { args, io });
}

/** Joins the network that the options of a command name; see `joinAsClient`. */
export async function joinNetworkOf(args: ParsedArgs, io: CliIo): Promise<PlasmNetwork> {
  return await (await import("./join_network.ts")).joinAsClient(args, { io });
}

/** Nodes to join the network through; see `bootstrapAddresses`. */
export async function bootstrapOf(
  args: ParsedArgs,
  options: { io: CliIo; configured: readonly string[] },
): Promise<readonly string[]> {
  return await (await import("./join_network.ts")).bootstrapAddresses(args, options);
}

/** Options of {@linkcode runRemotely}. */
export interface RunRemotelyOptions<T> {
  /** Arguments of the command, with those of `REMOTE_OPTIONS`. */
  args: ParsedArgs;
  /** Streams of the command. */
  io: CliIo;
  /** Uses the verified result, which is deleted afterwards. */
  use: (result: RemoteResult) => Promise<T>;
}

/** Runs a job on another node and uses its verified result. */
export async function runRemotely<T>(
  job: RemoteExecJob & { stdin: Uint8Array },
  options: RunRemotelyOptions<T>,
): Promise<T> {
  const { outputLimit, withRemoteResult } = await import("./exec_remote.ts");
  return await withRemoteResult(job, {
    ...options,
    stdin: job.stdin,
    maxOutputBytes: outputLimit(job.manifest, false),
    live: false,
  });
}

/** Runs the job through the daemon, with `--pipe` as a stream. Resolves to the exit status. */
export async function runByDaemon(args: ParsedArgs, io: CliIo): Promise<number> {
  const { checkPipe, execByDaemon, execByPipe } = await import("./exec_daemon.ts");
  const isPiped = args.flag("pipe");
  if (isPiped) checkPipe(args);
  const job = await readJob(args, io);
  // Its functions are checked where the job runs: for a program of 75 MB that takes seconds, which the daemon saves.
  await checkModuleSections(job.module, job.manifest);
  return await (isPiped ? execByPipe : execByDaemon)(job, { args, io });
}
