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
import { Executor } from "./executor.ts";
import { collect, command, sandboxJob, SPIN, write } from "../../../tests/fixtures/sandbox_jobs.ts";
import type { SandboxJob } from "../job_types.ts";

/** Writes the first 100 bytes of its standard input. */
async function cat(): Promise<Uint8Array> {
  return await command(`
    (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 100))
    (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 4)))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))`);
}

/** The module with a custom section behind it, so large that the whole has about so many bytes. */
function padded(module: Uint8Array, size: number): Uint8Array {
  const data = size - module.length;
  const section = new Uint8Array(6 + data);
  // Its id, its length as LEB128 of five bytes, and a name of no bytes.
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

const stdin = new TextEncoder().encode("sent behind");

Deno.test("Executor.sendAhead() gives a job to a process that still starts", async () => {
  await using executor = new Executor({ once: true });
  const job: SandboxJob = { ...sandboxJob(await cat()), stdin };
  executor.sendAhead(job);
  await executor.alive();
  const { outcome, stdout } = await collect(executor.run(job));
  assertEquals([outcome.status, stdout], ["exited", "sent behind"]);
  assert(!executor.usable);
});

Deno.test("Executor.sendAhead() sends jobs of any size whole", async () => {
  const module = await cat();
  // What a pipe holds, what the first read takes, and what either leaves behind.
  for (const size of [64 * 1024 - 600, 64 * 1024, 64 * 1024 + 1, 300_000, 3 * 2 ** 20]) {
    await using executor = new Executor({ once: true });
    const job: SandboxJob = { ...sandboxJob(padded(module, size)), stdin };
    executor.sendAhead(job);
    assertEquals((await collect(executor.run(job))).stdout, "sent behind", `${size}`);
  }
});

Deno.test("Executor.sendAhead() leaves what is wrong with the job to run()", async () => {
  await using executor = new Executor({ once: true });
  const job = sandboxJob((await command("")).slice(0, -1));
  executor.sendAhead(job);
  const error = await assertRejects(() => collect(executor.run(job)), PlasmError);
  assertEquals(error.code, "bad-module");
});

Deno.test("Executor.sendAhead() keeps nobody from cancelling the job", async () => {
  {
    await using executor = new Executor({ once: true });
    const job = sandboxJob(await command(SPIN));
    executor.sendAhead(job);
    const { outcome } = await collect(executor.run(job, { signal: AbortSignal.abort() }));
    assertEquals(outcome.status, "cancelled");
  }
  await using executor = new Executor({ once: true });
  const controller = new AbortController();
  const job = sandboxJob(
    await command(`${write(1, 5)} ${SPIN}`, '(data (i32.const 1024) "hello")'),
  );
  executor.sendAhead(job);
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

Deno.test("Executor.sendAhead() leaves it to run() to tell that the process has died", async () => {
  await using executor = new Executor({ once: true });
  await executor.kill();
  const job = sandboxJob(await command(""));
  executor.sendAhead(job);
  const error = await assertRejects(() => executor.run(job).next(), PlasmError);
  assertEquals(error.code, "executor");
});

Deno.test("Executor.sendAhead() has the job pay for what its module costs before it begins", async () => {
  // 5,500 functions of 50,000 locals: small enough to come ahead, and some 0.3 s of CPU time to validate.
  const count = 5_500;
  const content = body([], [[50_000, 0x7f]]);
  const module = moduleOf(
    COMMAND.type,
    section(SECTION.function, concat(leb(count), new Uint8Array(count))),
    COMMAND.memory,
    COMMAND.export,
    section(SECTION.code, concat(leb(count), ...Array.from({ length: count }, () => content))),
  );
  await using executor = new Executor({ once: true });
  const job = sandboxJob(module, { cpuTimeMs: 100 });
  executor.sendAhead(job);
  const { outcome } = await collect(executor.run(job));
  assertEquals(outcome.message, "Job stopped: it used more than its 100 ms of CPU time");
  assert(outcome.usage.cpuTimeMs > 100);
});
