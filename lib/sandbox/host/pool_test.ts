import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { PlasmError } from "../../core/errors/errors.ts";
import { ExecutorPool } from "./pool.ts";
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

Deno.test("ExecutorPool.acquire() keeps an executor for its tenant and for no other", async () => {
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

/** Ids of this process's executors, also of those that are only about to become one. */
async function executors(): Promise<number[]> {
  const args = ["-o", "pid=,args=", "--ppid", `${Deno.pid}`];
  const { stdout } = await new Deno.Command("ps", { args }).output();
  return new TextDecoder().decode(stdout).split("\n")
    .filter((line) => line.includes("executor_main")).map((line) => Number.parseInt(line));
}

Deno.test("ExecutorPool.acquire() takes another where one dies before it is ready", async () => {
  await using pool = new ExecutorPool({ warm: 0 });
  while (true) {
    const acquiring = pool.acquire();
    const [started] = await executors();
    assert(started !== undefined);
    Deno.kill(started, "SIGKILL");
    const executor = await acquiring;
    // Where it was ready before it was killed there is nothing to be seen.
    if (executor.pid !== started) {
      const { outcome } = await collect(executor.run(sandboxJob(NOOP)));
      assertEquals(outcome.status, "exited");
      return pool.release(executor);
    }
    pool.release(executor);
  }
});

Deno.test("ExecutorPool.acquire() uses none twice where nothing is kept", async () => {
  await using pool = new ExecutorPool({ warm: 1 });
  assertNotEquals(await runOnce(pool, "a"), await runOnce(pool, "a"));
});

Deno.test("ExecutorPool.release() ends the executor that idled longest when too many are kept", async () => {
  await using pool = new ExecutorPool({ warm: 0, maxIdle: 1 });
  const first = await runOnce(pool, "a");
  await runOnce(pool, "b");
  assertEquals(pool.stats.idle, 1);
  assertNotEquals(await runOnce(pool, "a"), first);
});

Deno.test("ExecutorPool.acquire() gives up on abort", async () => {
  await using pool = new ExecutorPool({ warm: 0 });
  const error = await assertRejects(
    () => pool.acquire({ signal: AbortSignal.abort() }),
    PlasmError,
  );
  assertEquals(error.code, "interrupted");
  assertEquals(pool.stats.busy, 0);
});

Deno.test("ExecutorPool.close() ends executors at work and hands out no more", async () => {
  const pool = new ExecutorPool({ warm: 1 });
  const executor = await pool.acquire();
  await pool.close();
  await executor.ended;
  assertEquals(executor.usable, false);
  await assertRejects(() => pool.acquire(), PlasmError, "closed");
});

Deno.test("ExecutorPool.acquire() hands out none that died while it waited", async () => {
  await using pool = new ExecutorPool({ warm: 0, maxIdle: 1 });
  const executor = await pool.acquire({ tenant: "a" });
  await collect(executor.run(sandboxJob(NOOP)));
  pool.release(executor);
  Deno.kill(executor.pid, "SIGKILL");
  await executor.ended;
  assertNotEquals(await runOnce(pool, "a"), executor.pid);
});
