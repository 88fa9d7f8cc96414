/**
 * Runs every hostile module in an executor: expected result, and no CPU time or process afterwards.
 *
 * @module
 */
import { assert } from "@std/assert";
import { Executor } from "../../lib/sandbox/host/executor.ts";
import { inspectModule } from "../../lib/wasm/inspect.ts";
import type { SandboxJob } from "../../lib/sandbox/job_types.ts";
import { cpuNs, hasPs } from "../fixtures/daemon/process_list.ts";
import { assertResult, type HostileResult, rejection } from "../fixtures/hostile/results.ts";
import {
  HOSTILE_LIMITS,
  HOSTILE_MODULES,
  type HostileModule,
} from "../fixtures/hostile/modules.ts";

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Time after a job's end until its process is idle, in milliseconds. */
const IDLE_AFTER_MS = 100;

/** Time for which CPU time is measured then, in milliseconds. */
const MEASURE_MS = 100;

/** Maximum CPU time in that period, in nanoseconds; a busy thread uses all of it. */
const IDLE_CPU_NS = 50e6;

function neverEnding(): ReadableStream<Uint8Array> {
  return new ReadableStream({ pull: () => new Promise(() => {}) });
}

async function run(hostile: HostileModule, executor: Executor): Promise<HostileResult> {
  const limits = { ...HOSTILE_LIMITS, ...hostile.limits };
  let stdout = "";
  let stderrBytes = 0;
  try {
    const { bytes } = inspectModule(await hostile.bytes(), limits);
    const job: SandboxJob = {
      module: bytes,
      args: hostile.args ?? [],
      env: hostile.env ?? {},
      stdin: hostile.stdin === "open" ? neverEnding() : hostile.stdin,
      inputs: hostile.inputs,
      limits,
    };
    for await (const event of executor.run(job)) {
      if (event.type === "stdout") {
        stdout += new TextDecoder().decode(event.data);
      }
      if (event.type === "stderr") stderrBytes += event.data.length;
      if (event.type === "finished") {
        const { status, exitCode, message = "", usage } = event.outcome;
        return { status, exitCode, message, stdout, stderrBytes, usage };
      }
    }
  } catch (error) {
    return rejection(error);
  }
  throw new Error("the job has no finished event");
}

const canCount = await hasPs();

for (const hostile of HOSTILE_MODULES) {
  Deno.test(`Executor.run() contains ${hostile.name}: ${hostile.what}`, async () => {
    await using executor = new Executor();
    await executor.ready();
    assertResult(hostile, await run(hostile, executor));
    if (executor.usable && canCount) {
      await pause(IDLE_AFTER_MS);
      const used = await cpuNs([executor.pid]);
      await pause(MEASURE_MS);
      const idle = await cpuNs([executor.pid]) - used;
      assert(idle < IDLE_CPU_NS, `${idle} ns of CPU time after the end of the job`);
    }
    await executor.kill();
    // The process has exited, and with it the guest.
    await executor.ended;
  });
}
