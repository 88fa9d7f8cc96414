/**
 * Runs jobs whose instructions are counted.
 * @module
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { createManifest, PlasmError, runJob } from "../../../mod.ts";
import { sha256 } from "../../../lib/core/hash.ts";
import { Executor } from "../../../lib/sandbox/executors.ts";
import { runSandbox } from "../../../lib/sandbox/run_job.ts";
import { collect, command, sandboxJob, SPIN, write } from "../../fixtures/sandbox_jobs.ts";

const HELLO = new URL("../../../examples/hello/hello.wasm", import.meta.url);

/** Writes a byte, counts to 1000, and so on for ever. */
const STEPS = `(local $i i32) (loop $again
  ${write(1, 1)}
  (local.set $i (i32.const 1000))
  (loop $count (br_if $count (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
  (br $again))`;

/** Ways to go on for ever, or to hide that. */
const ENDLESS = {
  loop: SPIN,
  "loop in a handler of everything": `(loop $l (try (do ${SPIN}) (catch_all (br $l))))`,
  recursion: `(call $again)`,
  "memory.fill": `(loop $l (memory.fill (i32.const 0) (i32.const 0) (i32.const 65536)) (br $l))`,
  output: `(loop $l ${write(1, 1)} (br $l))`,
};

Deno.test("runSandbox() ends a job that uses up its fuel with status fuel, and reports all of it", async () => {
  await using executor = new Executor();
  for (const [what, body] of Object.entries(ENDLESS)) {
    const module = await command(body, "(func $again (call $again))");
    const job = sandboxJob(module, { fuel: 2000, wallTimeMs: 60_000 });
    const { outcome } = await collect(runSandbox(job, { executor }));
    const { status, exitCode, fuel, message } = outcome;
    assertEquals([what, status, exitCode, fuel], [what, "fuel", null, 2000]);
    assertEquals(message, "Job stopped: it used up its fuel of 2000 instructions");
  }
});

Deno.test("runSandbox() ends a job at the same point whatever runs it, and an executor runs the next", async () => {
  const module = await command(STEPS);
  await using executor = new Executor();
  for (const [fuel, bytes] of [[0, 0], [10, 0], [11, 1], [10_000, 2], [100_000, 20]] as const) {
    for (const options of [{ executor }, { executor }, {}]) {
      const job = { ...sandboxJob(module, { fuel, wallTimeMs: 60_000 }), moduleKey: "steps" };
      const { outcome, stdout } = await collect(runSandbox(job, options));
      assertEquals(outcome.status, "fuel");
      assertEquals([fuel, stdout.length], [fuel, bytes]);
    }
  }
});

Deno.test("runSandbox() reports the same fuel for each run, and as much is enough", async () => {
  await using executor = new Executor();
  const module = await Deno.readFile(HELLO);
  const stdin = new TextEncoder().encode("Hello, World");
  const run = async (fuel: number | undefined) => {
    const job = { ...sandboxJob(module, { fuel }), stdin, moduleKey: "hello" };
    const { outcome, stdout } = await collect(runSandbox(job, { executor }));
    return { status: outcome.status, fuel: outcome.fuel, stdout };
  };
  const counted = await run(Number.MAX_SAFE_INTEGER);
  assertEquals(counted.stdout, "dlroW ,olleH");
  const { fuel } = counted;
  assert(fuel !== undefined && fuel > 100);
  assertEquals(await run(Number.MAX_SAFE_INTEGER), counted);
  assertEquals(await run(fuel), counted);
  assertEquals((await run(fuel - 1)).status, "fuel");
  assertEquals(await run(undefined), { ...counted, fuel: undefined });
});

Deno.test("runSandbox() reports the fuel of jobs that exit, trap or write too much, up to that point", async () => {
  await using executor = new Executor();
  const cases = [
    ["(call $proc_exit (i32.const 3)) nop nop", "exited", 2],
    ["nop nop unreachable", "trapped", 3],
    ["(call $next) (drop (i32.load (i32.const -1)))", "trapped", 2],
    [write(1, 8), "output", 11],
    ["(call $deep)", "trapped", undefined],
  ] as const;
  for (const [body, status, fuel] of cases) {
    const module = await command(body, "(func $next nop) (func $deep (call $deep) (call $next))");
    const limits = { fuel: Number.MAX_SAFE_INTEGER, outputBytes: 4 };
    const { outcome } = await collect(runSandbox(sandboxJob(module, limits), { executor }));
    assertEquals([body, outcome.status, outcome.fuel], [body, status, fuel]);
  }
});

Deno.test("runSandbox() runs a start function with the job's fuel", async () => {
  const module = await command("nop", `(func $s ${SPIN}) (start $s)`);
  const { outcome } = await collect(runSandbox(sandboxJob(module, { fuel: 1000 })));
  assertEquals([outcome.status, outcome.fuel], ["fuel", 1000]);
});

Deno.test("runSandbox() reports the location of a trap in the module as submitted", async () => {
  const module = await command("(loop nop) (drop (i32.div_u (i32.const 1) (i32.const 0)))");
  const messages = new Set<string | undefined>();
  for (const fuel of [undefined, 1000]) {
    const { outcome } = await collect(runSandbox(sandboxJob(module, { fuel })));
    assertEquals(outcome.status, "trapped");
    messages.add(outcome.message);
  }
  assertEquals(messages.size, 1);
});

Deno.test("runSandbox() refuses a module whose instructions cannot be counted", async () => {
  const locals = Array.from({ length: 50_000 }, () => "i32").join(" ");
  const module = await command(`(local ${locals})`);
  await assertRejects(
    () => collect(runSandbox(sandboxJob(module, { fuel: 1000 }))),
    PlasmError,
    "limit 50000",
  );
  const { outcome } = await collect(runSandbox(sandboxJob(module)));
  assertEquals(outcome.status, "exited");
});

Deno.test("runJob() states the fuel in the claim", async () => {
  const module = await command(SPIN);
  const module_hash = await sha256(module);
  for (const fuel of [0, 5, 5000]) {
    const manifest = createManifest({ module_hash, resources: { fuel } });
    const { outcome } = await runJob(module, { manifest });
    assertEquals([outcome.status, outcome.fuel], ["fuel", fuel]);
  }
});
