import { assertEquals, assertThrows } from "@std/assert";
import { PlasmError } from "../../core/errors/mod.ts";
import { assemble } from "../../../tests/fixtures/reorder_modules.ts";
import {
  body,
  moduleOf,
  SECTION,
  section,
  vector,
} from "../../../tests/fixtures/hostile/binary.ts";
import { instrument, type InstrumentedModule } from "./instrument.ts";

/** The module with guards, and the offsets of their traps. */
function guarded(
  bytes: Uint8Array<ArrayBuffer>,
  grows?: Uint8Array,
): InstrumentedModule & { traps: number[] } {
  const result = instrument(bytes, { grows });
  return { ...result, traps: [...result.bytes.keys()].filter(result.isRefusedGrowth) };
}

const GROWER = `(module (memory (export "memory") 1 3) (memory i64 2 5)
  (func (export "idle") (result i32) (i32.const 7))
  (func (export "narrow") (param i32) (result i32) (local i64)
    (memory.grow (local.get 0)))
  (func (export "wide") (param i64) (result i64)
    (if (i64.eqz (local.get 0)) (then (return (i64.const 9))))
    (memory.grow 1 (local.get 0))))`;

Deno.test("guardGrowth() leaves the results of memory.grow as they are up to the limit", async () => {
  const bytes = await assemble(GROWER);
  const { traps, bytes: after } = guarded(bytes);
  assertEquals(traps.length, 2);
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(after));
  const call = (name: string, ...args: (number | bigint)[]): unknown =>
    (exports[name] as (...args: unknown[]) => unknown)(...args);
  assertEquals(call("idle"), 7);
  for (
    const [pages, result] of [[3, -1], [-1, -1], [0, 1], [1, 1], [2, -1], [1, 2], [1, -1], [0, 3]]
  ) {
    assertEquals(call("narrow", pages!), result);
  }
  for (const [pages, result] of [[0n, 9n], [4n, -1n], [-1n, -1n], [2n, 2n], [1n, 4n], [1n, -1n]]) {
    assertEquals(call("wide", pages!), result);
  }
});

Deno.test("guardGrowth() changes only the bodies that grow a memory, and maps offsets back", async () => {
  const bytes = await assemble(GROWER);
  const all = guarded(bytes);
  assertEquals(guarded(bytes, Uint8Array.of(0, 1, 1)).bytes, all.bytes);
  assertEquals(guarded(bytes, Uint8Array.of(0, 0, 0)).bytes, bytes);
  assertEquals(guarded(bytes, Uint8Array.of(0, 1, 0)).traps.length, 1);
  const grow = bytes.findIndex((byte, at) => byte === 0x40 && bytes[at - 2] === 0x20);
  const [first] = all.traps;
  assertEquals(all.bytes[first!], 0x00);
  // The trap belongs to what is after `memory.grow`.
  assertEquals(all.original(first!) >= grow, true);
});

Deno.test("guardGrowth() refuses what V8 could no longer refuse", () => {
  const growing = (code: readonly number[]): Uint8Array<ArrayBuffer> =>
    moduleOf(
      section(SECTION.type, vector([[0x60, 0, 0]])),
      section(SECTION.function, vector([[0]])),
      section(SECTION.memory, vector([[0, 1]])),
      section(SECTION.code, vector([body(code)])),
    );
  const grow = [0x41, 0, 0x40, 0, 0x1a];
  assertEquals(guarded(growing(grow)).traps.length, 1);
  for (
    const [code, problem] of [
      [[0x20, 0, 0x1a, ...grow], "has no local variable 0"],
      [[0x20, 1, 0x1a, ...grow], "has no local variable 1"],
      [[0x41, 0, 0x40, 1, 0x1a], "has no memory 1"],
    ] as const
  ) {
    assertThrows(() => guarded(growing(code)), PlasmError, problem);
  }
});
