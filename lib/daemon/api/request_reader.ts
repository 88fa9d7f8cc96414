/**
 * Reads HTTP/1.1 requests from a connection: strict heads, and bodies up to their exact end (RFC 9112).
 *
 * A request on whose length two parsers could disagree is refused, so that none can be smuggled behind another.
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { BodyFraming, parseField, unreadable } from "./body_framing.ts";

/** Maximum size of a request head, in bytes. */
export const MAX_HEAD_BYTES: number = 16 * 1024;

/** Size of a read within a body, in bytes. */
const READ_BYTES = 64 * 1024;

const CR = 13;
const LF = 10;

/** Readable side of a connection. */
export interface ByteSource {
  /** Reads some bytes; `null` at the end. */
  read(into: Uint8Array): Promise<number | null>;
}

/** Header fields by their name in lower case; repeated ones are joined by commas. */
export type HeaderFields = ReadonlyMap<string, string>;

/** Head of a request. */
export interface RequestHead {
  method: string;
  /** Path and query, or `*`. */
  target: string;
  headers: HeaderFields;
  /** Length of the body. */
  length: number | "chunked";
}

/** Fields of which a request has one at most: recipients disagree on which of several counts. */
const SINGLE_FIELDS: readonly string[] = [
  "host",
  "content-length",
  "transfer-encoding",
  "authorization",
];

/** Request line with an origin-form, absolute-form or asterisk-form target. */
const REQUEST_LINE =
  /^([A-Z]+) (?:(?:http:\/\/([^/?#@ ]+))?(\/[\x21-\x7e]*)|(\*)) HTTP\/1\.([01])$/;

/**
 * Size of a head with its empty line; -1 if it is incomplete.
 *
 * @param from Number of bytes that earlier calls have searched.
 * @throws {PlasmError} `usage` for a line that ends with a bare LF
 */
export function headSize(bytes: Uint8Array, from = 0): number {
  for (let at = bytes.indexOf(LF, from); at >= 0; at = bytes.indexOf(LF, at + 1)) {
    if (bytes[at - 1] !== CR) throw unreadable("line does not end with CRLF");
    if (bytes[at - 2] === LF) return at + 1;
  }
  return -1;
}

const decoder = new TextDecoder("latin1");

/**
 * Splits a complete head.
 *
 * @throws {PlasmError} `usage`
 */
export function splitHead(bytes: Uint8Array): { line: string; headers: Map<string, string> } {
  const [line = "", ...lines] = decoder.decode(bytes.subarray(0, -4)).split("\r\n");
  const headers = new Map<string, string>();
  for (const text of lines) {
    const [name, value] = parseField(text);
    const earlier = headers.get(name);
    if (earlier !== undefined && SINGLE_FIELDS.includes(name)) {
      throw unreadable(`${name} is repeated`);
    }
    headers.set(name, earlier === undefined ? value : `${earlier}, ${value}`);
  }
  return { line, headers };
}

function tooLarge(): PlasmError {
  const message = `Cannot read request: head exceeds ${MAX_HEAD_BYTES} bytes`;
  return new PlasmError("too-large", message, { details: { allowed: MAX_HEAD_BYTES } });
}

function lengthOf(headers: HeaderFields, minor: string | undefined): number | "chunked" {
  const size = headers.get("content-length");
  const coding = headers.get("transfer-encoding");
  if (coding === undefined) {
    if (size === undefined) return 0;
    if (!/^\d{1,15}$/.test(size)) throw unreadable("content-length is not a number");
    return Number(size);
  }
  if (size !== undefined) throw unreadable("it has both content-length and transfer-encoding");
  if (minor === "0") throw unreadable("HTTP/1.0 has no transfer-encoding");
  if (coding.toLowerCase() !== "chunked") throw unreadable("transfer-encoding is not chunked");
  return "chunked";
}

/** Parses a complete head. */
function parseHead(bytes: Uint8Array): RequestHead {
  const { line, headers } = splitHead(bytes);
  const [, method, authority, path, asterisk, minor] = REQUEST_LINE.exec(line) ?? [];
  const target = path ?? asterisk;
  if (method === undefined || target === undefined) throw unreadable("first line is not HTTP/1.1");
  const host = headers.get("host");
  if (host === undefined && minor === "1") throw unreadable("host is missing");
  if (authority !== undefined && authority.toLowerCase() !== host?.toLowerCase()) {
    throw unreadable("target and host differ");
  }
  return { method, target, headers, length: lengthOf(headers, minor) };
}

/** Reads the requests of one connection. One call at a time; a returned view is valid until the next call. */
export class RequestReader {
  readonly #source: ByteSource;
  #buffer = new Uint8Array(MAX_HEAD_BYTES);
  /** Unread bytes in the buffer. */
  #start = 0;
  #end = 0;
  /** Size of a head that {@linkcode take} has not returned. */
  #headSize = 0;
  #body = new BodyFraming(0);

  constructor(source: ByteSource) {
    this.#source = source;
  }

  /** Bytes that were read behind the last head. */
  get rest(): Uint8Array {
    return this.#buffer.subarray(this.#start + this.#headSize, this.#end);
  }

  /**
   * Reads the head of the next request; `undefined` if the connection ends before it.
   *
   * @throws {PlasmError} `usage`, `too-large`
   */
  async head(): Promise<RequestHead | undefined> {
    let searched = 0;
    let isAtStart = true;
    while (true) {
      if (isAtStart) isAtStart = !this.#skipEmptyLine();
      if (!isAtStart) {
        const unread = this.#buffer.subarray(this.#start, this.#end);
        const size = headSize(unread, searched);
        searched = unread.length;
        if (Math.max(size, size < 0 ? unread.length : 0) >= MAX_HEAD_BYTES) throw tooLarge();
        if (size >= 0) {
          const head = parseHead(unread.subarray(0, size));
          this.#headSize = size;
          this.#body = new BodyFraming(head.length);
          return head;
        }
      }
      if (await this.#read()) continue;
      if (this.#start === this.#end) return undefined;
      throw unreadable("connection ended within the head");
    }
  }

  /**
   * Returns the next bytes of the current request as received, beginning with its head; `undefined` at its end.
   *
   * @throws {PlasmError} `usage` if the body is malformed or the connection ends within it; `too-large`
   */
  async take(): Promise<Uint8Array | undefined> {
    let size = this.#headSize;
    if (size === 0) {
      if (this.#body.done) return undefined;
      if (this.#start === this.#end) {
        if (this.#buffer.length < READ_BYTES) this.#buffer = new Uint8Array(READ_BYTES);
        if (!await this.#read()) throw unreadable("connection ended within the body");
      }
    }
    const unread = this.#buffer.subarray(this.#start, this.#end);
    size += this.#body.advance(unread.subarray(size));
    this.#headSize = 0;
    this.#start += size;
    return unread.subarray(0, size);
  }

  /**
   * Skips one empty line before a request (RFC 9112, section 2.2).
   *
   * @returns whether the first byte of the request line has been read
   * @throws {PlasmError} `usage` if it cannot begin a method
   */
  #skipEmptyLine(): boolean {
    const at = (offset: number): number | undefined =>
      this.#start + offset < this.#end ? this.#buffer[this.#start + offset] : undefined;
    if (at(0) === CR && (at(1) ?? LF) === LF) {
      if (at(1) === undefined) return false;
      this.#start += 2;
    }
    const first = at(0);
    if (first === undefined) return false;
    if (first < 65 || first > 90) throw unreadable("first line is not HTTP/1.1");
    return true;
  }

  /** Reads more bytes behind the unread ones; `false` at the end. */
  async #read(): Promise<boolean> {
    this.#buffer.copyWithin(0, this.#start, this.#end);
    this.#end -= this.#start;
    this.#start = 0;
    const count = await this.#source.read(this.#buffer.subarray(this.#end));
    this.#end += count ?? 0;
    return count !== null;
  }
}
