/**
 * Defines the operand kinds of all instructions, as far as needed to find the next instruction.
 * Source: core specification 5.4 (release 3.0), and the threads proposal's atomics.
 *
 * @module
 */

/** Kinds of operands; `BodyScanner.scan()` has a case for each. */
export const OPERAND = {
  UNKNOWN: 0,
  NONE: 1,
  INDEX: 2,
  TWO_INDICES: 3,
  FUNCTION: 4,
  MEMARG: 5,
  SIGNED: 6,
  BYTE: 7,
  BYTES_4: 8,
  BYTES_8: 9,
  BYTES_16: 10,
  MEMARG_LANE: 11,
  BLOCK: 12,
  LOOP: 13,
  TRY_TABLE: 14,
  END: 15,
  BR_TABLE: 16,
  SELECT_TYPES: 17,
  HEAP_TYPE: 18,
  PREFIX_FC: 19,
  PREFIX_FD: 20,
  PREFIX_FE: 21,
  DELEGATE: 22,
  /** Memory index of `memory.grow`. */
  GROW: 23,
  PREFIX_FB: 24,
  /** Flags, label and two heap types. */
  BR_ON_CAST: 25,
} as const;

type Rows = readonly (readonly [first: number, last: number, operand: number])[];

/** Operand kind by opcode; opcodes in no row are unknown. */
function table(size: number, rows: Rows): Uint8Array {
  const kinds = new Uint8Array(size);
  for (const [first, last, operand] of rows) kinds.fill(operand, first, last + 1);
  return kinds;
}

/** Operand kinds of one-byte opcodes. */
export const PLAIN: Uint8Array = table(256, [
  [0x00, 0x01, OPERAND.NONE], // unreachable, nop
  [0x02, 0x02, OPERAND.BLOCK],
  [0x03, 0x03, OPERAND.LOOP],
  [0x04, 0x04, OPERAND.BLOCK], // if
  [0x05, 0x05, OPERAND.NONE], // else
  [0x06, 0x06, OPERAND.BLOCK], // try
  [0x07, 0x09, OPERAND.INDEX], // catch, throw, rethrow
  [0x0a, 0x0a, OPERAND.NONE], // throw_ref
  [0x0b, 0x0b, OPERAND.END],
  [0x0c, 0x0d, OPERAND.INDEX], // br, br_if
  [0x0e, 0x0e, OPERAND.BR_TABLE],
  [0x0f, 0x0f, OPERAND.NONE], // return
  [0x10, 0x10, OPERAND.FUNCTION], // call
  [0x11, 0x11, OPERAND.TWO_INDICES], // call_indirect
  [0x12, 0x12, OPERAND.FUNCTION], // return_call
  [0x13, 0x13, OPERAND.TWO_INDICES], // return_call_indirect
  [0x14, 0x15, OPERAND.INDEX], // call_ref, return_call_ref
  [0x18, 0x18, OPERAND.DELEGATE],
  [0x19, 0x1b, OPERAND.NONE], // catch_all, drop, select
  [0x1c, 0x1c, OPERAND.SELECT_TYPES],
  [0x1f, 0x1f, OPERAND.TRY_TABLE],
  [0x20, 0x26, OPERAND.INDEX], // local.*, global.*, table.get, table.set
  [0x28, 0x3e, OPERAND.MEMARG],
  [0x3f, 0x3f, OPERAND.INDEX], // memory.size
  [0x40, 0x40, OPERAND.GROW], // memory.grow
  [0x41, 0x42, OPERAND.SIGNED], // i32.const, i64.const
  [0x43, 0x43, OPERAND.BYTES_4], // f32.const
  [0x44, 0x44, OPERAND.BYTES_8], // f64.const
  [0x45, 0xc4, OPERAND.NONE], // comparisons, arithmetic, conversions
  [0xd0, 0xd0, OPERAND.HEAP_TYPE], // ref.null
  [0xd1, 0xd1, OPERAND.NONE], // ref.is_null
  [0xd2, 0xd2, OPERAND.FUNCTION], // ref.func
  [0xd3, 0xd4, OPERAND.NONE], // ref.eq, ref.as_non_null
  [0xd5, 0xd6, OPERAND.INDEX], // br_on_null, br_on_non_null
  [0xfb, 0xfb, OPERAND.PREFIX_FB],
  [0xfc, 0xfc, OPERAND.PREFIX_FC],
  [0xfd, 0xfd, OPERAND.PREFIX_FD],
  [0xfe, 0xfe, OPERAND.PREFIX_FE],
]);

/** Operand kinds after prefix 0xfb: structs, arrays, casts. */
const PREFIXED_FB: Uint8Array = table(31, [
  [0, 1, OPERAND.INDEX], // struct.new, struct.new_default
  [2, 5, OPERAND.TWO_INDICES], // struct.get*, struct.set
  [6, 7, OPERAND.INDEX], // array.new, array.new_default
  [8, 10, OPERAND.TWO_INDICES], // array.new_fixed, array.new_data, array.new_elem
  [11, 14, OPERAND.INDEX], // array.get*, array.set
  [15, 15, OPERAND.NONE], // array.len
  [16, 16, OPERAND.INDEX], // array.fill
  [17, 19, OPERAND.TWO_INDICES], // array.copy, array.init_data, array.init_elem
  [20, 23, OPERAND.HEAP_TYPE], // ref.test, ref.cast
  [24, 25, OPERAND.BR_ON_CAST], // br_on_cast, br_on_cast_fail
  [26, 30, OPERAND.NONE], // any.convert_extern, extern.convert_any, ref.i31, i31.get*
]);

/** Operand kinds after prefix 0xfc: saturating conversions, bulk memory, tables. */
const PREFIXED_FC: Uint8Array = table(18, [
  [0, 7, OPERAND.NONE],
  [8, 8, OPERAND.TWO_INDICES], // memory.init
  [9, 9, OPERAND.INDEX], // data.drop
  [10, 10, OPERAND.TWO_INDICES], // memory.copy
  [11, 11, OPERAND.INDEX], // memory.fill
  [12, 12, OPERAND.TWO_INDICES], // table.init
  [13, 13, OPERAND.INDEX], // elem.drop
  [14, 14, OPERAND.TWO_INDICES], // table.copy
  [15, 17, OPERAND.INDEX], // table.grow, table.size, table.fill
]);

/** First opcode of relaxed SIMD after prefix 0xfd. */
export const FIRST_RELAXED = 0x100;

/** Operand kinds after prefix 0xfd: SIMD, including relaxed SIMD. */
const PREFIXED_FD: Uint8Array = table(0x114, [
  [0, 11, OPERAND.MEMARG],
  [12, 13, OPERAND.BYTES_16], // v128.const, i8x16.shuffle
  [14, 20, OPERAND.NONE],
  [21, 34, OPERAND.BYTE], // extract_lane, replace_lane
  [35, 83, OPERAND.NONE],
  [84, 91, OPERAND.MEMARG_LANE],
  [92, 93, OPERAND.MEMARG],
  [94, 0x113, OPERAND.NONE],
]);

/** Operand kinds after prefix 0xfe: atomics. */
const PREFIXED_FE: Uint8Array = table(0x4f, [
  [0, 2, OPERAND.MEMARG],
  [3, 3, OPERAND.BYTE], // atomic.fence
  [0x10, 0x4e, OPERAND.MEMARG],
]);

/** Operand kinds after each prefix, by the prefix's own operand kind. */
export const PREFIXED: readonly (Uint8Array | undefined)[] = Array.from(
  { length: OPERAND.BR_ON_CAST + 1 },
  (_, operand) =>
    new Map<number, Uint8Array>([
      [OPERAND.PREFIX_FB, PREFIXED_FB],
      [OPERAND.PREFIX_FC, PREFIXED_FC],
      [OPERAND.PREFIX_FD, PREFIXED_FD],
      [OPERAND.PREFIX_FE, PREFIXED_FE],
    ]).get(operand),
);

function marks(
  size: number,
  ranges: readonly (readonly [first: number, last: number])[],
): Uint8Array {
  return table(size, ranges.map(([first, last]) => [first, last, 1] as const));
}

/** 1 for one-byte opcodes of float arithmetic, whose NaN results have unspecified bits. */
export const FLOAT_ARITHMETIC: Uint8Array = marks(256, [
  [0x8d, 0x97], // f32.ceil to f32.max without abs and neg
  [0x9b, 0xa5], // f64.ceil to f64.max
  [0xb6, 0xb6], // f32.demote_f64
  [0xbb, 0xbb], // f64.promote_f32
]);

/** The same after prefix 0xfd. */
export const SIMD_ARITHMETIC: Uint8Array = marks(0x114, [
  [0x5e, 0x5f], // f32x4.demote_f64x2_zero, f64x2.promote_low_f32x4
  [0x67, 0x6a], // f32x4.ceil, floor, trunc, nearest
  [0x74, 0x75], // f64x2.ceil, floor
  [0x7a, 0x7a], // f64x2.trunc
  [0x94, 0x94], // f64x2.nearest
  [0xe3, 0xe9], // f32x4.sqrt, add, sub, mul, div, min, max
  [0xef, 0xf5], // the same of f64x2
]);
