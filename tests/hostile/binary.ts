/**
 * A tiny writer of WebAssembly binaries, for what text cannot say (GC types, lying lengths) and for
 * modules too large to be written as text.
 * @module
 */

/** Bytes, as numbers or as they are. */
export type Bytes = readonly number[] | Uint8Array;

const HEADER = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];

/** Section ids, by name. */
export const SECTION = {
  custom: 0,
  type: 1,
  import: 2,
  function: 3,
  table: 4,
  memory: 5,
  global: 6,
  export: 7,
  start: 8,
  element: 9,
  code: 10,
  data: 11,
  dataCount: 12,
  tag: 13,
} as const;

/** Joins parts. */
export function concat(...parts: readonly Bytes[]): Uint8Array<ArrayBuffer> {
  return join(parts);
}

/** Joins parts, of which there may be more than a call can have arguments. */
export function join(parts: readonly Bytes[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
}

/** An unsigned LEB128 number. */
export function leb(value: number): number[] {
  const bytes: number[] = [];
  let left = value;
  for (; left >= 0x80; left = Math.floor(left / 0x80)) bytes.push(left % 0x80 | 0x80);
  bytes.push(left);
  return bytes;
}

/** A signed LEB128 number of 32 bits. */
export function signedLeb(value: number): number[] {
  const bytes: number[] = [];
  for (let left = value;; left >>= 7) {
    const byte = left & 0x7f;
    if (left >> 7 === (byte & 0x40 ? -1 : 0)) return [...bytes, byte];
    bytes.push(byte | 0x80);
  }
}

/** A name with its length. */
export function name(text: string): Uint8Array<ArrayBuffer> {
  const bytes = new TextEncoder().encode(text);
  return concat(leb(bytes.length), bytes);
}

/** A vector: the count, then the items. */
export function vector(items: readonly Bytes[]): Uint8Array<ArrayBuffer> {
  return concat(leb(items.length), join(items));
}

/** A section with its id and size. */
export function section(id: number, content: Bytes): Uint8Array<ArrayBuffer> {
  return concat([id], leb(content.length), content);
}

/** A module of sections. */
export function moduleOf(...sections: readonly Bytes[]): Uint8Array<ArrayBuffer> {
  return concat(HEADER, ...sections);
}

/** A function body of code with its locals, each `[count, type]`; the final `end` is added. */
export function body(
  code: Bytes,
  locals: readonly (readonly [count: number, type: number])[] = [],
): Uint8Array<ArrayBuffer> {
  const declared = vector(locals.map(([count, type]) => [...leb(count), type]));
  return concat(leb(declared.length + code.length + 1), declared, code, [0x0b]);
}

/** The sections of the smallest command, to be mixed with others; in their order. */
export const COMMAND = {
  /** Type 0 takes and gives nothing. */
  type: section(SECTION.type, [1, 0x60, 0, 0]),
  /** Function 0 is of type 0. */
  function: section(SECTION.function, [1, 0]),
  /** Memory 0 has one page. */
  memory: section(SECTION.memory, [1, 0, 1]),
  export: section(
    SECTION.export,
    vector([concat(name("memory"), [2, 0]), concat(name("_start"), [0, 0])]),
  ),
  /** Function 0 does nothing. */
  code: section(SECTION.code, vector([body([])])),
} as const;
