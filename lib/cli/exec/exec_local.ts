/**
 * Runs the job of `plasm exec` on this machine, without a daemon, and prints its output.
 *
 * @module
 */
import { DEFAULT_RESOURCES, loadOrCreateIdentity, stateDir } from "../../core/mod.ts";
import { SpeculativeExecutor } from "../../sandbox/host/mod.ts";
import { DEFAULT_JOB_BYTES } from "../../sandbox/host/spawn/mod.ts";
import { DEFAULT_CEILINGS, executeJob, type SandboxOutcome } from "../../sandbox/mod.ts";
import { backtraceJson, printFailure } from "../backtrace_text.ts";
import type { ParsedArgs } from "../command.ts";
import { writeReceipt } from "../host_files.ts";
import type { CliIo } from "../io.ts";
import { CollectedOutput, exitStatusOf, fuelJson, printFuel } from "../job_result.ts";
import { hasBackgroundSocket } from "./background_socket.ts";
import { BundleFile, stdinFor } from "./bundle_file.ts";
import { exitStatusWith, outputsJson, OutputStaging, printOutputs } from "../output_files/mod.ts";
import { readJob } from "./exec_job.ts";
import { execInBackground } from "./exec_daemon.ts";
import { takeSpeculativeProcess } from "./speculative_start.ts";

/** Maximum size of the output that `--json` collects in memory, in bytes. */
const MAX_COLLECTED_BYTES = 64 * 2 ** 20;

/** Starts an executor for the memory on the command line, while the job is read. */
function startExecutor(args: ParsedArgs, io: CliIo): SpeculativeExecutor {
  const memoryMb = args.integer("memory-mb") ?? DEFAULT_RESOURCES.memory_mb;
  // A manifest may request any amount of memory, and an amount above the ceiling is likely to be rejected.
  const isUnknown = args.string("manifest") !== undefined ||
    memoryMb > DEFAULT_CEILINGS.memory_mb;
  if (isUnknown || hasBackgroundSocket((name) => io.env(name))) {
    return new SpeculativeExecutor();
  }
  const maxMemoryBytes = memoryMb * 2 ** 20 + DEFAULT_CEILINGS.fs_bytes;
  const child = maxMemoryBytes === DEFAULT_JOB_BYTES ? takeSpeculativeProcess() : undefined;
  return new SpeculativeExecutor({ maxMemoryBytes, child });
}

/** Runs the job. Resolves to the exit status. */
export async function execLocally(args: ParsedArgs, io: CliIo): Promise<number> {
  await using executor = startExecutor(args, io);
  const { signal } = io;
  const receiptPath = args.string("receipt");
  const json = args.flag("json");
  const job = await readJob(args, io);
  // Its answer is neither collected nor kept.
  if (!json && !args.flag("bundle")) {
    const status = await execInBackground(job, { args, io });
    if (status !== undefined) return status;
  }
  io.drop(["net"]);
  const { module, moduleHash, manifest, inputs, ceilings, targets } = job;
  using staging = new OutputStaging({ targets, inputs: manifest.inputs });
  const bundle = BundleFile.of(args);
  const stdin = await stdinFor(bundle, io);
  const signer = json || receiptPath !== undefined || bundle !== undefined
    ? await loadOrCreateIdentity(stateDir((name) => io.env(name)))
    : undefined;
  const collected = json ? new CollectedOutput() : undefined;
  const output_bytes = json
    ? Math.min(ceilings.output_bytes, MAX_COLLECTED_BYTES)
    : ceilings.output_bytes;
  const events = executeJob(module, {
    manifest,
    moduleHash,
    inputs,
    ceilings: { ...ceilings, output_bytes },
    stdin,
    signer,
    signal,
    executor,
  });
  for await (const event of events) {
    if (event.type === "stdout" || event.type === "stderr") {
      const { type, data } = event;
      bundle?.add(type, data);
      if (collected !== undefined) collected.add(type, data);
      else await (type === "stdout" ? io.write(data) : io.message(data));
    } else if (event.type === "files") {
      bundle?.addFiles(event.data);
      await staging.add(event.data);
    } else if (event.type === "finished") {
      const { outcome, receipt } = event;
      const { leftBehind } = outcome;
      const written = targets.length === 0 ? undefined : await staging.commit(io);
      const report = { written, leftBehind };
      if (receiptPath !== undefined && receipt !== undefined) {
        await writeReceipt(receiptPath, receipt, { signal });
      }
      if (bundle !== undefined && receipt !== undefined) {
        await bundle.write({
          job: { module, inputs },
          manifest,
          receipt,
          stdin: stdin instanceof Uint8Array ? stdin : undefined,
        }, io);
      }
      if (collected !== undefined) {
        await io.write(
          `${
            JSON.stringify({
              ...outcomeJson(outcome),
              ...collected.toJSON(),
              ...outputsJson(report),
              receipt,
            })
          }\n`,
        );
      } else {
        const { message, status, backtrace } = outcome;
        await printFailure(message ?? status, { status, backtrace, io });
        await printFuel(outcome.fuel, { args, io });
        await printOutputs(report, io);
      }
      return exitStatusWith(report, exitStatusOf(outcome.status, outcome.exitCode));
    }
  }
  return 70;
}

function outcomeJson(outcome: SandboxOutcome): Record<string, unknown> {
  const { status, exitCode, message, usage } = outcome;
  return {
    status,
    exit_code: exitCode,
    ...(message === undefined ? {} : { message }),
    ...backtraceJson(outcome.backtrace),
    usage: {
      wall_time_ms: usage.wallTimeMs,
      cpu_time_ms: usage.cpuTimeMs,
      memory_peak_bytes: usage.memoryPeakBytes,
    },
    ...fuelJson(outcome.fuel),
  };
}
