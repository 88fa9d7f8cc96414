import { assert, assertEquals, assertMatch } from "@std/assert";
import { describeTrace } from "../backtrace.ts";
import { reorderFunctions } from "../../wasm/reorder/reorder.ts";
import { assemble } from "../../../tests/fixtures/reorder_modules.ts";
import { compileModule } from "./module_compiler.ts";
import { Executor } from "../host/executor.ts";
import { collect, sandboxJob } from "../../../tests/fixtures/sandbox_jobs.ts";

/** The function that traps is moved, and its calls before the trap are encoded longer. */
const TRAPPING = `(module (memory (export "memory") 1)
  ${"(func)".repeat(150)}
  (func $traps (loop (call 1) (call 2) (br_if 0 (i32.const 0))) (unreachable))
  (func (export "_start") (call $traps)))`;

Deno.test("Executor.run() reports a trap at its location in the submitted module", async () => {
  await using executor = new Executor();
  const bytes = await assemble(TRAPPING);
  assert(reorderFunctions(bytes).bytes !== bytes);
  const { outcome } = await collect(executor.run(sandboxJob(bytes)));
  assertEquals(outcome.message, "Job trapped: unreachable");
  const [traps, start, ...rest] = await describeTrace(bytes, outcome.trace ?? []);
  assertEquals([traps?.function, start?.function, rest], [150, 151, []]);
  assertEquals(bytes[traps!.offset], 0x00, "the instruction there is not unreachable");
  assertEquals(bytes[start!.offset], 0x10, "the instruction there is not a call");
});

Deno.test("Executor.run() reports a trap of a deterministic job at its location in the submitted module", async () => {
  await using executor = new Executor();
  const bytes = await assemble(TRAPPING.replace(
    "(unreachable)",
    "(f64.store (i32.const 0) (f64.sqrt (f64.load (i32.const 8)))) (unreachable)",
  ));
  const deterministic = { seed: new Uint8Array(32), epochMs: 0 };
  const { outcome } = await collect(executor.run({ ...sandboxJob(bytes), deterministic }));
  const [traps] = await describeTrace(bytes, outcome.trace ?? []);
  assertEquals(traps?.function, 150);
  const { offset } = traps!;
  assertEquals(bytes.subarray(offset - 3, offset + 1), Uint8Array.of(0x39, 3, 0, 0x00));
});

Deno.test("compileModule() reports V8's error with the function indices of the submitted module", async () => {
  const bytes = await assemble(TRAPPING);
  // Replace the index of the only call in the last body by one that does not exist.
  const changed = bytes.slice();
  const at = changed.findLastIndex((byte, i) => byte === 0x10 && changed[i + 3] === 0x0b);
  changed.set([0xff, 0x7f], at + 1);
  const refused = await compileModule(changed);
  assert("code" in refused);
  assertMatch(refused.message, /^Cannot compile module: Compiling function #151:?/);
});

Deno.test("compileModule() reports the same error with and without counted instructions", async () => {
  const bytes = await assemble(
    `(module (memory (export "memory") 1) (func (export "_start")) (start 0))`,
  );
  assert("module" in await compileModule(bytes, { fuel: 9 }));
  // Make the start function one that has a parameter.
  const changed = await assemble(
    `(module (memory (export "memory") 1) (func (param i32)) (func (export "_start")) (start 1))`,
  );
  const at = changed.findIndex((byte, i) =>
    byte === 8 && changed[i + 1] === 1 && changed[i + 2] === 1
  );
  changed[at + 2] = 0;
  const plain = await compileModule(changed);
  assert("code" in plain);
  assertMatch(plain.message, /start function/);
  assertEquals(await compileModule(changed, { fuel: 9 }), plain);
});

Deno.test("Executor.run() reports the innermost calls when the call stack is exhausted", async () => {
  await using executor = new Executor();
  const bytes = await assemble(`(module (memory (export "memory") 1)
    (func $deep (param i32) (call $deep (i32.add (local.get 0) (i32.const 1))) (call $deep (i32.const 0)))
    (func (export "_start") (call $deep (i32.const 0))))`);
  const { outcome } = await collect(executor.run(sandboxJob(bytes)));
  assertEquals(outcome.message, "Job trapped: call stack exhausted");
  const names = (await describeTrace(bytes, outcome.trace ?? [])).map(({ name }) => name);
  assert(names.length >= 20, `${names.length}`);
  assert(names.every((name) => name === "deep"));
});
