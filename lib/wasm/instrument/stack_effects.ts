/**
 * Defines for each instruction without control flow how many values it takes and returns, and what it does with the
 * bits of floats. Source: core specification 3.4 (release 3.0).
 *
 * @module
 */
import { ORIGIN } from "./float_flow.ts";

/** What an instruction does with the values that it takes. */
export const ROLE = {
  /** Unknown here: control flow, variables and others that depend on their operands. */
  OTHER: 0,
  /** Sees the bits of what it takes; what it returns are moved bits. */
  OBSERVE: 1,
  /** Drops the value. */
  DROP: 2,
  /** Float arithmetic: sees numbers, returns a result with an unspecified NaN. */
  ARITHMETIC: 3,
  /** Takes floats and sees numbers only: comparisons, conversions to integers. */
  NUMBER: 4,
  /** Conversion of integers: its results are never NaN. */
  NEUTRAL: 5,
  /** Changes or copies signs. */
  SIGN: 6,
  /** Compares floats and returns one of them. */
  CHOOSE: 7,
  /** Vector of copies of a float. */
  SPLAT: 8,
  /** One float of a vector. */
  EXTRACT: 9,
  /** Vector with one float replaced. */
  REPLACE: 10,
  /** `i8x16.shuffle`, which compilers use to move floats. */
  SHUFFLE: 11,
  /** Float or vector constant. */
  CONSTANT: 12,
} as const;

/** Effects of the instructions after one prefix, or of those without. */
export interface StackEffects {
  /** One of {@linkcode ROLE} for each opcode. */
  role: Uint8Array;
  /** Number of values taken. */
  takes: Uint8Array;
  /** Number of values returned, 0 or 1. */
  returns: Uint8Array;
  /** How the values taken are read: an {@linkcode ORIGIN} of arithmetic, for the roles that need it. */
  reads: Uint8Array;
  /** Origin of the result of arithmetic. */
  result: Uint8Array;
}

type Rows = readonly (readonly [
  first: number,
  last: number,
  role: number,
  takes: number,
  returns: number,
  reads?: number,
  result?: number,
])[];

function effects(size: number, rows: Rows): StackEffects {
  const columns = {
    role: new Uint8Array(size),
    takes: new Uint8Array(size),
    returns: new Uint8Array(size),
    reads: new Uint8Array(size),
    result: new Uint8Array(size),
  };
  for (const [first, last, role, takes, returns, reads = 0, result = reads] of rows) {
    columns.role.fill(role, first, last + 1);
    columns.takes.fill(takes, first, last + 1);
    columns.returns.fill(returns, first, last + 1);
    columns.reads.fill(reads, first, last + 1);
    columns.result.fill(result, first, last + 1);
  }
  return columns;
}

const { OBSERVE, DROP, ARITHMETIC, NUMBER, NEUTRAL, SIGN, CHOOSE, SPLAT, EXTRACT, REPLACE } = ROLE;
const { SHUFFLE, CONSTANT } = ROLE;
const { F32, F64, F32X4, F64X2 } = ORIGIN;

/** Effects of one-byte opcodes. */
export const PLAIN_EFFECTS: StackEffects = effects(256, [
  [0x01, 0x01, OBSERVE, 0, 0], // nop
  [0x1a, 0x1a, DROP, 1, 0],
  [0x23, 0x23, OBSERVE, 0, 1], // global.get
  [0x24, 0x24, OBSERVE, 1, 0], // global.set
  [0x25, 0x25, OBSERVE, 1, 1], // table.get
  [0x26, 0x26, OBSERVE, 2, 0], // table.set
  [0x28, 0x35, OBSERVE, 1, 1], // loads
  [0x36, 0x3e, OBSERVE, 2, 0], // stores
  [0x3f, 0x3f, OBSERVE, 0, 1], // memory.size
  [0x40, 0x40, OBSERVE, 1, 1], // memory.grow
  [0x41, 0x42, OBSERVE, 0, 1], // i32.const, i64.const
  [0x43, 0x44, CONSTANT, 0, 1], // f32.const, f64.const
  [0x45, 0x45, OBSERVE, 1, 1], // i32.eqz
  [0x46, 0x4f, OBSERVE, 2, 1],
  [0x50, 0x50, OBSERVE, 1, 1], // i64.eqz
  [0x51, 0x5a, OBSERVE, 2, 1],
  [0x5b, 0x60, NUMBER, 2, 1, F32], // f32.eq to f32.ge
  [0x61, 0x66, NUMBER, 2, 1, F64], // f64.eq to f64.ge
  [0x67, 0x69, OBSERVE, 1, 1], // i32.clz, ctz, popcnt
  [0x6a, 0x78, OBSERVE, 2, 1],
  [0x79, 0x7b, OBSERVE, 1, 1], // i64.clz, ctz, popcnt
  [0x7c, 0x8a, OBSERVE, 2, 1],
  [0x8b, 0x8c, SIGN, 1, 1], // f32.abs, neg
  [0x8d, 0x91, ARITHMETIC, 1, 1, F32], // f32.ceil, floor, trunc, nearest, sqrt
  [0x92, 0x97, ARITHMETIC, 2, 1, F32], // f32.add, sub, mul, div, min, max
  [0x98, 0x98, SIGN, 2, 1], // f32.copysign
  [0x99, 0x9a, SIGN, 1, 1], // f64.abs, neg
  [0x9b, 0x9f, ARITHMETIC, 1, 1, F64], // f64.ceil, floor, trunc, nearest, sqrt
  [0xa0, 0xa5, ARITHMETIC, 2, 1, F64], // f64.add, sub, mul, div, min, max
  [0xa6, 0xa6, SIGN, 2, 1], // f64.copysign
  [0xa7, 0xa7, OBSERVE, 1, 1], // i32.wrap_i64
  [0xa8, 0xa9, NUMBER, 1, 1, F32], // i32.trunc_f32
  [0xaa, 0xab, NUMBER, 1, 1, F64], // i32.trunc_f64
  [0xac, 0xad, OBSERVE, 1, 1], // i64.extend_i32
  [0xae, 0xaf, NUMBER, 1, 1, F32], // i64.trunc_f32
  [0xb0, 0xb1, NUMBER, 1, 1, F64], // i64.trunc_f64
  [0xb2, 0xb5, NEUTRAL, 1, 1], // f32.convert
  [0xb6, 0xb6, ARITHMETIC, 1, 1, F64, F32], // f32.demote_f64
  [0xb7, 0xba, NEUTRAL, 1, 1], // f64.convert
  [0xbb, 0xbb, ARITHMETIC, 1, 1, F32, F64], // f64.promote_f32
  [0xbc, 0xc4, OBSERVE, 1, 1], // reinterpret, sign extension
  [0xd0, 0xd0, OBSERVE, 0, 1], // ref.null
  [0xd1, 0xd1, OBSERVE, 1, 1], // ref.is_null
  [0xd2, 0xd2, OBSERVE, 0, 1], // ref.func
  [0xd3, 0xd3, OBSERVE, 2, 1], // ref.eq
  [0xd4, 0xd4, OBSERVE, 1, 1], // ref.as_non_null
]);

/** Effects after prefix 0xfb: structs, arrays, casts. */
const GC_EFFECTS = effects(31, [
  [1, 1, OBSERVE, 0, 1], // struct.new_default
  [2, 4, OBSERVE, 1, 1], // struct.get*
  [5, 5, OBSERVE, 2, 0], // struct.set
  [6, 6, OBSERVE, 2, 1], // array.new
  [7, 7, OBSERVE, 1, 1], // array.new_default
  [9, 10, OBSERVE, 2, 1], // array.new_data, array.new_elem
  [11, 13, OBSERVE, 2, 1], // array.get*
  [14, 14, OBSERVE, 3, 0], // array.set
  [15, 15, OBSERVE, 1, 1], // array.len
  [16, 16, OBSERVE, 4, 0], // array.fill
  [17, 17, OBSERVE, 5, 0], // array.copy
  [18, 19, OBSERVE, 4, 0], // array.init_data, array.init_elem
  [20, 23, OBSERVE, 1, 1], // ref.test, ref.cast
  [26, 30, OBSERVE, 1, 1], // conversions, ref.i31, i31.get*
]);

/** Effects after prefix 0xfc: saturating conversions, bulk memory, tables. */
const BULK_EFFECTS = effects(18, [
  [0, 1, NUMBER, 1, 1, F32],
  [2, 3, NUMBER, 1, 1, F64],
  [4, 5, NUMBER, 1, 1, F32],
  [6, 7, NUMBER, 1, 1, F64],
  [8, 8, OBSERVE, 3, 0], // memory.init
  [9, 9, OBSERVE, 0, 0], // data.drop
  [10, 12, OBSERVE, 3, 0], // memory.copy, memory.fill, table.init
  [13, 13, OBSERVE, 0, 0], // elem.drop
  [14, 14, OBSERVE, 3, 0], // table.copy
  [15, 15, OBSERVE, 2, 1], // table.grow
  [16, 16, OBSERVE, 0, 1], // table.size
  [17, 17, OBSERVE, 3, 0], // table.fill
]);

/** Effects after prefix 0xfd: SIMD without relaxed SIMD. */
const SIMD_EFFECTS = effects(0x100, [
  [0x00, 0x0a, OBSERVE, 1, 1], // loads
  [0x0b, 0x0b, OBSERVE, 2, 0], // v128.store
  [0x0c, 0x0c, CONSTANT, 0, 1],
  [0x0d, 0x0d, SHUFFLE, 2, 1],
  [0x0e, 0x0e, OBSERVE, 2, 1], // i8x16.swizzle
  [0x0f, 0x12, OBSERVE, 1, 1], // integer splats
  [0x13, 0x13, SPLAT, 1, 1, F32X4],
  [0x14, 0x14, SPLAT, 1, 1, F64X2],
  [0x15, 0x16, OBSERVE, 1, 1],
  [0x17, 0x17, OBSERVE, 2, 1],
  [0x18, 0x19, OBSERVE, 1, 1],
  [0x1a, 0x1a, OBSERVE, 2, 1],
  [0x1b, 0x1b, OBSERVE, 1, 1],
  [0x1c, 0x1c, OBSERVE, 2, 1],
  [0x1d, 0x1d, OBSERVE, 1, 1],
  [0x1e, 0x1e, OBSERVE, 2, 1],
  [0x1f, 0x1f, EXTRACT, 1, 1, F32X4],
  [0x20, 0x20, REPLACE, 2, 1, F32X4],
  [0x21, 0x21, EXTRACT, 1, 1, F64X2],
  [0x22, 0x22, REPLACE, 2, 1, F64X2],
  [0x23, 0x40, OBSERVE, 2, 1], // integer comparisons
  [0x41, 0x46, NUMBER, 2, 1, F32X4], // f32x4.eq to f32x4.ge
  [0x47, 0x4c, NUMBER, 2, 1, F64X2], // f64x2.eq to f64x2.ge
  [0x4d, 0x4d, OBSERVE, 1, 1], // v128.not
  [0x4e, 0x51, OBSERVE, 2, 1], // v128.and, andnot, or, xor
  [0x52, 0x52, OBSERVE, 3, 1], // v128.bitselect
  [0x53, 0x53, OBSERVE, 1, 1], // v128.any_true
  [0x54, 0x57, OBSERVE, 2, 1], // v128.load*_lane
  [0x58, 0x5b, OBSERVE, 2, 0], // v128.store*_lane
  [0x5c, 0x5d, OBSERVE, 1, 1], // v128.load*_zero
  [0x5e, 0x5e, ARITHMETIC, 1, 1, F64X2, F32X4], // f32x4.demote_f64x2_zero
  [0x5f, 0x5f, ARITHMETIC, 1, 1, F32X4, F64X2], // f64x2.promote_low_f32x4
  [0x60, 0x64, OBSERVE, 1, 1],
  [0x65, 0x66, OBSERVE, 2, 1],
  [0x67, 0x6a, ARITHMETIC, 1, 1, F32X4], // f32x4.ceil, floor, trunc, nearest
  [0x6b, 0x73, OBSERVE, 2, 1],
  [0x74, 0x75, ARITHMETIC, 1, 1, F64X2], // f64x2.ceil, floor
  [0x76, 0x79, OBSERVE, 2, 1],
  [0x7a, 0x7a, ARITHMETIC, 1, 1, F64X2], // f64x2.trunc
  [0x7b, 0x7b, OBSERVE, 2, 1],
  [0x7c, 0x81, OBSERVE, 1, 1],
  [0x82, 0x82, OBSERVE, 2, 1],
  [0x83, 0x84, OBSERVE, 1, 1],
  [0x85, 0x86, OBSERVE, 2, 1],
  [0x87, 0x8a, OBSERVE, 1, 1],
  [0x8b, 0x93, OBSERVE, 2, 1],
  [0x94, 0x94, ARITHMETIC, 1, 1, F64X2], // f64x2.nearest
  [0x95, 0x99, OBSERVE, 2, 1],
  [0x9b, 0x9f, OBSERVE, 2, 1],
  [0xa0, 0xa1, OBSERVE, 1, 1],
  [0xa3, 0xa4, OBSERVE, 1, 1],
  [0xa7, 0xaa, OBSERVE, 1, 1],
  [0xab, 0xae, OBSERVE, 2, 1],
  [0xb1, 0xb1, OBSERVE, 2, 1],
  [0xb5, 0xba, OBSERVE, 2, 1],
  [0xbc, 0xbf, OBSERVE, 2, 1],
  [0xc0, 0xc1, OBSERVE, 1, 1],
  [0xc3, 0xc4, OBSERVE, 1, 1],
  [0xc7, 0xca, OBSERVE, 1, 1],
  [0xcb, 0xce, OBSERVE, 2, 1],
  [0xd1, 0xd1, OBSERVE, 2, 1],
  [0xd5, 0xdf, OBSERVE, 2, 1],
  [0xe0, 0xe1, SIGN, 1, 1], // f32x4.abs, neg
  [0xe3, 0xe3, ARITHMETIC, 1, 1, F32X4], // f32x4.sqrt
  [0xe4, 0xe9, ARITHMETIC, 2, 1, F32X4], // f32x4.add, sub, mul, div, min, max
  [0xea, 0xeb, CHOOSE, 2, 1, F32X4], // f32x4.pmin, pmax
  [0xec, 0xed, SIGN, 1, 1], // f64x2.abs, neg
  [0xef, 0xef, ARITHMETIC, 1, 1, F64X2], // f64x2.sqrt
  [0xf0, 0xf5, ARITHMETIC, 2, 1, F64X2], // f64x2.add, sub, mul, div, min, max
  [0xf6, 0xf7, CHOOSE, 2, 1, F64X2], // f64x2.pmin, pmax
  [0xf8, 0xf9, NUMBER, 1, 1, F32X4], // i32x4.trunc_sat_f32x4
  [0xfa, 0xfb, NEUTRAL, 1, 1], // f32x4.convert_i32x4
  [0xfc, 0xfd, NUMBER, 1, 1, F64X2], // i32x4.trunc_sat_f64x2_zero
  [0xfe, 0xff, OBSERVE, 1, 1], // f64x2.convert_low_i32x4: half of a number may be a NaN as an f32
]);

/** Effects after each prefix; atomics are not among them. */
export const PREFIXED_EFFECTS: ReadonlyMap<number, StackEffects> = new Map([
  [0xfb, GC_EFFECTS],
  [0xfc, BULK_EFFECTS],
  [0xfd, SIMD_EFFECTS],
]);
