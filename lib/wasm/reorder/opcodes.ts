/**
 * Operand kinds of all instructions, as far as needed to find the next instruction.
 * Source: core specification 5.4 (release 3.0, without GC), and the threads proposal's atomics.
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
  [0xfc, 0xfc, OPERAND.PREFIX_FC],
  [0xfd, 0xfd, OPERAND.PREFIX_FD],
  [0xfe, 0xfe, OPERAND.PREFIX_FE],
]);

/** Operand kinds after prefix 0xfc: saturating conversions, bulk memory, tables. */
export const PREFIXED_FC: Uint8Array = table(18, [
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

/** Operand kinds after prefix 0xfd: SIMD, including relaxed SIMD. */
export const PREFIXED_FD: Uint8Array = table(0x114, [
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
export const PREFIXED_FE: Uint8Array = table(0x4f, [
  [0, 2, OPERAND.MEMARG],
  [3, 3, OPERAND.BYTE], // atomic.fence
  [0x10, 0x4e, OPERAND.MEMARG],
]);
