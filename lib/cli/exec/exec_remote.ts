/**
 * Runs the job of `plasm exec --remote` on another node and prints the verified result.
 *
 * @module
 */
import { EMPTY_HASH, type Manifest } from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import {
  bytesSource,
  type RemoteJob,
  type RemoteOutput,
  type RemoteResult,
  resumeOnPeer,
  type ResumeOnPeerOptions,
  type ResumeTicket,
  runOnPeers,
} from "../../remote/client/mod.ts";
import { backtraceJson, printFailure } from "../backtrace_text.ts";
import type { ParsedArgs } from "../command.ts";
import { readWholeStdin, writeReceipt } from "../host_files.ts";
import type { CliIo } from "../io.ts";
import { CollectedOutput, exitStatusOf, fuelJson, printFuel } from "../job_result.ts";
import { BundleFile } from "./bundle_file.ts";
import type { ExecJob } from "./exec_job.ts";
import { progressLine } from "./progress_line.ts";
import { RemoteClient } from "./remote_client.ts";
import {
  exitStatusWith,
  outputsJson,
  type OutputsReport,
  OutputStaging,
  printOutputs,
  type WrittenOutputs,
} from "../output_files/mod.ts";
import { readTicket, removeTicket, writeTicket } from "./ticket_file.ts";

interface Context {
  args: ParsedArgs;
  io: CliIo;
}

/** Maximum size of the output that `--json` collects in memory, in bytes. */
const MAX_COLLECTED_BYTES = 64 * 2 ** 20;

/** Maximum size of the output if the manifest does not limit it, in bytes; it is stored on disk. */
const MAX_OUTPUT_BYTES = 2 ** 30;

/** Maximum size of a job's output, in bytes; `isCollected` if it is collected in memory. */
export function outputLimit({ resources }: Manifest, isCollected: boolean): number {
  const asked = resources.output_bytes ?? MAX_OUTPUT_BYTES;
  return isCollected ? Math.min(asked, MAX_COLLECTED_BYTES) : asked;
}

/** Converts a job to one for another node. */
export async function remoteJob(
  { module, manifest, inputs }: RemoteExecJob,
  stdin: Uint8Array,
): Promise<RemoteJob> {
  const sources = new Map(
    await Promise.all(
      Object.values(inputs).filter((data) => data.length > 0).map(async (data) => {
        const source = await bytesSource(data);
        return [source.hash, source] as const;
      }),
    ),
  );
  sources.delete(EMPTY_HASH);
  return {
    manifest,
    module: await bytesSource(module),
    stdin: await bytesSource(stdin),
    inputs: [...sources.values()],
  };
}

/** Options of {@linkcode printVerified}. */
export interface PrintVerifiedOptions extends Context {
  /** What became of the output files. */
  report: OutputsReport;
  /** Fields of `--json` about the node or the nodes. */
  fields: Record<string, unknown>;
}

/** Prints a verified result. */
export async function printVerified(
  result: Pick<RemoteResult, "receipt" | "output" | "message" | "backtrace" | "peerId">,
  { args, io, report, fields }: PrintVerifiedOptions,
): Promise<void> {
  const { receipt, output, message, backtrace, peerId } = result;
  if (args.flag("json")) {
    const collected = new CollectedOutput();
    for (const stream of ["stdout", "stderr"] as const) {
      for await (const data of output.read(stream)) collected.add(stream, data);
    }
    const { claim: { status, exit_code, fuel }, run: { usage } } = receipt;
    const document = {
      status,
      exit_code,
      message,
      ...backtraceJson(backtrace),
      usage,
      ...fuelJson(fuel),
      ...collected.toJSON(),
      ...outputsJson(report),
      verified: true,
      ...fields,
    };
    await io.write(`${JSON.stringify(document)}\n`);
    return;
  }
  if (!args.flag("live")) {
    for await (const data of output.read("stderr")) await io.message(data);
    for await (const data of output.read("stdout")) await io.write(data);
  } else await io.message(`plasm: Verified the receipt of ${peerId}\n`);
  const { status, fuel } = receipt.claim;
  await printFailure(message ?? status, { status, backtrace, io });
  await printFuel(fuel, { args, io });
  await printOutputs(report, io);
}

/** Reports whether the job may still be available on its node after this error. */
function isLost({ code }: PlasmError): boolean {
  return code === "no-peer" || code === "peer-timeout";
}

/** Starts the job, or resumes it if the ticket file exists. */
async function run(
  job: RemoteJob,
  client: RemoteClient,
  { args, ...options }: Omit<ResumeOnPeerOptions, "dial"> & Pick<Context, "args">,
): Promise<RemoteResult> {
  const path = args.string("ticket");
  const saved = path === undefined ? undefined : await readTicket(path, job);
  const saveTicket = path === undefined ? undefined : async (ticket?: ResumeTicket) => {
    if (ticket === undefined) return await removeTicket(path);
    const address = await client.addressOf(ticket.peerId) ?? null;
    await writeTicket(
      path,
      { ticket, address: address && withPeerId(address, ticket.peerId) },
      job,
    );
  };
  try {
    if (saved === undefined) {
      return await runOnPeers(job, {
        ...options,
        dial: client.dial,
        saveTicket,
        attempts: args.integer("attempts"),
        isSole: args.string("peer") !== undefined,
        candidates: client.candidates(job),
      });
    }
    const { ticket, address } = saved;
    return await resumeOnPeer(job, ticket, {
      ...options,
      dial: (peerId, dialing) => client.dial(address ?? peerId, dialing),
      saveTicket,
    });
  } catch (error) {
    if (path !== undefined && !isLost(PlasmError.from(error))) await removeTicket(path);
    throw error;
  }
}

/** The address with the peer id at its end. */
function withPeerId(address: string, peerId: string): string {
  return address.endsWith(`/p2p/${peerId}`) ? address : `${address}/p2p/${peerId}`;
}

/** Job that runs on another node. */
export type RemoteExecJob = Pick<ExecJob, "module" | "manifest" | "inputs">;

/**
 * Runs a job on another node. Resolves to the exit status.
 *
 * @throws {PlasmError} as `RemoteClient.start` and `runOnPeers`
 */
export async function execRemote(job: ExecJob, context: Context): Promise<number> {
  const { args, io } = context;
  const stdin = await readWholeStdin(io) ?? new Uint8Array();
  const bundle = BundleFile.of(args);
  return await withRemoteResult(job, {
    ...context,
    stdin,
    maxOutputBytes: outputLimit(job.manifest, args.flag("json")),
    live: args.flag("live"),
    use: async (result) => {
      const { receipt, output, leftBehind, peerId, attempts } = result;
      await bundle?.writeVerified({ job, manifest: job.manifest, receipt, stdin }, { output, io });
      const report = { written: await writeOutputs(job, { output, io }), leftBehind };
      const path = args.string("receipt");
      if (path !== undefined) await writeReceipt(path, receipt, { signal: io.signal });
      const fields = { receipt, node: peerId, attempts };
      await printVerified(result, { ...context, report, fields });
      return exitStatusWith(report, exitStatusOf(receipt.claim.status, receipt.claim.exit_code));
    },
  });
}

/** Writes the verified output files of a job. */
export async function writeOutputs(
  { targets, manifest: { inputs } }: ExecJob,
  { output, io }: { output: RemoteOutput; io: CliIo },
): Promise<WrittenOutputs | undefined> {
  if (targets.length === 0) return undefined;
  using staging = new OutputStaging({ targets, inputs });
  for await (const data of output.read("files")) await staging.add(data);
  return await staging.commit(io);
}

/** Options of {@linkcode withRemoteResult}. */
export interface WithRemoteResultOptions<T> extends Context {
  /** Standard input. */
  stdin: Uint8Array;
  /** Maximum size of the output, in bytes. */
  maxOutputBytes: number;
  /** Whether to print output before it is verified. */
  live: boolean;
  /** Uses the verified result, which is deleted afterwards. */
  use: (result: RemoteResult) => Promise<T>;
}

/**
 * Runs a job on another node and uses its result.
 *
 * @throws {PlasmError} as `RemoteClient.start` and `runOnPeers`
 */
export async function withRemoteResult<T>(
  job: RemoteExecJob,
  { args, io, stdin, maxOutputBytes, live, use }: WithRemoteResultOptions<T>,
): Promise<T> {
  const remote = await remoteJob(job, stdin);
  await using client = await RemoteClient.start(args, io);
  const { show, clear } = progressLine(io, { json: args.flag("json") });
  try {
    show({ type: "finding" });
    using result = disposable(
      await run(remote, client, {
        args,
        signal: io.signal,
        maxOutputBytes,
        onEvent: show,
        recordOutcome: client.recordOutcome,
        ...(live
          ? {
            live: async (stream, data) => {
              await clear();
              await (stream === "stdout" ? io.write(data) : io.message(data));
            },
          }
          : {}),
      }),
    );
    await clear();
    return await use(result);
  } finally {
    await clear();
  }
}

function disposable(result: RemoteResult): RemoteResult & Disposable {
  return { ...result, [Symbol.dispose]: () => result.output[Symbol.dispose]() };
}
