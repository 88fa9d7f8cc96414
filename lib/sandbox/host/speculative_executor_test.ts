import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  body,
  COMMAND,
  concat,
  leb,
  moduleOf,
  SECTION,
  section,
} from "../../../tests/fixtures/hostile/binary.ts";
import { PlasmError } from "../../core/errors/errors.ts";
import { collect, command, sandboxJob, SPIN, write } from "../../../tests/fixtures/sandbox_jobs.ts";
import type { SandboxJob } from "../job_types.ts";
import { ExecutorProcess } from "./executor_process.ts";
import { DEFAULT_JOB_BYTES, spawnSpeculatively } from "./spawn/spawn_executor.ts";
import { SpeculativeExecutor } from "./speculative_executor.ts";

/** Writes the first 100 bytes of its standard input. */
async function cat(): Promise<Uint8Array> {
  return await command(`
    (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 100))
    (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 4)))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))`);
}

/** Appends a custom section to a module, so that it has about `size` bytes. */
function padded(module: Uint8Array, size: number): Uint8Array {
  const data = size - module.length;
  const section = new Uint8Array(6 + data);
  // Its id, its length as LEB128 of five bytes, and an empty name.
  const length = data;
  section.set([
    0,
    ...[0, 7, 14, 21].map((shift) => length >>> shift & 0x7f | 0x80),
    length >>> 28,
  ]);
  const whole = new Uint8Array(module.length + section.length);
  whole.set(module);
  whole.set(section, module.length);
  return whole;
}

const stdin = new TextEncoder().encode("sent later");

/** A speculative executor for jobs with default limits. */
function speculate(): SpeculativeExecutor {
  return new SpeculativeExecutor({ maxMemoryBytes: DEFAULT_JOB_BYTES });
}

/** A speculatively started process. */
function startProcess(): ExecutorProcess {
  return new ExecutorProcess(spawnSpeculatively(DEFAULT_JOB_BYTES), { isSingleUse: true });
}

Deno.test("SpeculativeExecutor.run() sends the job while the process starts", async () => {
  await using executor = speculate();
  const { outcome, stdout } = await collect(executor.run({ ...sandboxJob(await cat()), stdin }));
  assertEquals({ status: outcome.status, stdout }, { status: "exited", stdout: "sent later" });
});

Deno.test("SpeculativeExecutor.run() runs the job in the given process", async () => {
  const child = spawnSpeculatively(DEFAULT_JOB_BYTES);
  await using executor = new SpeculativeExecutor({ maxMemoryBytes: DEFAULT_JOB_BYTES, child });
  const { outcome } = await collect(executor.run(sandboxJob(await command(""))));
  assertEquals(outcome.status, "exited");
  assertEquals((await child.status).signal, "SIGKILL");
});

Deno.test("SpeculativeExecutor.run() starts another process when the first one fails", async () => {
  const child = new Deno.Command("/usr/bin/cat", {
    args: ["/nonexistent"],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  await using executor = new SpeculativeExecutor({ maxMemoryBytes: DEFAULT_JOB_BYTES, child });
  const { outcome, stdout } = await collect(executor.run({ ...sandboxJob(await cat()), stdin }));
  assertEquals({ status: outcome.status, stdout }, { status: "exited", stdout: "sent later" });
});

Deno.test("SpeculativeExecutor.run() starts another process when the job needs more memory", async () => {
  const child = spawnSpeculatively(DEFAULT_JOB_BYTES);
  await using executor = new SpeculativeExecutor({ maxMemoryBytes: DEFAULT_JOB_BYTES, child });
  const job = sandboxJob(await command(""), { memoryBytes: DEFAULT_JOB_BYTES });
  const { outcome } = await collect(executor.run(job));
  assertEquals(outcome.status, "exited");
});

Deno.test("SpeculativeExecutor.run() starts a process when none was started in advance", async () => {
  await using executor = new SpeculativeExecutor();
  const { outcome } = await collect(executor.run(sandboxJob(await command(""))));
  assertEquals(outcome.status, "exited");
});

Deno.test("SpeculativeExecutor.run() sends modules of any size", async () => {
  const module = await cat();
  // The capacity of a pipe, which is the size of the first read, and sizes around it.
  for (const size of [64 * 1024 - 600, 64 * 1024, 64 * 1024 + 1, 300_000, 3 * 2 ** 20]) {
    await using executor = speculate();
    const job: SandboxJob = { ...sandboxJob(padded(module, size)), stdin };
    assertEquals((await collect(executor.run(job))).stdout, "sent later", `${size}`);
  }
});

Deno.test("SpeculativeExecutor.run() rejects an invalid module", async () => {
  await using executor = speculate();
  const job = sandboxJob((await command("")).slice(0, -1));
  const error = await assertRejects(() => collect(executor.run(job)), PlasmError);
  assertEquals(error.code, "bad-module");
});

Deno.test("SpeculativeExecutor.run() cancels the job on abort", async () => {
  await using executor = speculate();
  const controller = new AbortController();
  const job = sandboxJob(
    await command(`${write(1, 5)} ${SPIN}`, '(data (i32.const 1024) "hello")'),
  );
  let text = "";
  for await (const event of executor.run(job, { signal: controller.signal })) {
    if (event.type === "stdout") {
      text += new TextDecoder().decode(event.data);
      controller.abort();
    }
    if (event.type === "finished") assertEquals(event.outcome.status, "cancelled");
  }
  assertEquals(text, "hello");
});

Deno.test("SpeculativeExecutor.run() throws the reason when the signal is aborted already", async () => {
  await using executor = speculate();
  const signal = AbortSignal.abort(new Error("stopped"));
  const job = sandboxJob(await command(SPIN));
  await assertRejects(() => collect(executor.run(job, { signal })), Error, "stopped");
});

Deno.test("ExecutorProcess.run() cancels a job on abort when its head has been sent", async () => {
  const process = startProcess();
  const job = sandboxJob(await command(SPIN));
  process.sendHead(job);
  const { outcome } = await collect(process.run(job, { signal: AbortSignal.abort() }));
  assertEquals(outcome.status, "cancelled");
  await process.kill();
});

Deno.test("ExecutorProcess.run() reports that the process has ended when the head cannot be sent", async () => {
  const process = startProcess();
  await process.kill();
  const job = sandboxJob(await command(""));
  process.sendHead(job);
  const error = await assertRejects(() => process.run(job).next(), PlasmError);
  assertEquals(error.code, "executor");
});

Deno.test("SpeculativeExecutor.run() charges the job for the early compilation of its module", async () => {
  // 5,500 functions of 50,000 locals: small enough to be sent early, and about 0.3 s of CPU time to validate.
  const count = 5_500;
  const content = body([], [[50_000, 0x7f]]);
  const module = moduleOf(
    COMMAND.type,
    section(SECTION.function, concat(leb(count), new Uint8Array(count))),
    COMMAND.memory,
    COMMAND.export,
    section(SECTION.code, concat(leb(count), ...Array.from({ length: count }, () => content))),
  );
  await using executor = speculate();
  const job = sandboxJob(module, { cpuTimeMs: 100 });
  const { outcome } = await collect(executor.run(job));
  assertEquals(outcome.message, "Job stopped: it used more than its 100 ms of CPU time");
  assert(outcome.usage.cpuTimeMs > 100);
});
