import { assert, assertEquals, assertRejects } from "@std/assert";
import { PlasmError } from "../../core/errors/errors.ts";
import { Executor } from "./executor.ts";
import { collect, command, sandboxJob, SPIN, write } from "../../../tests/fixtures/sandbox_jobs.ts";

Deno.test("Executor.run() runs one job after another in one process", async () => {
  await using executor = new Executor();
  const hello = await command(write(1, 5), '(data (i32.const 1024) "hello")');
  const first = await collect(executor.run(sandboxJob(hello)));
  const trap = await collect(executor.run(sandboxJob(await command("unreachable"))));
  const second = await collect(executor.run(sandboxJob(hello)));
  assertEquals([first.stdout, second.stdout], ["hello", "hello"]);
  assertEquals(trap.outcome.status, "trapped");
  assert(executor.usable);
});

Deno.test("Executor.run() gives each job its own standard input, read or not", async () => {
  await using executor = new Executor();
  const cat = await command(`
    (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 100))
    (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 4)))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))`);
  const deaf = await command("");
  const stdin = (text: string) => new TextEncoder().encode(text);
  // More than ring and pipes hold: the rest must be dropped, not reach the next job.
  const flood = new Uint8Array(4 * 2 ** 20);
  assertEquals(
    (await collect(executor.run({ ...sandboxJob(deaf), stdin: flood }))).outcome.status,
    "exited",
  );
  assertEquals(
    (await collect(executor.run({ ...sandboxJob(cat), stdin: stdin("one") }))).stdout,
    "one",
  );
  assertEquals((await collect(executor.run(sandboxJob(cat)))).stdout, "");
  assertEquals(
    (await collect(executor.run({ ...sandboxJob(cat), stdin: stdin("two") }))).stdout,
    "two",
  );
});

/** Reads at most 8 bytes and writes them; traps where they begin with t, spins where with s. */
const MOODY = `
  (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 8))
  (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 4)))
  (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
  (if (i32.eq (i32.load8_u (i32.const 1024)) (i32.const 116)) (then unreachable))
  (if (i32.eq (i32.load8_u (i32.const 1024)) (i32.const 115)) (then ${SPIN}))`;

Deno.test("Executor.run() keeps jobs apart, whatever way they come to the worker", async () => {
  await using executor = new Executor();
  const moody = { ...sandboxJob(await command(MOODY)), moduleKey: "moody" };
  const loud = sandboxJob(await command(`${write(1, 65000)}${write(2, 7)}`));
  for (let n = 0; n < 150; n++) {
    const text = `${n % 7 === 3 ? "t" : "a"}${n}`;
    const stdin = new TextEncoder().encode(text);
    const inputs = n % 11 === 5 ? [{ path: "file", data: stdin }] : [];
    const args = n % 13 === 6 ? ["x".repeat(20_000)] : [`${n}`];
    const { outcome, stdout } = await collect(executor.run({ ...moody, stdin, inputs, args }));
    assertEquals([outcome.status, stdout], [n % 7 === 3 ? "trapped" : "exited", text]);
    if (n % 10 !== 4) continue;
    // Kept or not, and so many that others are let go of.
    const moduleKey = n % 20 === 4 ? undefined : `loud ${n}`;
    const other = await collect(executor.run({ ...loud, moduleKey }));
    assertEquals([other.stdout.length, other.stderr.length], [65000, 7]);
  }
});

Deno.test("Executor.run() stops a job whose module is kept, at its deadline and on abort", async () => {
  const module = await command(MOODY);
  const stdin = new TextEncoder().encode("spin");
  for (const status of ["timeout", "cancelled"] as const) {
    await using executor = new Executor();
    const job = { ...sandboxJob(module), moduleKey: "moody" };
    await collect(executor.run(job));
    const stop = new AbortController();
    const limits = { ...job.limits, ...(status === "timeout" ? { wallTimeMs: 200 } : {}) };
    const parts: string[] = [];
    for await (const event of executor.run({ ...job, stdin, limits }, { signal: stop.signal })) {
      if (event.type === "finished") assertEquals(event.outcome.status, status);
      if (event.type !== "stdout") continue;
      parts.push(new TextDecoder().decode(event.data));
      if (status === "cancelled") stop.abort();
    }
    assertEquals(parts.join(""), "spin");
    assert(!executor.usable);
  }
});

Deno.test("Executor.run() stops a job at its deadline though nobody pulls its output", async () => {
  await using executor = new Executor();
  const flood = await command(`(loop $l ${write(1, 4096)} (br $l))`);
  const events = executor.run(sandboxJob(flood, { wallTimeMs: 300 }));
  await events.next();
  // The process is gone although this reader has not taken a byte yet.
  await executor.ended;
  const { outcome, stdout } = await collect(events);
  assertEquals(outcome.status, "timeout");
  assert(stdout.length > 0);
  assert(!executor.usable);
});

Deno.test("Executor.run() cancels on abort and keeps what the job wrote", async () => {
  await using executor = new Executor();
  const job = sandboxJob(
    await command(`${write(1, 4)} ${SPIN}`, '(data (i32.const 1024) "tick")'),
  );
  const stop = new AbortController();
  const seen: string[] = [];
  for await (const event of executor.run(job, { signal: stop.signal })) {
    seen.push(event.type);
    if (event.type === "stdout") stop.abort();
    if (event.type === "finished") assertEquals(event.outcome.status, "cancelled");
  }
  assertEquals(seen, ["started", "stdout", "finished"]);
  await executor.ended;
});

Deno.test("Executor.run() cancels at once where the signal is aborted already", async () => {
  await using executor = new Executor();
  const job = sandboxJob(await command(SPIN));
  const { outcome } = await collect(executor.run(job, { signal: AbortSignal.abort() }));
  assertEquals(outcome.status, "cancelled");
});

Deno.test("Executor.run() kills the job of a reader that leaves", async () => {
  await using executor = new Executor();
  for await (const event of executor.run(sandboxJob(await command(SPIN)))) {
    if (event.type === "started") break;
  }
  assert(!executor.usable);
  await executor.ended;
});

Deno.test("Executor.run() refuses a second job at once and one after the process's end", async () => {
  await using executor = new Executor();
  const job = sandboxJob(await command(""));
  const running = executor.run(job);
  await running.next();
  await assertRejects(() => executor.run(job).next(), PlasmError, "used up");
  await collect(running);
  await executor.kill();
  await assertRejects(() => executor.run(job).next(), PlasmError, "used up");
});

Deno.test("Executor.run() refuses a module that does not compile and stays usable", async () => {
  await using executor = new Executor();
  // A body that leaves a value on the stack: well-formed, not valid.
  const module = Uint8Array.from(
    "\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x05\x03\x01\0\x01\x07\x13\x02\x06memory\x02\0\x06_start\0\0\x0a\x06\x01\x04\0\x41\0\x0b",
    (char) => char.charCodeAt(0),
  );
  const error = await assertRejects(
    () => collect(executor.run(sandboxJob(module))),
    PlasmError,
    "Cannot compile module",
  );
  assertEquals(error.code, "bad-module");
  const { outcome } = await collect(executor.run(sandboxJob(await command(""))));
  assertEquals(outcome.exitCode, 0);
});

Deno.test("Executor.run() leaves nothing usable that holds much more than before its jobs", async () => {
  // Writes to each page of 400 MiB, which nobody has collected when it ends.
  const large = await command(`(local $at i32)
    (drop (memory.grow (i32.const 6400)))
    (loop $next (i32.store8 (local.get $at) (i32.const 1))
      (br_if $next (i32.lt_u
        (local.tee $at (i32.add (local.get $at) (i32.const 4096))) (i32.const 0x19000000))))`);
  const job = sandboxJob(large, { memoryBytes: 512 * 2 ** 20 });
  for (const isWarmUp of [true, false]) {
    await using executor = new Executor();
    await collect(executor.run(sandboxJob(await command(""))));
    assert(executor.usable);
    const { outcome } = await collect(executor.run({ ...job, isWarmUp }));
    assertEquals([outcome.status, executor.usable], ["exited", isWarmUp]);
  }
});

Deno.test("Executor.run() cannot be kept from ending by a guest that catches everything", async () => {
  await using executor = new Executor();
  const module = await command(`
    (try (do (call $proc_exit (i32.const 7))) (catch_all))
    ${write(1, 4)} (call $proc_exit (i32.const 0))`);
  const { outcome, stdout } = await collect(executor.run(sandboxJob(module)));
  assertEquals([outcome.exitCode, stdout], [7, ""]);
  const flood = await command(`(loop $l (try (do ${write(1, 100)}) (catch_all)) (br $l))`);
  const stopped = await collect(executor.run(sandboxJob(flood, { outputBytes: 150 })));
  assertEquals([stopped.outcome.status, stopped.stdout.length], ["output", 150]);
});

Deno.test("Executor.run() reports what the job used", async () => {
  await using executor = new Executor();
  const module = await command("(drop (memory.grow (i32.const 30)))");
  const { usage } = (await collect(executor.run(sandboxJob(module)))).outcome;
  assert(usage.memoryPeakBytes >= 32 * 65536);
  assert(Number.isInteger(usage.wallTimeMs) && Number.isInteger(usage.cpuTimeMs));
});

Deno.test("Executor.run() stops a job at its CPU limit though nobody pulls its output", async () => {
  await using executor = new Executor();
  // More than the queue and pipes take from a reader who does not pull, less than the ring as well:
  // the guest is not held back, and its process cannot get rid of the rest.
  const records = (1024 + 288) / 4;
  const module = await command(
    `
    (loop $more ${write(1, 4096)} (global.set $i (i32.add (global.get $i) (i32.const 1)))
      (br_if $more (i32.lt_u (global.get $i) (i32.const ${records})))) ${SPIN}`,
    "(global $i (mut i32) (i32.const 0))",
  );
  const events = executor.run(sandboxJob(module, { cpuTimeMs: 200 }));
  await events.next();
  // Without an end of its own it would go on until its wall time is over.
  let guard: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise((resolve) => guard = setTimeout(resolve, 30_000, "late"));
  assert(await Promise.race([executor.ended, late]) !== "late", "it still runs");
  clearTimeout(guard);
  const { outcome, stdout } = await collect(events);
  assertEquals([outcome.status, stdout.length], ["timeout", records * 4096]);
  assertEquals(outcome.message, "Job stopped: it used more than its 200 ms of CPU time");
});

Deno.test("Executor.run() lets no job end well that is beyond its CPU limit, in between two looks either", async () => {
  await using executor = new Executor();
  // About 10 ms: over before anybody has looked.
  const module = await command(
    `
    (loop $more (global.set $i (i32.add (global.get $i) (i32.const 1)))
      (br_if $more (i32.lt_u (global.get $i) (i32.const 10000000)))) ${write(1, 5)}`,
    '(global $i (mut i32) (i32.const 0)) (data (i32.const 1024) "hello")',
  );
  for (const moduleKey of [undefined, "spin", "spin"]) {
    const job = { ...sandboxJob(module, { cpuTimeMs: 1 }), ...(moduleKey && { moduleKey }) };
    const { outcome } = await collect(executor.run(job));
    assertEquals([outcome.status, outcome.exitCode], ["timeout", null]);
    assertEquals(outcome.message, "Job stopped: it used more than its 1 ms of CPU time");
    if (!executor.usable) return;
  }
});

Deno.test("Executor.run() runs a kept module without its bytes, each time from the start", async () => {
  await using executor = new Executor();
  // Counts its own runs in memory: a kept module must not keep an instance.
  const counter = await command(
    `
    (i32.store (i32.const 1024) (i32.add (i32.load (i32.const 1024)) (i32.const 1)))
    ${write(1, 1)}`,
    '(data (i32.const 1024) "0")',
  );
  const job = { ...sandboxJob(counter), moduleKey: "counter" };
  assertEquals((await collect(executor.run(job))).stdout, "1");
  assert(executor.hasModule("counter"));
  const again = { ...job, module: new Uint8Array() };
  assertEquals((await collect(executor.run(again))).stdout, "1");
});

Deno.test("Executor.run() keeps no module that cannot be compiled", async () => {
  await using executor = new Executor();
  const job = { ...sandboxJob(new Uint8Array([0, 97, 115, 109, 9, 9, 9, 9])), moduleKey: "bad" };
  for (let n = 0; n < 2; n++) {
    const error = await assertRejects(() => collect(executor.run(job)), PlasmError);
    assertEquals(error.code, "bad-module");
    assert(!executor.hasModule("bad"));
  }
});
