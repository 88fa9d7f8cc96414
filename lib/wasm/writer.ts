/**
 * Writes WebAssembly binaries, and patches byte ranges of a module's sections.
 *
 * @module
 */
import { concat } from "../util/mod.ts";
import type { Section } from "./sections.ts";

/** Longest copy that is faster as a loop, in bytes: between views it costs two objects. */
const SHORT_COPY_BYTES = 64;

/** Forward writer into a growing buffer. */
export class ByteWriter {
  #bytes: Uint8Array<ArrayBuffer>;
  #length = 0;

  /** @param capacity Expected size, in bytes. */
  constructor(capacity: number) {
    this.#bytes = new Uint8Array(Math.max(16, capacity));
  }

  /** Number of bytes written. */
  get length(): number {
    return this.#length;
  }

  /** View of the bytes written, valid until the next write. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Resets the length to zero and reuses the buffer. */
  clear(): void {
    this.#length = 0;
  }

  /** Writes one byte. */
  byte(value: number): void {
    this.#reserve(1);
    this.#bytes[this.#length++] = value;
  }

  /** Writes an unsigned 32-bit integer as the shortest LEB128. */
  u32(value: number): void {
    this.#reserve(5);
    let left = value >>> 0;
    for (; left >= 0x80; left >>>= 7) this.#bytes[this.#length++] = (left & 0x7f) | 0x80;
    this.#bytes[this.#length++] = left;
  }

  /** Writes a signed integer of up to 53 bits as the shortest LEB128. */
  signed(value: number): void {
    this.#reserve(8);
    const bytes = this.#bytes;
    let left = value;
    // Division, because shifts have 32 bits.
    while (left < -0x40 || left >= 0x40) {
      const low = ((left % 0x80) + 0x80) % 0x80;
      bytes[this.#length++] = low | 0x80;
      left = (left - low) / 0x80;
    }
    bytes[this.#length++] = left & 0x7f;
  }

  /** Writes `source[start, end)`. */
  copy(source: Uint8Array, start: number, end: number): void {
    const count = end - start;
    this.#reserve(count);
    let length = this.#length;
    if (count <= SHORT_COPY_BYTES) {
      const bytes = this.#bytes;
      for (let at = start; at < end; at++) bytes[length++] = source[at]!;
    } else this.#bytes.set(source.subarray(start, end), length);
    this.#length += count;
  }

  /** Writes length-prefixed bytes, such as a section's content or a function body. */
  sized(content: Uint8Array): void {
    this.u32(content.length);
    this.copy(content, 0, content.length);
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + count));
    grown.set(this.bytes);
    this.#bytes = grown;
  }
}

/** Length of an unsigned 32-bit integer as the shortest LEB128, in bytes. */
export function lebLength(value: number): number {
  return value < 2 ** 7 ? 1 : value < 2 ** 14 ? 2 : value < 2 ** 21 ? 3 : value < 2 ** 28 ? 4 : 5;
}

/** Encodes an unsigned integer of up to 64 bits as the shortest LEB128. */
export function unsignedLeb(value: bigint): number[] {
  const bytes: number[] = [];
  let left = value;
  for (; left >= 0x80n; left >>= 7n) bytes.push(Number(left & 0x7fn) | 0x80);
  bytes.push(Number(left));
  return bytes;
}

/** Replaces `bytes[start, end)` of a module. */
export interface Edit {
  /** Offset of the first byte to replace. */
  start: number;
  /** Offset after the last byte to replace. */
  end: number;
  /** Replacement. */
  bytes: Uint8Array;
}

/** The edits of one section, in ascending order of offset. */
export interface SectionEdits {
  /** The section. */
  section: Section;
  /** Edits of its content. */
  edits: readonly Edit[];
}

/** Copies a module with edits applied and section sizes updated; `patches` are in section order. */
export function patchSections(
  bytes: Uint8Array,
  patches: readonly SectionEdits[],
): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [];
  let copied = 0;
  for (const { section, edits } of patches) {
    parts.push(bytes.subarray(copied, section.header + 1));
    const grown = edits.reduce((sum, edit) => sum + edit.bytes.length - (edit.end - edit.start), 0);
    parts.push(new Uint8Array(unsignedLeb(BigInt(section.end - section.start + grown))));
    copied = section.start;
    for (const edit of edits) {
      parts.push(bytes.subarray(copied, edit.start), edit.bytes);
      copied = edit.end;
    }
  }
  return concat([...parts, bytes.subarray(copied)]);
}
