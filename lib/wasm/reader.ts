/**
 * Reads WebAssembly binaries with bounds checks, and builds the errors for modules that cannot run.
 *
 * @module
 */
import { type JsonValue, PlasmError } from "../core/errors/mod.ts";

/** Longest quoted name, in characters: fits a mangled C++ import on one terminal line. */
const MAX_QUOTED_CHARACTERS = 60;

/**
 * Characters that could forge a log or terminal line: control and format characters (Cc and Cf, which include
 * bidi overrides), line separators and lone surrogates.
 */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}"\\]/gu;

/** Options of {@linkcode badModule}. */
export interface BadModuleOptions {
  /** Next step for the user, as a sentence without a period. @default {undefined} */
  hint?: string | undefined;
  /** The message's figures in machine-readable form. @default {undefined} */
  details?: Record<string, JsonValue> | undefined;
}

/** Creates the `bad-module` error for a module that cannot run. */
export function badModule(reason: string, options: BadModuleOptions = {}): PlasmError {
  return new PlasmError("bad-module", `Cannot run module: ${reason}`, options);
}

/** Quotes a name from the module: truncated to {@linkcode MAX_QUOTED_CHARACTERS}, unprintable characters escaped. */
export function quoteName(name: string): string {
  const truncated = name.length > MAX_QUOTED_CHARACTERS;
  const text = (truncated ? name.slice(0, MAX_QUOTED_CHARACTERS) : name).replace(
    UNPRINTABLE,
    (character) =>
      character === '"' || character === "\\"
        ? `\\${character}`
        : `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  );
  return `"${text}${truncated ? "…" : ""}"`;
}

/** Longest name of an import or export, in bytes: mangled names have some thousands. */
const MAX_WASM_NAME_BYTES = 100_000;

/** Hint for modules that cannot be read. */
const DAMAGED =
  "The file is damaged or not a WebAssembly 3.0 core module; build or download it again";

/** Number of bytes that {@linkcode ByteReader.skipUtf8} decodes at once. */
const UTF8_PART_BYTES = 65_536;

// `ignoreBOM` keeps a byte order mark: names are compared byte for byte.
const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Forward reader over `bytes[start, end)`. Every method throws a `bad-module` error that names the part of
 * the module and the offset if the bytes are truncated or malformed.
 */
export class ByteReader {
  /** The whole module. */
  readonly bytes: Uint8Array;
  /** Offset of the next byte, relative to the module. */
  position: number;
  /** Offset after the last byte to read. */
  readonly end: number;
  readonly #part: string;
  readonly #hint: string;

  constructor(
    bytes: Uint8Array,
    part: string,
    span: { start: number; end: number; hint?: string },
  ) {
    this.bytes = bytes;
    this.position = span.start;
    this.end = span.end;
    this.#part = part;
    this.#hint = span.hint ?? DAMAGED;
  }

  /** Number of bytes not yet read. */
  get left(): number {
    return this.end - this.position;
  }

  /** Throws an error about this part at the current offset; `problem` is a verb phrase. */
  fail(problem: string): never {
    throw badModule(`its ${this.#part} ${problem} at byte ${this.position}`, {
      hint: this.#hint,
      details: { part: this.#part, offset: this.position },
    });
  }

  /** Reads one byte. */
  byte(): number {
    if (this.position >= this.end) this.fail("is truncated");
    return this.bytes[this.position++]!;
  }

  /** Skips `count` bytes. */
  skip(count: number): void {
    if (count > this.left) this.fail("is truncated");
    this.position += count;
  }

  /** Reads an unsigned 32-bit LEB128 integer: at most five bytes, of which the last has four bits. */
  u32(): number {
    let value = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.byte();
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    const last = this.byte();
    if (last > 0x0f) this.fail("has an integer wider than 32 bits");
    return value + last * 2 ** 28;
  }

  /** Reads an unsigned 64-bit LEB128 integer: at most ten bytes, of which the last has one bit. */
  u64(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 63n; shift += 7n) {
      const byte = this.byte();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    const last = this.byte();
    if (last > 1) this.fail("has an integer wider than 64 bits");
    return value | BigInt(last) << 63n;
  }

  /** Skips a signed LEB128 integer of `bits` bits (32, 33 or 64); V8 checks its value. */
  skipSigned(bits: number): void {
    for (let left = Math.ceil(bits / 7); left > 0; left--) {
      if (this.byte() < 0x80) return;
    }
    this.fail(`has an integer wider than ${bits} bits`);
  }

  /**
   * Reads the item count of a vector. A count that cannot fit in the bytes left, at `itemBytes` or more per
   * item, is rejected before anything is allocated in proportion to it.
   */
  count(items: string, itemBytes = 1): number {
    const count = this.u32();
    if (count * itemBytes > this.left) {
      this.fail(
        `declares ${count} ${items} but has room for ${Math.floor(this.left / itemBytes)}`,
      );
    }
    return count;
  }

  /** Reads a length-prefixed UTF-8 name. */
  name(): string {
    const length = this.u32();
    if (length > MAX_WASM_NAME_BYTES) {
      this.fail(`has a name of ${length} bytes (limit ${MAX_WASM_NAME_BYTES})`);
    }
    return this.utf8(length);
  }

  /** Reads a name of `length` bytes. */
  utf8(length: number): string {
    const start = this.position;
    this.skip(length);
    try {
      return UTF8.decode(this.bytes.subarray(start, this.position));
    } catch {
      this.position = start;
      return this.fail("has a name that is not valid UTF-8");
    }
  }

  /** Checks and skips a name of `length` bytes in parts: it may be as long as the module. */
  skipUtf8(length: number): void {
    const end = this.position + length;
    while (end - this.position > UTF8_PART_BYTES) {
      let part = UTF8_PART_BYTES;
      // Split before the first byte of a character.
      while (part > 1 && (this.bytes[this.position + part]! & 0xc0) === 0x80) part--;
      this.utf8(part);
    }
    this.utf8(end - this.position);
  }

  /** Throws if any bytes are left. */
  finish(): void {
    if (this.left > 0) this.fail(`has ${this.left} trailing bytes`);
  }
}
