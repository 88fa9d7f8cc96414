/**
 * Writes and reads tar archives in one canonical form: the same entries give the same bytes.
 *
 * Headers are POSIX ustar, preceded by a pax extended header where a path or a size does not fit. Owner and times are
 * zero. The reader accepts this form only, so that an archive has one meaning.
 *
 * @module
 */
import { concat } from "./bytes.ts";

/** Size of a block, in bytes: headers are one block, contents are padded to blocks. */
const BLOCK_BYTES = 512;

/** End of an archive: two blocks of zeros. */
const END: Uint8Array<ArrayBuffer> = new Uint8Array(2 * BLOCK_BYTES);

/** Longest path that fits the name field of a header, in bytes. */
const MAX_NAME_BYTES = 100;

/** Largest size that fits the size field of a header, in bytes: eleven octal digits. */
const MAX_SIZE = 8 ** 11 - 1;

/** Maximum content of a pax header, in bytes: a path of 4096 characters and a size. */
const MAX_PAX_BYTES = 16 * 1024;

const CHECKSUM_AT = 148;
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A file, or a directory. */
export interface TarMember {
  /** Path; that of a directory ends in a slash. */
  path: string;
  /** Size of the content, in bytes; 0 for a directory. */
  bytes: number;
}

/** Encodes the header of an entry; content and {@linkcode memberPadding} follow it. */
export function encodeTarHeader({ path, bytes }: TarMember): Uint8Array<ArrayBuffer> {
  const name = encoder.encode(path);
  const isPlain = name.length === path.length && name.length <= MAX_NAME_BYTES;
  const fits = bytes <= MAX_SIZE;
  const header = encodeBlock({
    name: isPlain ? name : encoder.encode("long"),
    bytes: fits ? bytes : 0,
    type: path.endsWith("/") ? "5" : "0",
  });
  if (isPlain && fits) return header;
  const pax = encoder.encode(
    (isPlain ? "" : paxRecord("path", path)) + (fits ? "" : paxRecord("size", String(bytes))),
  );
  return concat([
    encodeBlock({ name: encoder.encode("pax"), bytes: pax.length, type: "x" }),
    pax,
    memberPadding(pax.length),
    header,
  ]);
}

/** Returns the zeros after a content of `bytes` bytes. */
export function memberPadding(bytes: number): Uint8Array<ArrayBuffer> {
  return END.subarray(0, (BLOCK_BYTES - bytes % BLOCK_BYTES) % BLOCK_BYTES);
}

/** Returns the end of an archive. */
export function tarEnd(): Uint8Array<ArrayBuffer> {
  return END.slice();
}

function encodeBlock(
  { name, bytes, type }: { name: Uint8Array; bytes: number; type: string },
): Uint8Array<ArrayBuffer> {
  const block = new Uint8Array(BLOCK_BYTES);
  const put = (at: number, text: string) => encoder.encodeInto(text, block.subarray(at));
  block.set(name);
  put(100, type === "5" ? "0000755" : "0000644");
  put(108, "0000000"); // uid
  put(116, "0000000"); // gid
  put(124, bytes.toString(8).padStart(11, "0"));
  put(136, "00000000000"); // mtime
  put(CHECKSUM_AT, "        ");
  put(156, type);
  put(257, "ustar\0" + "00");
  let sum = 0;
  for (const byte of block) sum += byte;
  put(CHECKSUM_AT, `${sum.toString(8).padStart(6, "0")}\0 `);
  return block;
}

/** A pax record, whose length includes the digits of the length. */
function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  const restBytes = encoder.encode(rest).length;
  let length = restBytes + 1;
  while (String(length).length + restBytes !== length) length++;
  return `${length}${rest}`;
}

/** A part of an entry's content; an empty entry has one empty part. */
export interface TarMemberPart {
  /** The entry. */
  entry: TarMember;
  /** Offset of the part in the content, in bytes. */
  offset: number;
  /** A view of the chunk that was read. */
  data: Uint8Array;
}

/** Reads an archive from chunks that may end anywhere. */
export class TarReader {
  /** Blocks of the current header. */
  #header = new Uint8Array(BLOCK_BYTES);
  #filled = 0;
  #entry: TarMember | undefined;
  #offset = 0;
  /** Unread padding after the current content, in bytes. */
  #padding = 0;
  #isComplete = false;

  /** Whether the end of the archive has been read. */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  /**
   * Reads a chunk.
   *
   * @throws {Error} if the archive is not in canonical form
   */
  *read(chunk: Uint8Array): Generator<TarMemberPart, void, void> {
    let at = 0;
    while (at < chunk.length) {
      if (this.#isComplete) throw new Error("bytes follow the end of the archive");
      if (this.#entry !== undefined) {
        const entry = this.#entry;
        const offset = this.#offset;
        const data = chunk.subarray(at, at + entry.bytes - offset);
        at += data.length;
        this.#offset += data.length;
        if (this.#offset === entry.bytes) this.#entry = undefined;
        yield { entry, offset, data };
      } else if (this.#padding > 0) {
        const end = Math.min(chunk.length, at + this.#padding);
        this.#padding -= end - at;
        while (at < end) if (chunk[at++] !== 0) throw new Error("padding is not zero");
      } else {
        const part = chunk.subarray(at, at + this.#header.length - this.#filled);
        this.#header.set(part, this.#filled);
        at += part.length;
        this.#filled += part.length;
        if (this.#filled < this.#header.length) return;
        const entry = this.#readHeader();
        if (entry === undefined) continue;
        this.#padding = memberPadding(entry.bytes).length;
        this.#offset = 0;
        if (entry.bytes === 0) yield { entry, offset: 0, data: chunk.subarray(at, at) };
        else this.#entry = entry;
      }
    }
  }

  /** Reads the collected blocks; returns `undefined` if the header has more blocks, or at the end of the archive. */
  #readHeader(): TarMember | undefined {
    const header = this.#header;
    const first = header.subarray(0, BLOCK_BYTES);
    let needed = BLOCK_BYTES;
    if (first[156] === 0) needed = END.length;
    else if (first[156] === "x".charCodeAt(0)) {
      const bytes = octal(first.subarray(124, 135));
      if (bytes > MAX_PAX_BYTES) throw new Error(`extended header has ${bytes} bytes`);
      needed = 2 * BLOCK_BYTES + bytes + memberPadding(bytes).length;
    }
    if (header.length < needed) {
      this.#header = new Uint8Array(needed);
      this.#header.set(header);
      return undefined;
    }
    this.#header = new Uint8Array(BLOCK_BYTES);
    this.#filled = 0;
    if (needed === END.length && header[156] === 0) {
      if (!isEqual(header, END)) throw new Error("end of the archive is not zero");
      this.#isComplete = true;
      return undefined;
    }
    const entry = parseHeader(header);
    if (!isEqual(encodeTarHeader(entry), header)) {
      throw new Error("header is not in canonical form");
    }
    return entry;
  }
}

/** Reads path and size of a header; the caller compares its encoding with the header. */
function parseHeader(header: Uint8Array): TarMember {
  const last = header.subarray(-BLOCK_BYTES);
  const nameEnd = last.indexOf(0);
  let path = text(last.subarray(0, Math.min(nameEnd, MAX_NAME_BYTES)));
  let bytes = octal(last.subarray(124, 135));
  if (header.length > BLOCK_BYTES) {
    const length = octal(header.subarray(124, 135));
    let pax = text(header.subarray(BLOCK_BYTES, BLOCK_BYTES + length));
    const size = /(?<=^|\n)\d+ size=(\d+)\n$/.exec(pax);
    if (size !== null) {
      bytes = Number(size[1]);
      pax = pax.slice(0, pax.length - size[0].length);
    }
    const named = /^\d+ path=([^]*)\n$/.exec(pax);
    if (named !== null) path = named[1]!;
  }
  if (path === "" || !Number.isSafeInteger(bytes)) throw new Error("header is malformed");
  if (path.endsWith("/") && bytes > 0) throw new Error("a directory has content");
  return { path, bytes };
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

function text(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

function octal(digits: Uint8Array): number {
  const value = text(digits);
  if (!/^[0-7]+$/.test(value)) throw new Error("header is malformed");
  return parseInt(value, 8);
}
