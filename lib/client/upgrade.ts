/**
 * HTTP upgrade on a raw connection, which `fetch` cannot return.
 * @module
 */
import { PlasmError } from "../core/errors/mod.ts";

/** Largest head of a response, in bytes; the daemon's are below 1 KiB. */
const MAX_HEAD_BYTES = 16 * 1024;

/** Largest body of an error response, in bytes. */
const MAX_BODY_BYTES = 64 * 1024;

/** Options of {@linkcode sendUpgrade}. */
export interface UpgradeRequest {
  path: string;
  /** Protocol to upgrade to. */
  protocol: string;
  json: unknown;
  headers: Readonly<Record<string, string>>;
}

/** A response, with the bytes that were read behind its head. */
export interface UpgradeAnswer {
  status: number;
  headers: Headers;
  rest: Uint8Array;
}

function malformed(why: string): PlasmError {
  return new PlasmError("protocol", `Cannot read answer: ${why}`);
}

/** Sends the request. */
export async function sendUpgrade(conn: Deno.Conn, request: UpgradeRequest): Promise<void> {
  const { path, protocol, json, headers } = request;
  const encoder = new TextEncoder();
  const body = encoder.encode(JSON.stringify(json));
  const head = [
    `POST ${path} HTTP/1.1`,
    ...Object.entries({
      ...headers,
      "connection": "Upgrade",
      "upgrade": protocol,
      "content-type": "application/json",
      "content-length": body.length,
    }).map(([name, value]) => `${name}: ${value}`),
  ];
  for (const part of [encoder.encode(`${head.join("\r\n")}\r\n\r\n`), body]) {
    for (let at = 0; at < part.length;) at += await conn.write(part.subarray(at));
  }
}

/**
 * Reads the head of the response.
 *
 * @throws {PlasmError} `protocol`
 */
export async function readUpgradeAnswer(conn: Deno.Conn): Promise<UpgradeAnswer> {
  const buffer = new Uint8Array(MAX_HEAD_BYTES);
  let text = "";
  let size = 0;
  let end: number;
  while ((end = text.indexOf("\r\n\r\n")) < 0) {
    if (size === MAX_HEAD_BYTES) throw malformed(`its head is over ${MAX_HEAD_BYTES} bytes`);
    const count = await conn.read(buffer.subarray(size));
    if (count === null) throw new Deno.errors.UnexpectedEof("the connection ended");
    size += count;
    text = new TextDecoder("latin1").decode(buffer.subarray(0, size));
  }
  const [line = "", ...fields] = text.slice(0, end).split("\r\n");
  const status = Number(/^HTTP\/1\.1 (\d{3})( |$)/.exec(line)?.[1] ?? NaN);
  if (Number.isNaN(status)) throw malformed("its first line is not HTTP/1.1");
  const headers = new Headers();
  for (const field of fields) {
    const colon = field.indexOf(":");
    try {
      headers.append(field.slice(0, colon), field.slice(colon + 1).trim());
    } catch {
      throw malformed("a header field is malformed");
    }
  }
  return { status, headers, rest: buffer.slice(end + 4, size) };
}

/** The response as a `Response`, with a body of the announced length. */
export async function bodyOfAnswer(conn: Deno.Conn, answer: UpgradeAnswer): Promise<Response> {
  const { status, headers, rest } = answer;
  const length = Number(headers.get("content-length") ?? NaN);
  if (!(length <= MAX_BODY_BYTES)) throw malformed("the length of its body is not one of ours");
  const body = new Uint8Array(length);
  body.set(rest.subarray(0, length));
  for (let at = Math.min(rest.length, length); at < length;) {
    const count = await conn.read(body.subarray(at));
    if (count === null) throw malformed("it ends within its body");
    at += count;
  }
  return new Response(body, { status: status < 200 ? 500 : status, headers });
}
