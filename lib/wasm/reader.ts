/**
 * Reads a WebAssembly binary forward, never past the end of the part it was given.
 * @module
 */
import { badModule } from "./bad_module.ts";

/** V8 refuses longer names as well (kV8MaxWasmStringSize). */
const MAX_NAME_BYTES = 100_000;

// `ignoreBOM` because a name is compared as it stands, mark included.
const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * A forward reader over `bytes[start, end)`. Every method throws a `bad-module` error that names the
 * part and the offset when the bytes end early or a number is not well formed.
 */
export class ByteReader {
  readonly bytes: Uint8Array;
  /** Offset of the next byte in the whole module. */
  position: number;
  readonly end: number;
  readonly #part: string;

  constructor(bytes: Uint8Array, part: string, span: { start: number; end: number }) {
    this.bytes = bytes;
    this.position = span.start;
    this.end = span.end;
    this.#part = part;
  }

  /** Bytes left. */
  get left(): number {
    return this.end - this.position;
  }

  /** Throws that something in this part is wrong, with the offset. */
  fail(what: string): never {
    throw badModule(`its ${this.#part} ${what} at byte ${this.position}`, {
      hint: "The file is damaged or no WebAssembly 3.0 core module; build or download it again",
      details: { part: this.#part, offset: this.position },
    });
  }

  /** One byte. */
  byte(): number {
    if (this.position >= this.end) this.fail("ends early");
    return this.bytes[this.position++]!;
  }

  /** Steps over `count` bytes. */
  skip(count: number): void {
    if (count > this.left) this.fail("ends early");
    this.position += count;
  }

  /** An unsigned LEB128 number of 32 bits: at most five bytes, the last with four bits. */
  u32(): number {
    let value = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.byte();
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    const last = this.byte();
    if (last > 0x0f) this.fail("has a number of more than 32 bits");
    return value + last * 2 ** 28;
  }

  /** An unsigned LEB128 number of 64 bits: at most ten bytes, the last with one bit. */
  u64(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 63n; shift += 7n) {
      const byte = this.byte();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    const last = this.byte();
    if (last > 1) this.fail("has a number of more than 64 bits");
    return value | BigInt(last) << 63n;
  }

  /** Steps over a signed LEB128 number of `bits` bits (32, 33 or 64). V8 checks its value. */
  skipSigned(bits: number): void {
    for (let left = Math.ceil(bits / 7); left > 0; left--) {
      if (this.byte() < 0x80) return;
    }
    this.fail(`has a number of more than ${bits} bits`);
  }

  /**
   * The count of a vector whose items take at least `itemBytes` each, so that a lying count is
   * refused before anything is done in its proportion.
   */
  count(what: string, itemBytes = 1): number {
    const count = this.u32();
    if (count * itemBytes > this.left) {
      this.fail(
        `says it has ${count} ${what}, there is room for ${Math.floor(this.left / itemBytes)}`,
      );
    }
    return count;
  }

  /** A name: UTF-8 with its length before it. */
  name(): string {
    const length = this.u32();
    if (length > MAX_NAME_BYTES) {
      this.fail(`has a name of ${length} bytes, ${MAX_NAME_BYTES} are allowed,`);
    }
    const start = this.position;
    this.skip(length);
    try {
      return UTF8.decode(this.bytes.subarray(start, this.position));
    } catch {
      this.position = start;
      return this.fail("has a name that is not UTF-8");
    }
  }

  /** Throws when bytes are left over. */
  finish(): void {
    if (this.left > 0) this.fail(`has ${this.left} bytes too many`);
  }
}
