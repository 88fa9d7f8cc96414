import { assertEquals } from "@std/assert";
import { readSections } from "../sections.ts";
import { type Code, readCode } from "./code_section.ts";
import { leb } from "../../../tests/fixtures/hostile/binary.ts";
import { assemble } from "../../../tests/fixtures/reorder_modules.ts";

async function codeOf(functions: string): Promise<Code | undefined> {
  const bytes = await assemble(`(module
    (type $t (func (param i32) (result i32))) (tag $tag (param i32))
    (memory 1 1 shared) (memory 1) (table 4 funcref) (data "abc") (elem func $callee)
    (func $callee (type $t) local.get 0) ${functions})`);
  return readCode(bytes, readSections(bytes).known.get("code")!, 0);
}

Deno.test("BodyScanner.scan() skips every kind of operand", async () => {
  const code = await codeOf(`(func (param i32 i64 f32 f64 v128) (local funcref externref)
    (drop (i32.const -2147483648)) (drop (i64.const -9223372036854775808))
    (drop (f32.const 1e10)) (drop (f64.const 0x1p-1000))
    (drop (i32.load8_u offset=200000 (i32.const 1))) (i64.store 1 offset=3 (i32.const 0) (local.get 1))
    (drop (i32.add (memory.size) (memory.grow 1 (i32.const 0))))
    (memory.copy 0 1 (i32.const 0) (i32.const 0) (i32.const 0))
    (memory.fill (i32.const 0) (i32.const 0) (i32.const 0))
    (memory.init 0 (i32.const 0) (i32.const 0) (i32.const 0)) (data.drop 0)
    (table.init 0 (i32.const 0) (i32.const 0) (i32.const 0)) (elem.drop 0)
    (table.copy (i32.const 0) (i32.const 0) (i32.const 0))
    (drop (table.grow (ref.null func) (i32.const 1))) (drop (table.size))
    (table.fill (i32.const 0) (ref.null func) (i32.const 0))
    (table.set (i32.const 0) (ref.func $callee)) (drop (ref.is_null (table.get (i32.const 0))))
    (drop (i32.trunc_sat_f64_u (local.get 3))) (drop (i64.extend32_s (local.get 1)))
    (drop (i8x16.shuffle 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 (local.get 4) (v128.const i64x2 1 2)))
    (drop (i16x8.extract_lane_s 7 (i16x8.replace_lane 3 (local.get 4) (i32.const 1))))
    (drop (v128.load32_lane offset=9 2 (i32.const 0) (local.get 4)))
    (drop (v128.load64_zero (i32.const 0))) (drop (f64x2.mul (local.get 4) (local.get 4)))
    (drop (i32.atomic.rmw.add offset=4 (i32.const 0) (i32.const 1))) (atomic.fence)
    (drop (select (result funcref) (ref.null func) (ref.null func) (local.get 0)))
    (block $b (result i32) (br_if $b (i32.const 1) (local.get 0)) (drop) (i32.const 0)) (drop)
    (block $c (br_table $c $c $c (local.get 0)))
    (try (do (throw $tag (i32.const 1))) (catch $tag (drop)) (catch_all (rethrow 0)))
    (try (do (try (do) (delegate 0))) (catch_all))
    (drop (call $callee (i32.const 0)))
    (drop (call_indirect (type $t) (i32.const 0) (i32.const 0))))`);
  assertEquals(code?.count, 2);
  // ref.func and call.
  assertEquals(Array.from(code!.references.to.subarray(0, code!.references.count)), [0, 0]);
  assertEquals(code!.weight[1], 0);
});

Deno.test("BodyScanner.scan() weights instructions by loop depth", async () => {
  const code = await codeOf(`
    (func (loop nop))
    (func (loop (loop nop nop)) nop)
    (func (local i32) (loop (block (br_table 0 0 0 1 (local.get 0)))))`);
  // The end of a loop counts as a part of it.
  assertEquals(Array.from(code!.weight), [0, 2, 26, 5]);
  assertEquals(Array.from(code!.targets), [0, 0, 0, 3]);
});

Deno.test("readCode() returns undefined when a body is malformed or has an unknown instruction", () => {
  // A truncated body, one beyond its declared size, an unknown instruction, and a jump table with a false count.
  for (
    const body of [[0, 1], [0, 0x0b, 1], [0, 0x27, 0x0b], [0, 0xfb, 31, 0, 0x0b], [
      0,
      0x0e,
      0xff,
      0x7f,
    ]]
  ) {
    const bytes = Uint8Array.of(10, body.length + 2, 1, body.length, ...body);
    const section = { header: 0, start: 2, end: bytes.length };
    assertEquals(readCode(bytes, section, 0), undefined, `${body}`);
  }
});

Deno.test("BodyScanner.scan() skips every GC instruction", () => {
  // Indices that would end the body or start an instruction with operands if they were read as opcodes.
  const [one, two] = [[0x0b], [0x0b, 0x44]];
  const operands = [
    ...[one, one, two, two, two, two, one, one, two, two, two],
    ...[one, one, one, one, [], one, two, two, two],
    ...[one, one, one, one, [3, 0x0b, 0x44, 0x0b], [3, 0x0b, 0x44, 0x0b], [], [], [], [], []],
  ];
  const body = [0, ...operands.flatMap((bytes, code) => [0xfb, code, ...bytes]), 0x10, 0, 0x0b];
  const bytes = Uint8Array.of(1, ...leb(body.length), ...body);
  const code = readCode(bytes, { header: 0, start: 0, end: bytes.length }, 0)!;
  assertEquals(code.references.count, 1);
  assertEquals(code.references.at[0], bytes.length - 2);
});

Deno.test("readCode() returns undefined when a function index is malformed or out of range", () => {
  for (
    const [index, accepted] of [
      [[2], true],
      [[0x82, 0x80, 0x80, 0x80, 0x00], true],
      [[3], false],
      [[0x82, 0x80, 0x80, 0x80, 0x10], false],
      [[0x82, 0x80, 0x80, 0x80, 0x80, 0x00], false],
      [[0xff, 0xff, 0xff, 0xff, 0x0f], false],
    ] as const
  ) {
    for (const opcode of [0x10, 0x12, 0xd2]) {
      const body = [0, opcode, ...index, 0x0b];
      const bytes = Uint8Array.of(1, body.length, ...body);
      // Two imported functions and one with a body.
      const code = readCode(bytes, { header: 0, start: 0, end: bytes.length }, 2);
      assertEquals(code !== undefined, accepted, `${opcode} ${index}`);
    }
  }
});
