/**
 * Steps over the two parts of a table that have no fixed length: its type and its initializer.
 * Source: core specification 5.3.5 (reference types) and 3.3.13 (constant expressions).
 * @module
 */
import type { ByteReader } from "./reader.ts";

const REF = 0x64;
const REF_NULL = 0x63;
const SHORT_FIRST = 0x69;
const SHORT_LAST = 0x74;

/** Steps over a reference type. */
export function skipReferenceType(reader: ByteReader): void {
  const byte = reader.byte();
  if (byte === REF || byte === REF_NULL) reader.skipSigned(33);
  else if (byte < SHORT_FIRST || byte > SHORT_LAST) {
    reader.fail(`has an unknown element type 0x${byte.toString(16)}`);
  }
}

const END = 0x0b;
const GC_PREFIX = 0xfb;
const SIMD_PREFIX = 0xfd;
const V128_CONST = 0x0c;

/** What follows each instruction that may stand in a constant expression. */
const OPERANDS = new Map<number, (reader: ByteReader) => void>([
  [0x23, (reader) => reader.u32()], // global.get
  [0x41, (reader) => reader.skipSigned(32)], // i32.const
  [0x42, (reader) => reader.skipSigned(64)], // i64.const
  [0x43, (reader) => reader.skip(4)], // f32.const
  [0x44, (reader) => reader.skip(8)], // f64.const
  [0x6a, () => {}], // i32.add
  [0x6b, () => {}], // i32.sub
  [0x6c, () => {}], // i32.mul
  [0x7c, () => {}], // i64.add
  [0x7d, () => {}], // i64.sub
  [0x7e, () => {}], // i64.mul
  [0xd0, (reader) => reader.skipSigned(33)], // ref.null
  [0xd2, (reader) => reader.u32()], // ref.func
]);

/** Numbers that follow each GC instruction of a constant expression. */
const GC_OPERANDS = new Map([
  [0, 1], // struct.new
  [1, 1], // struct.new_default
  [6, 1], // array.new
  [7, 1], // array.new_default
  [8, 2], // array.new_fixed
  [26, 0], // any.convert_extern
  [27, 0], // extern.convert_any
  [28, 0], // ref.i31
]);

/** Steps over a constant expression, its `end` included. It has no blocks: the first end is it. */
export function skipConstantExpression(reader: ByteReader): void {
  for (let code = reader.byte(); code !== END; code = reader.byte()) {
    if (code === SIMD_PREFIX) {
      if (reader.u32() !== V128_CONST) reader.fail("has an initializer that is not constant");
      reader.skip(16);
    } else if (code === GC_PREFIX) {
      const operands = GC_OPERANDS.get(reader.u32());
      if (operands === undefined) reader.fail("has an initializer that is not constant");
      for (let left = operands; left > 0; left--) reader.u32();
    } else {
      const skip = OPERANDS.get(code);
      if (skip === undefined) reader.fail("has an initializer that is not constant");
      skip(reader);
    }
  }
}
