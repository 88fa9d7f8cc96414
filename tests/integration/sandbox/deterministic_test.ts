/**
 * Runs modules in the deterministic profile, with every way in which their executor and input can vary.
 * @module
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { PlasmError } from "../../../mod.ts";
import { Executor } from "../../../lib/sandbox/executors.ts";
import type { SandboxJob } from "../../../lib/sandbox/job_types.ts";
import { runSandbox } from "../../../lib/sandbox/run_job.ts";
import { assemble } from "../../fixtures/reorder_modules.ts";
import { collect, sandboxJob } from "../../fixtures/sandbox_jobs.ts";
import { spawnedExecutor } from "../../fixtures/spawned_executor.ts";

const EPOCH_MS = 1_700_000_000_000;

/**
 * Writes what it observes to standard output: a clock before and after a sleep of a day, random bytes, the result
 * and the bytes of one read of 32 bytes.
 */
const OBSERVER = `(module
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (drop (call $clock (i32.const 0) (i64.const 0) (i32.const 1024)))
    (i32.store (i32.const 116) (i32.const 1))
    (i64.store (i32.const 124) (i64.const 86400000000000))
    (drop (call $poll (i32.const 100) (i32.const 200) (i32.const 1) (i32.const 300)))
    (drop (call $clock (i32.const 0) (i64.const 0) (i32.const 1032)))
    (drop (call $random (i32.const 1040) (i32.const 8)))
    (i32.store (i32.const 0) (i32.const 1056)) (i32.store (i32.const 4) (i32.const 32))
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 1048)))
    (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 64))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))`;

const SHARED = `(module (memory (export "memory") 1 1 shared) (func (export "_start")))`;

function module(body: string, head = ""): Promise<Uint8Array<ArrayBuffer>> {
  return assemble(`(module ${head} (memory (export "memory") 1) (func (export "_start") ${body}))`);
}

function deterministicJob(bytes: Uint8Array, seed = 7): SandboxJob {
  const job = sandboxJob(bytes, { wallTimeMs: 60_000 });
  return { ...job, deterministic: { seed: new Uint8Array(32).fill(seed), epochMs: EPOCH_MS } };
}

/** Extends a new file to 1 GiB and exits with the errno. */
const FILLING = `(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_filestat_set_size" (func $resize (param i32 i64) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1) (data (i32.const 0) "file")
  (func (export "_start")
    (drop (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 1)
      (i64.const 0x3fffffff) (i64.const 0) (i32.const 0) (i32.const 16)))
    (call $exit (call $resize (i32.load (i32.const 16)) (i64.const 1073741824)))))`;

/** Standard input in chunks, each sent when the one before has been read. */
function chunks(...texts: string[]): ReadableStream<Uint8Array> {
  return ReadableStream.from(texts.map((text) => new TextEncoder().encode(text)));
}

Deno.test("runSandbox() gives the same output in the deterministic profile, however the job is run", async () => {
  await using executor = new Executor();
  const bytes = await assemble(OBSERVER);
  const job = { ...deterministicJob(bytes), moduleKey: "observer" };
  const outputs = new Set<string>();
  for (const stdin of [new TextEncoder().encode("abcdef"), chunks("a", "bcd", "ef")]) {
    const { outcome, stdout } = await collect(runSandbox({ ...job, stdin }));
    assertEquals([outcome.status, outcome.nondeterminism], ["exited", []]);
    outputs.add(stdout);
  }
  // By message, then by mailbox.
  for (let run = 0; run < 3; run++) {
    const { stdout } = await collect(
      runSandbox({ ...job, stdin: chunks("abc", "def") }, { executor }),
    );
    outputs.add(stdout);
  }
  assertEquals(outputs.size, 1);
  const [output] = outputs;
  assertEquals(output!.slice(-40), "\x06\0\0\0\0\0\0\0abcdef".padEnd(40, "\0"));
  const other = { ...deterministicJob(bytes, 8), stdin: new TextEncoder().encode("abcdef") };
  assert((await collect(runSandbox(other))).stdout !== output);
});

Deno.test("runSandbox() starts clocks at the epoch and sleeps without waiting in the deterministic profile", async () => {
  const day = 86_400_000_000_000n;
  let clocks: bigint[] = [];
  for await (const event of runSandbox(deterministicJob(await assemble(OBSERVER)))) {
    if (event.type !== "stdout") continue;
    const view = new DataView(event.data.slice().buffer);
    clocks = [view.getBigUint64(0, true), view.getBigUint64(8, true)];
  }
  const start = BigInt(EPOCH_MS) * 1_000_000n;
  assertEquals(clocks, [start, start + 100_000n + day]);
});

Deno.test("runSandbox() reports the sources that a job of the default profile used", async () => {
  await using executor = new Executor();
  const observer = OBSERVER.replace("86400000000000", "1");
  const { outcome } = await collect(runSandbox(sandboxJob(await assemble(observer)), { executor }));
  assertEquals(outcome.nondeterminism, ["clock", "poll", "random"]);
  const quiet = await collect(runSandbox(sandboxJob(await module("")), { executor }));
  assertEquals(quiet.outcome.nondeterminism, []);
});

Deno.test("runSandbox() compiles a module for each profile", async () => {
  await using executor = new Executor();
  const bytes = await assemble(OBSERVER.replace("86400000000000", "1"));
  const job = { ...sandboxJob(bytes), moduleKey: "observer" };
  const deterministic = { ...deterministicJob(bytes), moduleKey: "observer" };
  for (
    const [one, sources] of [[job, 3], [deterministic, 0], [job, 3], [deterministic, 0]] as const
  ) {
    const { outcome } = await collect(runSandbox(one, { executor }));
    assertEquals(outcome.nondeterminism.length, sources);
  }
});

Deno.test("runSandbox() reports what the machine lacks as memory in the deterministic profile", async () => {
  const deep = await module("(call $f)", "(func $f (call $f))");
  const shallow = await collect(runSandbox(sandboxJob(deep)));
  assertEquals(shallow.outcome.status, "trapped");
  const { outcome } = await collect(runSandbox(deterministicJob(deep)));
  assertEquals([outcome.status, outcome.exitCode], ["memory", null]);
  assertEquals(outcome.message, "Job stopped: call stack exhausted");
});

/** Recurses through a host call until the stack is exhausted, catches what it can, and exits. */
const CATCHING = `(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func $f (try
    (do (drop (call $poll (i32.const 0) (i32.const 1024) (i32.const 1) (i32.const 2048))) (call $f))
    (catch_all)))
  (func (export "_start") (call $f)))`;

Deno.test("runSandbox() reports an exhausted stack even if the guest catches all exceptions", async () => {
  const { outcome } = await collect(runSandbox(deterministicJob(await assemble(CATCHING))));
  assertEquals([outcome.status, outcome.exitCode], ["memory", null]);
});

Deno.test("runSandbox() reports a full file system as memory in the deterministic profile", async () => {
  const bytes = await assemble(FILLING);
  const limits = { ...sandboxJob(bytes).limits, fsBytes: 2 ** 20 };
  const full = await collect(runSandbox({ ...sandboxJob(bytes), limits }));
  assertEquals([full.outcome.status, full.outcome.exitCode], ["exited", 51]); // ENOSPC
  const { outcome } = await collect(runSandbox({ ...deterministicJob(bytes), limits }));
  assertEquals(outcome.status, "memory");
  assertEquals(
    outcome.message,
    "Job stopped: file system full, limit 1048576 bytes and 1000000 inodes",
  );
});

Deno.test("runSandbox() refuses what cannot be deterministic before anything runs", async () => {
  const relaxed = "(drop (f32x4.relaxed_min (v128.const i64x2 0 0) (v128.const i64x2 0 0)))";
  const refused: [reason: string, module: Uint8Array][] = [
    ["relaxed SIMD, function 0 uses f32x4.relaxed_min", await module(relaxed)],
    ["atomics, function 0 uses atomic.fence", await module("(atomic.fence)")],
    ["shared memory, memory 0 is shared", await assemble(SHARED)],
  ];
  await using executor = new Executor();
  for (const [reason, bytes] of refused) {
    const events: string[] = [];
    const running = async () => {
      for await (const { type } of runSandbox(deterministicJob(bytes), { executor })) {
        events.push(type);
      }
    };
    const error = await assertRejects(running, PlasmError, reason);
    assertEquals(error.code, "bad-module");
    assert(!events.includes("finished"));
  }
});

Deno.test("runSandbox() claims nothing where the system refuses memory that the limit allows", async () => {
  // Nothing is written to the memory, so that none is used.
  const growing = (pages: number): Promise<Uint8Array> =>
    assemble(`(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1)
      (func (export "_start") (call $exit (i32.eq (memory.grow (i32.const ${pages})) (i32.const -1)))))`);
  const memoryBytes = 4 * 2 ** 30;
  const limits = { wallTimeMs: 60_000, memoryBytes };
  const run = async (pages: number, changes: Partial<SandboxJob>, fuel?: number) => {
    await using executor = spawnedExecutor({ maxMemoryBytes: 8 * 2 ** 30, systemBytes: 0 });
    const job = sandboxJob(await growing(pages), { ...limits, fuel });
    const { outcome } = await collect(runSandbox({ ...job, ...changes }, { executor }));
    return [outcome.status, outcome.exitCode, outcome.fuel];
  };
  const { deterministic } = deterministicJob(new Uint8Array());
  const refused = 61_440;
  assertEquals(await run(refused, {}), ["exited", 1, undefined]);
  assertEquals(await run(refused, { deterministic }), ["memory", null, undefined]);
  assertEquals(await run(refused, {}, 100), ["memory", null, undefined]);
  assertEquals(await run(65_536, { deterministic }, 100), ["exited", 1, 5]);
  assertEquals(await run(2, { deterministic }, 100), ["exited", 0, 5]);
});
