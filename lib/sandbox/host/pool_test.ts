import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import wabt from "wabt";
import { PlasmError } from "../../core/errors/errors.ts";
import { Executor } from "./executor.ts";
import { ExecutorPool, WARM_UP_MODULE, warmUp } from "./pool.ts";
import { collect, command, sandboxJob } from "../../../tests/fixtures/sandbox_jobs.ts";

const NOOP = await command("");

async function runOnce(pool: ExecutorPool, tenant?: string): Promise<number> {
  const executor = await pool.acquire({ tenant });
  try {
    await collect(executor.run(sandboxJob(NOOP)));
    return executor.pid;
  } finally {
    pool.release(executor);
  }
}

Deno.test("ExecutorPool.acquire() reuses an executor for its tenant and for no other", async () => {
  await using pool = new ExecutorPool({ warm: 1, maxIdle: 4 });
  const first = await runOnce(pool, "a");
  assertEquals(await runOnce(pool, "a"), first);
  const other = await runOnce(pool, "b");
  assertNotEquals(other, first);
  assertEquals(await runOnce(pool, "a"), first);
  const anonymous = await runOnce(pool);
  assert(anonymous !== first && anonymous !== other);
  assertNotEquals(await runOnce(pool), anonymous);
});

/** Ids of this process's executors, including those that are being confined. */
async function executors(): Promise<number[]> {
  const args = ["-o", "pid=,args=", "--ppid", `${Deno.pid}`];
  const { stdout } = await new Deno.Command("ps", { args }).output();
  return new TextDecoder().decode(stdout).split("\n")
    .filter((line) => line.includes("executor_main")).map((line) => Number.parseInt(line));
}

Deno.test("ExecutorPool.acquire() tries another executor when one ends before it is ready", async () => {
  await using pool = new ExecutorPool({ warm: 0 });
  while (true) {
    const acquiring = pool.acquire();
    const [started] = await executors();
    assert(started !== undefined);
    Deno.kill(started, "SIGKILL");
    const executor = await acquiring;
    // If it was ready before it was killed, try again.
    if (executor.pid !== started) {
      const { outcome } = await collect(executor.run(sandboxJob(NOOP)));
      assertEquals(outcome.status, "exited");
      return pool.release(executor);
    }
    pool.release(executor);
  }
});

Deno.test("ExecutorPool.acquire() reuses no executor when maxIdle is 0", async () => {
  await using pool = new ExecutorPool({ warm: 1 });
  assertNotEquals(await runOnce(pool, "a"), await runOnce(pool, "a"));
});

Deno.test("ExecutorPool.release() ends the least recently used executor when maxIdle is exceeded", async () => {
  await using pool = new ExecutorPool({ warm: 0, maxIdle: 1 });
  const first = await runOnce(pool, "a");
  await runOnce(pool, "b");
  assertEquals(pool.stats.idle, 1);
  assertNotEquals(await runOnce(pool, "a"), first);
});

Deno.test("ExecutorPool.release() ends the least recently used executor when compiled modules exceed the budget", async () => {
  await using pool = new ExecutorPool({ warm: 0, maxIdle: 4, warmModuleBytes: NOOP.length });
  const moduleKey = "noop";
  const executor = await pool.acquire({ tenant: "a" });
  const job = { ...sandboxJob(NOOP), moduleKey };
  await collect(executor.run(job));
  assertEquals([executor.hasModule(moduleKey), executor.warmModuleBytes], [true, NOOP.length]);
  pool.release(executor);
  assertEquals(pool.stats.idle, 1);
  const other = await pool.acquire({ tenant: "b" });
  await collect(other.run(job));
  pool.release(other);
  assertEquals(pool.stats.idle, 1);
  assertEquals(await runOnce(pool, "b"), other.pid);
});

Deno.test("ExecutorPool.acquire() rejects on abort", async () => {
  await using pool = new ExecutorPool({ warm: 0 });
  const error = await assertRejects(
    () => pool.acquire({ signal: AbortSignal.abort() }),
    PlasmError,
  );
  assertEquals(error.code, "interrupted");
  assertEquals(pool.stats.busy, 0);
});

Deno.test("ExecutorPool.close() ends busy executors and closes the pool", async () => {
  const pool = new ExecutorPool({ warm: 1 });
  const executor = await pool.acquire();
  await pool.close();
  await executor.ended;
  assertEquals(executor.usable, false);
  await assertRejects(() => pool.acquire(), PlasmError, "closed");
});

Deno.test("ExecutorPool.acquire() returns no executor that ended while idle", async () => {
  await using pool = new ExecutorPool({ warm: 0, maxIdle: 1 });
  const executor = await pool.acquire({ tenant: "a" });
  await collect(executor.run(sandboxJob(NOOP)));
  pool.release(executor);
  Deno.kill(executor.pid, "SIGKILL");
  await executor.ended;
  assertNotEquals(await runOnce(pool, "a"), executor.pid);
});

Deno.test("WARM_UP_MODULE equals its text, assembled", async () => {
  const text = `(module
  (type $unary (func (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 2)
  (table funcref (elem $sum $pick))
  (global $count (mut i32) (i32.const 0))
  (func $sum (type $unary) (local $total i64)
    (block $end (loop $next
      (br_if $end (i32.eqz (local.get 0)))
      (local.set $total (i64.add (local.get $total) (i64.extend_i32_u (local.get 0))))
      (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
      (br $next)))
    (i32.wrap_i64 (local.get $total)))
  (func $pick (type $unary)
    (block $a (block $b (block $c (br_table $a $b $c (local.get 0)))
      (return (i32.trunc_sat_f64_s (f64.const 1.5)))) (return (i32.const 7)))
    (memory.fill (i32.const 64) (i32.const 0) (i32.const 16))
    (if (result i32) (f32.lt (f32.const 0) (f32.const 1)) (then (i32.load8_u (i32.const 64))) (else (memory.size))))
  (func $grow (drop (memory.grow (i32.const 0))) (global.set $count (select (i32.const 1) (i32.const 2) (global.get $count))))
  (func (export "_start")
    (call $grow) (call $grow)
    (drop (call $sum (i32.const 4)))
    (drop (call_indirect (type $unary) (i32.const 2) (i32.const 1)))
    (i32.store (i32.const 0) (i32.const 1024))
    (i32.store (i32.const 4) (i32.const 16))
    (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (call $proc_exit (i32.const 0)))
  (data (i32.const 128) "warm"))`;
  const { parseWat } = await wabt();
  const module = parseWat("warm_up.wat", text);
  assertEquals(new Uint8Array(module.toBinary({}).buffer), WARM_UP_MODULE);
  module.destroy();
});

Deno.test("warmUp() leaves the executor usable", async () => {
  await using executor = new Executor();
  await warmUp(executor);
  assert(executor.usable);
});
