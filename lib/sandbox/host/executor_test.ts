import { assert, assertEquals, assertRejects } from "@std/assert";
import { PlasmError } from "../../core/errors/errors.ts";
import type { ExecutorJob } from "../job_types.ts";
import { Executor, lendOutput, ModuleCache } from "./executor.ts";
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

Deno.test("Executor.run() separates the standard input of jobs, read or not", async () => {
  await using executor = new Executor();
  const cat = await command(`
    (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 100))
    (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 4)))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))`);
  const deaf = await command("");
  const stdin = (text: string) => new TextEncoder().encode(text);
  // More than ring and pipes hold: the rest must be discarded and not reach the next job.
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

/** Reads at most 8 bytes and writes them; traps if they begin with t, spins if they begin with s. */
const MOODY = `
  (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 8))
  (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 4)))
  (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
  (if (i32.eq (i32.load8_u (i32.const 1024)) (i32.const 116)) (then unreachable))
  (if (i32.eq (i32.load8_u (i32.const 1024)) (i32.const 115)) (then ${SPIN}))`;

Deno.test("Executor.run() separates jobs that reach the worker by message and by mailbox", async () => {
  await using executor = new Executor();
  const moody = { ...sandboxJob(await command(MOODY)), moduleKey: "moody" };
  const loud = sandboxJob(await command(`${write(1, 65000)}${write(2, 7)}`));
  for (let n = 0; n < 150; n++) {
    const text = `${n % 7 === 3 ? "t" : "a"}${n}`;
    const stdin = new TextEncoder().encode(text);
    const inputs = n % 11 === 5 ? [{ path: "file", data: stdin }] : [];
    const args = n % 13 === 6 ? ["x".repeat(20_000)] : [`${n}`];
    const { outcome, stdout } = await collect(executor.run({ ...moody, stdin, inputs, args }));
    assertEquals({ status: outcome.status, stdout }, {
      status: n % 7 === 3 ? "trapped" : "exited",
      stdout: text,
    });
    if (n % 10 !== 4) continue;
    // Cached or not, and enough to evict others.
    const moduleKey = n % 20 === 4 ? undefined : `loud ${n}`;
    const other = await collect(executor.run({ ...loud, moduleKey }));
    assertEquals({ stdoutLength: other.stdout.length, stderrLength: other.stderr.length }, {
      stdoutLength: 65000,
      stderrLength: 7,
    });
  }
});

Deno.test("Executor.run() stops a job with a cached module at its deadline and on abort", async () => {
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

Deno.test("Executor.run() stops a job at its deadline when its output is not consumed", async () => {
  await using executor = new Executor();
  const flood = await command(`(loop $l ${write(1, 4096)} (br $l))`);
  const events = executor.run(sandboxJob(flood, { wallTimeMs: 300 }));
  await events.next();
  // The process ends although no output has been consumed.
  await executor.ended;
  const { outcome, stdout } = await collect(events);
  assertEquals(outcome.status, "timeout");
  assert(stdout.length > 0);
  assert(!executor.usable);
});

Deno.test("Executor.run() cancels a job on abort and yields its output", async () => {
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

Deno.test("Executor.run() cancels a job when the signal is aborted already", async () => {
  await using executor = new Executor();
  const job = sandboxJob(await command(SPIN));
  const { outcome } = await collect(executor.run(job, { signal: AbortSignal.abort() }));
  assertEquals(outcome.status, "cancelled");
});

Deno.test("Executor.run() kills the job when the consumer returns early", async () => {
  await using executor = new Executor();
  for await (const event of executor.run(sandboxJob(await command(SPIN)))) {
    if (event.type === "started") break;
  }
  assert(!executor.usable);
  await executor.ended;
});

Deno.test("Executor.run() rejects a job while another one runs and after the process has ended", async () => {
  await using executor = new Executor();
  const job = sandboxJob(await command(""));
  const running = executor.run(job);
  await running.next();
  await assertRejects(() => executor.run(job).next(), PlasmError, "accepts no further job");
  await collect(running);
  await executor.kill();
  await assertRejects(() => executor.run(job).next(), PlasmError, "accepts no further job");
});

Deno.test("Executor.run() rejects a module that does not compile and stays usable", async () => {
  await using executor = new Executor();
  // A body that leaves a value on the stack: well-formed but invalid.
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

Deno.test("Executor.run() leaves the executor unusable when it retains much memory", async () => {
  // Writes to each page of 400 MiB, which V8 has not freed when the job ends.
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
    const marked: ExecutorJob = { ...job, isWarmUp };
    const { outcome } = await collect(executor.run(marked));
    assertEquals({ status: outcome.status, usable: executor.usable }, {
      status: "exited",
      usable: isWarmUp,
    });
  }
});

Deno.test("Executor.run() ends a guest that catches every exception", async () => {
  await using executor = new Executor();
  const module = await command(`
    (try (do (call $proc_exit (i32.const 7))) (catch_all))
    ${write(1, 4)} (call $proc_exit (i32.const 0))`);
  const { outcome, stdout } = await collect(executor.run(sandboxJob(module)));
  assertEquals({ exitCode: outcome.exitCode, stdout }, { exitCode: 7, stdout: "" });
  const flood = await command(`(loop $l (try (do ${write(1, 100)}) (catch_all)) (br $l))`);
  const stopped = await collect(executor.run(sandboxJob(flood, { outputBytes: 150 })));
  assertEquals({ status: stopped.outcome.status, stdoutLength: stopped.stdout.length }, {
    status: "output",
    stdoutLength: 150,
  });
});

Deno.test("Executor.run() reports the usage of a job", async () => {
  await using executor = new Executor();
  const module = await command("(drop (memory.grow (i32.const 30)))");
  const { usage } = (await collect(executor.run(sandboxJob(module)))).outcome;
  assert(usage.memoryPeakBytes >= 32 * 65536);
  assert(Number.isInteger(usage.wallTimeMs) && Number.isInteger(usage.cpuTimeMs));
});

Deno.test("Executor.run() stops a job at its CPU limit when its output is not consumed", async () => {
  await using executor = new Executor();
  // More than queue and pipes hold, but less than these and the ring: the guest is not blocked, and its process
  // cannot send the rest.
  const records = (1024 + 288) / 4;
  const module = await command(
    `
    (loop $more ${write(1, 4096)} (global.set $i (i32.add (global.get $i) (i32.const 1)))
      (br_if $more (i32.lt_u (global.get $i) (i32.const ${records})))) ${SPIN}`,
    "(global $i (mut i32) (i32.const 0))",
  );
  const events = executor.run(sandboxJob(module, { cpuTimeMs: 200 }));
  await events.next();
  // Otherwise it would run until its wall time is exceeded.
  let guard: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise((resolve) => guard = setTimeout(resolve, 30_000, "late"));
  assert(await Promise.race([executor.ended, late]) !== "late", "the process is still running");
  clearTimeout(guard);
  const { outcome, stdout } = await collect(events);
  assertEquals({ status: outcome.status, stdoutLength: stdout.length }, {
    status: "timeout",
    stdoutLength: records * 4096,
  });
  assertEquals(outcome.message, "Job stopped: it used more than its 200 ms of CPU time");
});

Deno.test("Executor.run() enforces the CPU limit when a job ends between two samples", async () => {
  await using executor = new Executor();
  // About 10 ms: ends before the first sample.
  const module = await command(
    `
    (loop $more (global.set $i (i32.add (global.get $i) (i32.const 1)))
      (br_if $more (i32.lt_u (global.get $i) (i32.const 10000000)))) ${write(1, 5)}`,
    '(global $i (mut i32) (i32.const 0)) (data (i32.const 1024) "hello")',
  );
  for (const moduleKey of [undefined, "spin", "spin"]) {
    const job = { ...sandboxJob(module, { cpuTimeMs: 1 }), ...(moduleKey && { moduleKey }) };
    const { outcome } = await collect(executor.run(job));
    assertEquals({ status: outcome.status, exitCode: outcome.exitCode }, {
      status: "timeout",
      exitCode: null,
    });
    assertEquals(outcome.message, "Job stopped: it used more than its 1 ms of CPU time");
    if (!executor.usable) return;
  }
});

Deno.test("Executor.run() runs a cached module without its bytes, in a new instance each time", async () => {
  await using executor = new Executor();
  // Counts its runs in memory: a cached module must not share an instance.
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

Deno.test("Executor.run() caches no module that cannot be compiled", async () => {
  await using executor = new Executor();
  const job = { ...sandboxJob(new Uint8Array([0, 97, 115, 109, 9, 9, 9, 9])), moduleKey: "bad" };
  for (let n = 0; n < 2; n++) {
    const error = await assertRejects(() => collect(executor.run(job)), PlasmError);
    assertEquals(error.code, "bad-module");
    assert(!executor.hasModule("bad"));
  }
});

Deno.test("lendOutput() yields output in the connection's buffers and Executor.run() yields copies", async () => {
  const dir = await Deno.makeTempDir({ prefix: "plasm-test-" });
  try {
    await using executor = new Executor({ socketDir: dir });
    const flood = await command(write(1, 65000).repeat(20));
    const buffersOf = async (runner: Pick<Executor, "run">): Promise<Set<ArrayBufferLike>> => {
      const buffers = new Set<ArrayBufferLike>();
      for await (const event of runner.run(sandboxJob(flood))) {
        if (event.type === "stdout") buffers.add(event.data.buffer);
      }
      return buffers;
    };
    const lent = await buffersOf(lendOutput(executor));
    const copied = await buffersOf(executor);
    assert(lent.size < copied.size, `${lent.size} buffers lent, ${copied.size} copied`);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

const MIB = 2 ** 20;

Deno.test("ModuleCache.use() evicts the least recently used module", () => {
  const cache = new ModuleCache(32 * MIB);
  assertEquals(cache.use("a", 10), { key: "a", isCached: false, bytes: 10, evict: [] });
  assertEquals(cache.use("a", 10), { key: "a", isCached: true, bytes: 10, evict: [] });
  for (const key of "bcdefgh") cache.use(key, 1);
  cache.use("a", 10);
  assertEquals(cache.use("i", 1).evict, ["b"]);
  assert(cache.has("a"));
  assert(!cache.has("b"));
});

Deno.test("ModuleCache.use() limits bytes and caches no module above the limit", () => {
  const cache = new ModuleCache(32 * MIB);
  cache.use("a", 20 * MIB);
  cache.use("b", 10 * MIB);
  assertEquals(cache.use("c", 15 * MIB).evict, ["a"]);
  assertEquals(cache.use("d", 33 * MIB), {
    key: null,
    isCached: false,
    bytes: 33 * MIB,
    evict: [],
  });
  assert(cache.has("b"));
  assert(cache.has("c"));
  assert(!cache.has("d"));
});

Deno.test("ModuleCache.use() caches no module without a key or after evict()", () => {
  const cache = new ModuleCache(32 * MIB);
  assertEquals(cache.use(undefined, 5).key, null);
  cache.use("a", 5);
  cache.evict("a");
  assertEquals(cache.use("a", 5).isCached, false);
});

Deno.test("Executor.run() fails when another process kills the executor", async () => {
  await using executor = new Executor();
  const events = executor.run(sandboxJob(await command(`${write(1, 4)} ${SPIN}`)));
  const error = await assertRejects(async () => {
    for await (const { type } of events) if (type === "stdout") Deno.kill(executor.pid, "SIGKILL");
  }, PlasmError);
  assertEquals(error.code, "executor");
  assertEquals(error.message, "Lost job: its executor was killed from outside (SIGKILL)");
  assert(!executor.usable);
});

Deno.test("Executor.run() does not count inputs as the job's memory", async () => {
  await using executor = new Executor();
  const data = new Uint8Array(100 * 2 ** 20);
  const job = sandboxJob(await command(""), { memoryBytes: 2 ** 20 });
  for (let run = 0; run < 3; run++) {
    const { outcome } = await collect(executor.run({ ...job, inputs: [{ path: "big", data }] }));
    assertEquals(outcome.status, "exited");
    assert(outcome.usage.memoryPeakBytes < 2 ** 20, `${outcome.usage.memoryPeakBytes}`);
  }
});
