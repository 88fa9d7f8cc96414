/**
 * Every hostile module, in the sandbox: the right end, and nothing of the process left.
 * @module
 */
import { assert } from "@std/assert";
import { Executor } from "../../lib/sandbox/host/executor.ts";
import { inspectModule } from "../../lib/wasm/inspect.ts";
import type { SandboxJob } from "../../lib/sandbox/job_types.ts";
import { cpuNs, hasPs } from "../fixtures/daemon/process_list.ts";
import { assertEnd, type End, rejection } from "../fixtures/hostile/ends.ts";
import {
  HOSTILE_LIMITS,
  HOSTILE_MODULES,
  type HostileModule,
} from "../fixtures/hostile/modules.ts";

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** How soon after a job's end its process is idle, and for how long that is looked at, in ms. */
const IDLE_AFTER_MS = 100;
const LOOK_MS = 100;

/** CPU time in that while; a thread that spins takes all of it. */
const IDLE_CPU_NS = 50e6;

function neverEnding(): ReadableStream<Uint8Array> {
  return new ReadableStream({ pull: () => new Promise(() => {}) });
}

async function run(hostile: HostileModule, executor: Executor): Promise<End> {
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
  throw new Error("The job ended without an end");
}

const canCount = await hasPs();

for (const hostile of HOSTILE_MODULES) {
  Deno.test(`the sandbox holds ${hostile.name}: ${hostile.what}`, async () => {
    const executor = new Executor();
    try {
      await executor.ready();
      assertEnd(hostile, await run(hostile, executor));
      if (executor.usable && canCount) {
        await pause(IDLE_AFTER_MS);
        const used = await cpuNs([executor.pid]);
        await pause(LOOK_MS);
        const idle = await cpuNs([executor.pid]) - used;
        assert(idle < IDLE_CPU_NS, `${idle} ns of CPU time though the job is over`);
      }
    } finally {
      await executor.kill();
    }
    // The process is reaped: nothing of the guest can still run.
    await executor.ended;
  });
}
