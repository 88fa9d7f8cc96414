import { assert, assertEquals, assertThrows } from "@std/assert";
import { PlasmError } from "../../core/errors/mod.ts";
import { assemble } from "../../../tests/fixtures/reorder_modules.ts";
import { checkDeterministicCode } from "./deterministic_code.ts";

const SIMD = [
  "i8x16.relaxed_swizzle",
  "f32x4.relaxed_min",
  "f64x2.relaxed_max",
  "i16x8.relaxed_q15mulr_s",
  "i16x8.relaxed_dot_i8x16_i7x16_s",
];
const TERNARY = [
  "f32x4.relaxed_madd",
  "f64x2.relaxed_nmadd",
  "i8x16.relaxed_laneselect",
  "i64x2.relaxed_laneselect",
  "i32x4.relaxed_dot_i8x16_i7x16_add_s",
];
const UNARY = ["i32x4.relaxed_trunc_f32x4_s", "i32x4.relaxed_trunc_f64x2_u_zero"];
const V128 = "(local.get 0)";

/** Instructions that are refused, by name, with their operands. */
const REFUSED: [name: string, operands: string][] = [
  ...UNARY.map((name): [string, string] => [name, V128]),
  ...SIMD.map((name): [string, string] => [name, V128 + V128]),
  ...TERNARY.map((name): [string, string] => [name, V128 + V128 + V128]),
  ["i32.atomic.load", "(i32.const 0)"],
  ["i64.atomic.load32_u", "(i32.const 0)"],
  ["i32.atomic.rmw.add", "(i32.const 0) (i32.const 0)"],
  ["i32.atomic.rmw8.sub_u", "(i32.const 0) (i32.const 0)"],
  ["i64.atomic.rmw16.xchg_u", "(i32.const 0) (i64.const 0)"],
  ["i64.atomic.rmw32.cmpxchg_u", "(i32.const 0) (i64.const 0) (i64.const 0)"],
  ["memory.atomic.notify", "(i32.const 0) (i32.const 0)"],
  ["memory.atomic.wait64", "(i32.const 0) (i64.const 0) (i64.const 0)"],
];

async function withBody(body: string): Promise<Uint8Array> {
  return await assemble(`(module (import "wasi_snapshot_preview1" "sched_yield" (func))
    (memory 1 1 shared) (func) (func (local v128) ${body}))`);
}

Deno.test("checkDeterministicCode() names the instruction that it refuses", async () => {
  for (const [name, operands] of REFUSED) {
    const module = await withBody(`(drop (${name} ${operands}))`);
    const error = assertThrows(() => checkDeterministicCode(module), PlasmError);
    const proposal = name.includes("atomic") ? "atomics" : "relaxed SIMD";
    assertEquals(
      error.message,
      `Cannot run module: the deterministic profile refuses ${proposal}, function 2 uses ${name}`,
    );
    assertEquals(error.code, "bad-module");
  }
  for (const name of ["i32.atomic.store", "i64.atomic.store8", "atomic.fence"]) {
    const operands = name === "atomic.fence" ? "" : `(i32.const 0) (${name.slice(0, 3)}.const 0)`;
    const module = await withBody(`(${name} ${operands})`);
    assertThrows(() => checkDeterministicCode(module), PlasmError, `function 2 uses ${name}`);
  }
});

Deno.test("checkDeterministicCode() accepts other SIMD and bytes that only look like a refused opcode", async () => {
  const module = await withBody(
    `(drop (i8x16.swizzle ${V128} ${V128})) (drop (f64x2.pmin ${V128} ${V128}))
    (drop (i32.const -2)) (drop (v128.const i64x2 0xfefefefefefefefe 0xfd80fd80fd80fd80))`,
  );
  assert(WebAssembly.validate(module as Uint8Array<ArrayBuffer>));
  checkDeterministicCode(module);
});

Deno.test("checkDeterministicCode() refuses a module with an unknown instruction", async () => {
  const module = await withBody("(nop) (nop) (nop)");
  const at = module.findLastIndex((byte, i) => byte === 1 && module[i + 1] === 1);
  module[at] = 0x27;
  assertThrows(() => checkDeterministicCode(module), PlasmError, "it has unknown instructions");
});
