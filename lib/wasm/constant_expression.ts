/**
 * Reads the constant expressions that initialize globals and tables and place or fill segments.
 * Source: core specification 3.3.13 and 5.4.9 (release 3.0, with GC and SIMD).
 *
 * @module
 */
import type { ByteReader } from "./reader.ts";

const END = 0x0b;
const REF_FUNC = 0xd2;
const GC_PREFIX = 0xfb;
const SIMD_PREFIX = 0xfd;
const V128_CONST = 0x0c;

/** Skips the operands of each instruction that constant expressions allow, but for `ref.func`. */
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
]);

/** Number of integer operands of each GC instruction that constant expressions allow. */
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

/**
 * Reads a constant expression up to and including its first `end`: such expressions have no blocks.
 *
 * @param readFunction Reads the function index of each `ref.func`. By default the index is skipped.
 */
export function readConstantExpression(
  reader: ByteReader,
  readFunction: (reader: ByteReader) => void = skipIndex,
): void {
  for (let code = reader.byte(); code !== END; code = reader.byte()) {
    if (code === REF_FUNC) readFunction(reader);
    else if (code === SIMD_PREFIX) {
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

function skipIndex(reader: ByteReader): void {
  reader.u32();
}
