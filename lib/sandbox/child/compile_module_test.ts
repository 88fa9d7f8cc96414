import { assert, assertEquals, assertMatch } from "@std/assert";
import { reorderFunctions } from "../../wasm/reorder/reorder.ts";
import { assemble } from "../../../tests/fixtures/reorder_modules.ts";
import { compileModule, originalReason } from "./compile_module.ts";
import { Executor } from "../host/executor.ts";
import { collect, sandboxJob } from "../../../tests/fixtures/sandbox_jobs.ts";

/** The function that traps is moved, and has calls before the trap that get longer. */
const TRAPPING = `(module (memory (export "memory") 1)
  ${"(func)".repeat(150)}
  (func $traps (loop (call 1) (call 2) (br_if 0 (i32.const 0))) (unreachable))
  (func (export "_start") (call $traps)))`;

Deno.test("Executor.run() names the function of a trap by its index in the module given", async () => {
  await using executor = new Executor();
  const bytes = await assemble(TRAPPING);
  assert(reorderFunctions(bytes).bytes !== bytes);
  const { outcome } = await collect(executor.run(sandboxJob(bytes)));
  assertMatch(outcome.message!, /^Job trapped: unreachable at wasm-function\[150\]:0x[0-9a-f]+$/);
  const offset = Number(/0x[0-9a-f]+$/.exec(outcome.message!)![0]);
  assertEquals(bytes[offset], 0x00, "the instruction there is not unreachable");
});

Deno.test("compileModule() tells what V8 has against a module in the module's own numbers", async () => {
  const bytes = await assemble(TRAPPING);
  // The last body: one call, whose index is now that of no function.
  const changed = bytes.slice();
  const at = changed.findLastIndex((byte, i) => byte === 0x10 && changed[i + 3] === 0x0b);
  changed.set([0xff, 0x7f], at + 1);
  const refused = await compileModule(changed);
  assert("code" in refused);
  assertMatch(refused.message, /^Cannot compile module: Compiling function #151:?/);
});

Deno.test("originalReason() leaves words without a place", () => {
  assertEquals(originalReason("call stack exhausted", undefined), "call stack exhausted");
  assertEquals(
    originalReason("unreachable at wasm-function[0]:0x12", undefined),
    "unreachable at wasm-function[0]:0x12",
  );
});
