import { assertEquals } from "@std/assert";
import { readSections } from "../inspect/sections.ts";
import { chooseFunctions } from "./choose.ts";
import { readCode } from "./code.ts";
import { assemble } from "./testing.ts";

/** Chooses among functions given as text; function 0 is where a run begins. */
async function choose(places: number, functions: string): Promise<number[]> {
  const bytes = await assemble(`(module (memory 1) ${functions})`);
  const code = readCode(bytes, readSections(bytes).known.get("code")!)!;
  return chooseFunctions(code, { imported: 0, roots: [0], places }).sort((a, b) => a - b);
}

const NESTED = "(loop (loop (loop nop nop nop nop)))";
const TARGETS = Array(70).fill("0").join(" ");

Deno.test("chooseFunctions() chooses all that have loops where there is room", async () => {
  assertEquals(await choose(3, "(func) (func (loop)) (func) (func (loop nop))"), [1, 3]);
});

Deno.test("chooseFunctions() chooses a small loop near the entry before larger ones far away", async () => {
  const far = `(func ${NESTED})`.repeat(6);
  assertEquals(await choose(2, `(func (call 7) (loop nop)) ${far} (func (loop nop))`), [0, 1]);
  assertEquals(await choose(4, `(func (call 7)) ${far} (func (loop nop))`), [1, 2, 3, 7]);
});

Deno.test("chooseFunctions() takes a jump table in a loop for an interpreter", async () => {
  const interpreter = `(func (loop (loop (br_table ${TARGETS} (i32.const 0)))))`;
  // Heavier than the interpreter, were it not one.
  const others = "(func (loop (loop nop nop nop nop nop nop nop)))".repeat(3);
  assertEquals(await choose(1, `(func) ${others} ${interpreter} ${others}`), [4]);
});
