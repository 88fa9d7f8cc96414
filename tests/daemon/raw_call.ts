/**
 * Calls that `fetch` cannot make: of an upgrade, over the connection itself.
 * @module
 */
import { type Answer, checkAnswer } from "./openapi_check.ts";

/** Options of {@linkcode rawCall}. */
export interface RawCallOptions {
  /** What is sent as JSON. */
  json?: unknown;
  /** What is sent as it is, in place of JSON; its length is told right all the same. @default {none} */
  body?: string;
  /** In place of those of an upgrade. */
  headers?: Record<string, string>;
  /** Whether the last byte of the body is held back. @default {false} */
  isCut?: boolean;
}

/** Sends a request on a connection of its own, and checks the answer against the document. */
export async function rawCall(
  socket: string,
  [method, path]: [method: string, path: string],
  options: RawCallOptions = {},
): Promise<Answer> {
  using conn = await Deno.connect({ transport: "unix", path: socket });
  const body = new TextEncoder().encode(options.body ?? JSON.stringify(options.json));
  const headers = {
    "host": "localhost",
    "connection": "Upgrade",
    "upgrade": "plasm-pipe",
    "content-type": "application/json",
    "content-length": String(body.length),
    ...options.headers,
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join("");
  const send = async (bytes: Uint8Array): Promise<void> => {
    for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
  };
  await send(new TextEncoder().encode(`${method} ${path} HTTP/1.1\r\n${lines}\r\n`));
  await send(options.isCut ? body.subarray(0, -1) : body);
  const text = await readAnswer(conn);
  const end = text.indexOf("\r\n\r\n");
  const [line = "", ...fields] = text.slice(0, end).split("\r\n");
  return checkAnswer({
    status: Number(line.split(" ")[1]),
    headers: new Headers(fields.map((field) => field.split(": ") as [string, string])),
    text: text.slice(end + 4),
  }, { method, path, json: options.json });
}

/** All of a refusal; of another answer its head. */
async function readAnswer(conn: Deno.Conn): Promise<string> {
  const buffer = new Uint8Array(64 * 1024);
  let text = "";
  while (!(text.startsWith("HTTP/1.1 101") && text.includes("\r\n\r\n"))) {
    const count = await conn.read(buffer);
    if (count === null) break;
    text += new TextDecoder().decode(buffer.subarray(0, count));
  }
  return text.startsWith("HTTP/1.1 101") ? text.slice(0, text.indexOf("\r\n\r\n") + 4) : text;
}
