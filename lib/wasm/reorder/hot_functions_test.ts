import { assertEquals } from "@std/assert";
import { readSections } from "../sections.ts";
import { selectHotFunctions } from "./hot_functions.ts";
import { readCode } from "./code_section.ts";
import { assemble } from "../../../tests/fixtures/reorder_modules.ts";

/** Selects among functions in text format; function 0 is the entry point. */
async function select(slots: number, functions: string): Promise<number[]> {
  const bytes = await assemble(`(module (memory 1) ${functions})`);
  const code = readCode(bytes, readSections(bytes).known.get("code")!, 0)!;
  return selectHotFunctions(code, { imported: 0, entryPoints: [0], slots }).sort((a, b) => a - b);
}

const NESTED = "(loop (loop (loop nop nop nop nop)))";
const TARGETS = Array(70).fill("0").join(" ");

Deno.test("selectHotFunctions() selects every function with loops when there are enough slots", async () => {
  assertEquals(await select(3, "(func) (func (loop)) (func) (func (loop nop))"), [1, 3]);
});

Deno.test("selectHotFunctions() prefers a small loop near the entry point to larger ones far away", async () => {
  const far = `(func ${NESTED})`.repeat(6);
  assertEquals(await select(2, `(func (call 7) (loop nop)) ${far} (func (loop nop))`), [0, 1]);
  assertEquals(await select(4, `(func (call 7)) ${far} (func (loop nop))`), [1, 2, 3, 7]);
});

Deno.test("selectHotFunctions() prefers a loop around a large jump table", async () => {
  const interpreter = `(func (loop (loop (br_table ${TARGETS} (i32.const 0)))))`;
  // Heavier than the interpreter without its factor.
  const others = "(func (loop (loop nop nop nop nop nop nop nop)))".repeat(3);
  assertEquals(await select(1, `(func) ${others} ${interpreter} ${others}`), [4]);
});

Deno.test("selectHotFunctions() omits memory allocators", async () => {
  const grower = "(func (drop (memory.grow (i32.const 1))))";
  const allocator = `(func (call 1) ${NESTED})`;
  const caller = "(func (call 2) (call 2))";
  assertEquals(await select(9, `(func) ${grower} ${allocator} ${caller} (func (loop))`), [4]);
  // A main function that grows the memory itself, or calls such a helper, is not an allocator.
  assertEquals(await select(9, `(func (call 1) ${NESTED}) ${grower}`), [0]);
  const own = `(func (drop (memory.grow (i32.const 1))) ${NESTED})`;
  assertEquals(await select(9, `(func (call 1)) ${own}`), [1]);
});
