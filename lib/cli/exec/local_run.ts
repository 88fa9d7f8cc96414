/**
 * `plasm exec` without a daemon or another node: reads the job, runs it and prints what it writes.
 * @module
 */
import { DEFAULT_RESOURCES, stateDir } from "../../core/mod.ts";
import { printable } from "../../util/mod.ts";
import { SpeculativeExecutor } from "../../sandbox/host/mod.ts";
import { DEFAULT_JOB_BYTES } from "../../sandbox/host/spawn/mod.ts";
import { DEFAULT_CEILINGS, type SandboxOutcome, streamJob } from "../../sandbox/mod.ts";
import type { ParsedArgs } from "../command.ts";
import { readJob } from "./exec_job.ts";
import { takeSpeculativeProcess } from "./speculative_start.ts";
import { CollectedOutput } from "../job_result.ts";
import { exitStatusOf } from "../job_result.ts";
import type { CliIo } from "../io.ts";
import { writeReceipt } from "../receipt_file.ts";
import { orStopped } from "../abortable_work.ts";

/** Bytes of output that `--json` holds in memory. */
const MAX_COLLECTED_BYTES = 64 * 2 ** 20;

/** How long writing an interrupted job's output may take: its reader may never read, in ms. */
const STOP_GRACE_MS = 500;

/** Starts an executor for the memory on the command line, while the job is read. */
function startExecutor(args: ParsedArgs): SpeculativeExecutor {
  const memoryMb = args.integer("memory-mb") ?? DEFAULT_RESOURCES.memory_mb;
  // A manifest may request any amount of memory, and an amount above the ceiling is likely to be rejected.
  if (args.string("manifest") !== undefined || memoryMb > DEFAULT_CEILINGS.memory_mb) {
    return new SpeculativeExecutor();
  }
  const maxMemoryBytes = memoryMb * 2 ** 20 + DEFAULT_CEILINGS.fs_bytes;
  const child = maxMemoryBytes === DEFAULT_JOB_BYTES ? takeSpeculativeProcess() : undefined;
  return new SpeculativeExecutor({ maxMemoryBytes, child });
}

/** Runs the job; resolves to the exit status. */
export async function execLocally(args: ParsedArgs, io: CliIo): Promise<number> {
  await using executor = startExecutor(args);
  const { signal } = io;
  const receiptPath = args.string("receipt");
  const json = args.flag("json");
  const job = await readJob(args, io);
  const { module, moduleHash, manifest, inputs, ceilings } = job;
  const signer = json || receiptPath !== undefined
    ? await (await import("../../core/mod.ts")).loadOrCreateIdentity(
      stateDir((name) => io.env(name)),
    )
    : undefined;
  const collected = json ? new CollectedOutput() : undefined;
  const output_bytes = json
    ? Math.min(ceilings.output_bytes, MAX_COLLECTED_BYTES)
    : ceilings.output_bytes;
  const events = streamJob(module, {
    manifest,
    moduleHash,
    inputs,
    ceilings: { ...ceilings, output_bytes },
    stdin: io.stdin,
    signer,
    signal,
    executor,
  });
  for await (const event of events) {
    if (event.type === "stdout" || event.type === "stderr") {
      if (collected !== undefined) collected.add(event.type, event.data);
      else {
        const { type, data } = event;
        const writing = type === "stdout" ? io.write(data) : io.message(data);
        await orStopped(writing, { signal, graceMs: STOP_GRACE_MS });
      }
    } else if (event.type === "finished") {
      const { outcome, receipt } = event;
      if (receiptPath !== undefined && receipt !== undefined) {
        await writeReceipt(receiptPath, receipt);
      }
      if (collected !== undefined) {
        await io.write(
          `${JSON.stringify({ ...outcomeJson(outcome), ...collected.toJSON(), receipt })}\n`,
        );
      } else if (outcome.status !== "exited") {
        await io.message(`plasm: ${printable(outcome.message ?? outcome.status)}\n`);
      }
      return exitStatusOf(outcome.status, outcome.exitCode);
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
    usage: {
      wall_time_ms: usage.wallTimeMs,
      cpu_time_ms: usage.cpuTimeMs,
      memory_peak_bytes: usage.memoryPeakBytes,
    },
  };
}
