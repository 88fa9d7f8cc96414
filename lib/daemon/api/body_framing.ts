/**
 * Finds the end of an HTTP/1.1 message body as its bytes arrive (RFC 9112, sections 6 and 7).
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";

/** How the end of a body is found: after a number of bytes, by chunked coding, or when the connection ends. */
export type BodyLength = number | "chunked" | "until-close";

/** Maximum size of all chunk extensions and trailer fields of a body, in bytes; what they contain is ignored. */
const MAX_OVERHEAD_BYTES = 16 * 1024;

/** Maximum digits of a chunk size: 2^48 bytes. */
const MAX_SIZE_DIGITS = 12;

const CR = 13;
const LF = 10;
const SEMICOLON = 59;

/** Field line: a token, a colon without white space before it, and a value without control characters. */
const FIELD = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t\x20-\x7e\x80-\xff]*)$/;

/** Error of a message that violates HTTP/1.1. */
export function unreadable(why: string): PlasmError {
  return new PlasmError("usage", `Cannot read request: ${why}`);
}

/** Removes spaces and tabs around a value in linear time. */
function trim(value: string): string {
  const isBlank = (at: number): boolean => value[at] === " " || value[at] === "\t";
  let [start, end] = [0, value.length];
  while (start < end && isBlank(start)) start++;
  while (end > start && isBlank(end - 1)) end--;
  return value.slice(start, end);
}

/**
 * Parses a field line (RFC 9112, section 5).
 *
 * @returns the name in lower case, and the value
 * @throws {PlasmError} `usage` for a folded line, white space before the colon or a control character
 */
export function parseField(line: string): [name: string, value: string] {
  const [, name, value] = FIELD.exec(line) ?? [];
  if (name === undefined || value === undefined) throw unreadable("header field is malformed");
  return [name.toLowerCase(), trim(value)];
}

function hexDigit(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const letter = byte | 32;
  return letter >= 97 && letter <= 102 ? letter - 87 : -1;
}

type ChunkState =
  | "size"
  | "extension"
  | "size-end"
  | "data"
  | "data-cr"
  | "data-lf"
  | "trailer"
  | "trailer-end";

/** Position within one body. */
export class BodyFraming {
  /** Bytes of the body or chunk that are still to come. */
  #left: number;
  /** State within a chunked body; `undefined` for other bodies. */
  #state: ChunkState | undefined;
  #done: boolean;
  #digits = 0;
  #overhead = 0;
  #trailer = "";

  constructor(length: BodyLength) {
    this.#left = typeof length === "number" ? length : length === "chunked" ? 0 : Infinity;
    this.#state = length === "chunked" ? "size" : undefined;
    this.#done = length === 0;
  }

  /** Whether the body has ended. */
  get done(): boolean {
    return this.#done;
  }

  /**
   * Advances over bytes of the body.
   *
   * @returns how many of them belong to the body
   * @throws {PlasmError} `usage` if the chunked coding is malformed
   */
  advance(bytes: Uint8Array): number {
    let at = 0;
    while (!this.#done && at < bytes.length) {
      if (this.#state === undefined || this.#state === "data") at += this.#skip(bytes.length - at);
      else this.#step(bytes[at++]!, this.#state);
    }
    return at;
  }

  /** Skips up to `available` bytes of content. */
  #skip(available: number): number {
    const count = Math.min(this.#left, available);
    this.#left -= count;
    if (this.#left > 0) return count;
    if (this.#state === undefined) this.#done = true;
    else this.#state = "data-cr";
    return count;
  }

  /** Reads one byte of the chunked coding. */
  #step(byte: number, state: Exclude<ChunkState, "data">): void {
    switch (state) {
      case "size":
        return this.#readSize(byte);
      case "extension":
        this.#countOverhead();
        if (byte === CR) this.#state = "size-end";
        else if (byte < 32 && byte !== 9) throw unreadable("chunk extension is malformed");
        return;
      case "size-end":
        if (byte !== LF) throw unreadable("chunk size does not end with CRLF");
        this.#digits = 0;
        this.#state = this.#left === 0 ? "trailer" : "data";
        return;
      case "data-cr":
        if (byte !== CR) throw unreadable("chunk does not end with CRLF");
        this.#state = "data-lf";
        return;
      case "data-lf":
        if (byte !== LF) throw unreadable("chunk does not end with CRLF");
        this.#state = "size";
        return;
      case "trailer":
        this.#countOverhead();
        if (byte === CR) this.#state = "trailer-end";
        else this.#trailer += String.fromCharCode(byte);
        return;
      case "trailer-end":
        if (byte !== LF) throw unreadable("trailer does not end with CRLF");
        if (this.#trailer === "") {
          this.#done = true;
          return;
        }
        parseField(this.#trailer);
        this.#trailer = "";
        this.#state = "trailer";
    }
  }

  #readSize(byte: number): void {
    const digit = hexDigit(byte);
    if (digit >= 0) {
      if (++this.#digits > MAX_SIZE_DIGITS) throw unreadable("chunk size is too long");
      this.#left = this.#left * 16 + digit;
    } else if (this.#digits > 0 && byte === CR) this.#state = "size-end";
    else if (this.#digits > 0 && byte === SEMICOLON) this.#state = "extension";
    else throw unreadable("chunk size is malformed");
  }

  #countOverhead(): void {
    if (++this.#overhead <= MAX_OVERHEAD_BYTES) return;
    throw new PlasmError(
      "too-large",
      `Cannot read request: chunk extensions and trailers exceed ${MAX_OVERHEAD_BYTES} bytes`,
      { details: { allowed: MAX_OVERHEAD_BYTES } },
    );
  }
}
