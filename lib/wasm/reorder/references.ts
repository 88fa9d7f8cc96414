/**
 * Records where a module refers to its functions, and replaces the indices there.
 *
 * @module
 */
import type { ByteReader } from "../reader.ts";
import type { ByteWriter } from "../writer.ts";

/** Initial capacity, in references. */
const INITIAL_CAPACITY = 64;

/** Largest number of references of a section, at nine bytes each. CPython's code has 90,000. */
const MAX_REFERENCES = 4_000_000;

/** Longest encoding of a function index, in bytes, and the largest value of its last byte. */
const MAX_INDEX_BYTES = 5;
const MAX_FIFTH_BYTE = 0x0f;

/** Growing list of function references in module order, in columns: large modules have hundreds of thousands. */
export class References {
  /** Offset of the function index in the module. */
  at: Uint32Array = new Uint32Array(INITIAL_CAPACITY);
  /** Function index. */
  to: Uint32Array = new Uint32Array(INITIAL_CAPACITY);
  /** Encoded length of the index, in bytes: linkers may pad it. */
  length: Uint8Array = new Uint8Array(INITIAL_CAPACITY);
  /** Number of references. */
  count = 0;
  readonly #functions: number;

  /** @param functions Number of functions of the module, imported or not. */
  constructor(functions: number) {
    this.#functions = functions;
  }

  /**
   * Appends a reference.
   *
   * @param end Offset after the function index.
   * @returns Whether the index is well-formed and in range. The rewritten module has more functions and the
   * shortest encoding, so that V8 can check neither.
   */
  add(bytes: Uint8Array, { at, end, to }: { at: number; end: number; to: number }): boolean {
    const length = end - at;
    if (length > MAX_INDEX_BYTES) return false;
    if (length === MAX_INDEX_BYTES && bytes[end - 1]! > MAX_FIFTH_BYTE) return false;
    if (to >= this.#functions || this.count >= MAX_REFERENCES) return false;
    if (this.count === this.at.length) this.#grow();
    this.at[this.count] = at;
    this.length[this.count] = length;
    this.to[this.count++] = to;
    return true;
  }

  /** Reads a function index; throws `bad-module` if it is malformed or out of range. */
  read(reader: ByteReader): void {
    const at = reader.position;
    const to = reader.u32();
    if (this.add(reader.bytes, { at, end: reader.position, to })) return;
    reader.position = at;
    reader.fail("has a function index out of range");
  }

  #grow(): void {
    const capacity = this.count * 2;
    const { at, length, to } = this;
    (this.at = new Uint32Array(capacity)).set(at);
    (this.length = new Uint8Array(capacity)).set(length);
    (this.to = new Uint32Array(capacity)).set(to);
  }
}

/** Range of bytes and of the references in it. */
export interface ReferencesSpan {
  /** Offset of the first byte. */
  start: number;
  /** Offset after the last byte. */
  end: number;
  /** Position of the range's first reference. @default {0} */
  first?: number | undefined;
  /** Position after the range's last reference. @default {the number of references} */
  last?: number | undefined;
}

/** Copies `bytes[start, end)` with the function indices in it replaced by `index(old)`. */
export function copyWithIndices(
  writer: ByteWriter,
  bytes: Uint8Array,
  references: References,
  { start, end, first = 0, last = references.count, index }: ReferencesSpan & {
    index: (old: number) => number;
  },
): void {
  let copied = start;
  for (let one = first; one < last; one++) {
    const old = references.to[one]!;
    const now = index(old);
    if (now === old) continue;
    writer.copy(bytes, copied, references.at[one]!);
    writer.u32(now);
    copied = references.at[one]! + references.length[one]!;
  }
  writer.copy(bytes, copied, end);
}
