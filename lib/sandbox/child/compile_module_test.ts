import { assert, assertEquals, assertMatch } from "@std/assert";
import { reorderFunctions } from "../../wasm/reorder/reorder.ts";
import { assemble } from "../../../tests/fixtures/reorder_modules.ts";
import { compileModule, originalReason } from "./compile_module.ts";
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
  assertMatch(outcome.message!, /^Job trapped: unreachable at wasm-function\[150\]:0x[0-9a-f]+$/);
  const offset = Number(/0x[0-9a-f]+$/.exec(outcome.message!)![0]);
  assertEquals(bytes[offset], 0x00, "the instruction there is not unreachable");
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

Deno.test("originalReason() returns the reason unchanged when it has no location", () => {
  assertEquals(originalReason("call stack exhausted", undefined), "call stack exhausted");
  assertEquals(
    originalReason("unreachable at wasm-function[0]:0x12", undefined),
    "unreachable at wasm-function[0]:0x12",
  );
});
