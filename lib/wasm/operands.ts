/**
 * Skips operands of instructions. Integers are not checked: V8 rejects malformed ones, which rewritings copy unchanged.
 *
 * @module
 */

/** Continuation bit of LEB128: bytes at or above this value are not the last. */
export const CONTINUES = 0x80;

/** Block type without parameters and results. */
export const EMPTY_TYPE = 0x40;

/** Bit of a memory access's flags: a memory index follows. */
export const MEMORY_INDEX_BIT = 0x40;

const REF_NULL = 0x63;
const REF = 0x64;

/** First of the one-byte value types. */
const FIRST_TYPE = 0x69;

/** Whether a heap type follows the byte. */
export function isTypedReference(byte: number): boolean {
  return byte === REF_NULL || byte === REF;
}

/** Whether the byte at the start of a block type is a value type, not a type index. */
export function isValueType(byte: number): boolean {
  return isTypedReference(byte) || (byte >= FIRST_TYPE && byte < CONTINUES);
}

/** Returns the offset after a LEB128 integer. */
export function skipNumber(bytes: Uint8Array, start: number): number {
  let at = start;
  while (bytes[at++]! >= CONTINUES);
  return at;
}

/** Returns the offset after a value type or a block type: empty, a value type or a signed type index. */
export function skipType(bytes: Uint8Array, start: number): number {
  const byte = bytes[start]!;
  if (isTypedReference(byte)) return skipNumber(bytes, start + 1);
  return byte === EMPTY_TYPE || isValueType(byte) ? start + 1 : skipNumber(bytes, start);
}

/** Returns the offset after the flags and the offset of a memory access. */
export function skipMemarg(bytes: Uint8Array, start: number): number {
  // The bits that have a meaning are in the first byte of the flags.
  const hasIndex = (bytes[start]! & MEMORY_INDEX_BIT) !== 0;
  const at = skipNumber(bytes, start);
  return skipNumber(bytes, hasIndex ? skipNumber(bytes, at) : at);
}

/** Returns the offset after the kind of a handler of `try_table` and its tag, which not every kind has. */
export function skipHandlerTag(bytes: Uint8Array, start: number): number {
  return bytes[start]! < 2 ? skipNumber(bytes, start + 1) : start + 1;
}
