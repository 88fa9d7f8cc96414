/**
 * Parses the head of an upgrade request: `Deno.serve` does not expose the connection. Accepts only what such a
 * request may contain.
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";

/** Longest head, in bytes. */
const MAX_HEAD_BYTES = 16 * 1024;

/** A connection, as far as it is read here. */
export interface ByteSource {
  /** Reads some bytes; null at the end. */
  read(into: Uint8Array): Promise<number | null>;
}

/** A request's head, and what came behind it. */
export interface RequestHead {
  method: string;
  /** Path and query. */
  target: string;
  headers: Headers;
  /** Bytes behind the head. */
  rest: Uint8Array;
}

function usage(why: string): PlasmError {
  return new PlasmError("usage", `Cannot read request: ${why}`);
}

/** Where the head ends, its empty line included; -1 where it does not yet. */
function endOf(bytes: Uint8Array): number {
  for (let at = 3; at < bytes.length; at++) {
    if (bytes[at] === 10 && bytes[at - 1] === 13 && bytes[at - 2] === 10 && bytes[at - 3] === 13) {
      return at + 1;
    }
  }
  return -1;
}

/**
 * Reads a head (RFC 9112, section 2).
 *
 * @param first What has been read already.
 * @throws {PlasmError} `usage`, `too-large`
 */
export async function readRequestHead(conn: ByteSource, first: Uint8Array): Promise<RequestHead> {
  const buffer = new Uint8Array(Math.max(MAX_HEAD_BYTES, first.length));
  buffer.set(first);
  let size = first.length;
  let end: number;
  while ((end = endOf(buffer.subarray(0, size))) < 0) {
    if (size >= MAX_HEAD_BYTES) {
      throw new PlasmError(
        "too-large",
        `Cannot read request: head exceeds ${MAX_HEAD_BYTES} bytes`,
      );
    }
    const count = await conn.read(buffer.subarray(size));
    if (count === null) throw usage("it ended within its head");
    size += count;
  }
  const [line = "", ...fields] = new TextDecoder("latin1").decode(buffer.subarray(0, end - 4))
    .split("\r\n");
  const [, method, target] = /^([A-Z]+) (\/[\x21-\x7e]*) HTTP\/1\.1$/.exec(line) ?? [];
  if (method === undefined || target === undefined) throw usage("its first line is not HTTP/1.1");
  const headers = new Headers();
  for (const field of fields) {
    const [, name, value] = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/.exec(field) ?? [];
    if (name === undefined || value === undefined) throw usage("a header field is malformed");
    headers.append(name, value);
  }
  return { method, target, headers, rest: buffer.subarray(end, size) };
}

/**
 * The body behind a head, as it comes, in no more bytes than its length says.
 *
 * @throws {PlasmError} `usage` when the length is missing
 */
export function bodyOf(conn: ByteSource, head: RequestHead): {
  body: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** What came behind the body, once that has been read. */
  rest: () => Uint8Array;
} {
  const text = head.headers.get("content-length") ?? "";
  if (!/^\d{1,15}$/.test(text) || head.headers.has("transfer-encoding")) {
    throw usage("an upgrade needs content-length, and no transfer-encoding");
  }
  let left = Number(text);
  let rest = head.rest.slice();
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(controller) {
      if (left === 0) return controller.close();
      let part = rest.subarray(0, left);
      if (part.length > 0) rest = rest.subarray(part.length);
      else {
        const buffer = new Uint8Array(Math.min(left, MAX_HEAD_BYTES));
        const count = await conn.read(buffer);
        if (count === null) throw new TypeError("the client is gone");
        part = buffer.subarray(0, count);
      }
      left -= part.length;
      controller.enqueue(part);
    },
  }, { highWaterMark: 0 });
  return { body, rest: () => rest };
}
