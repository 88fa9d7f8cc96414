/// <reference lib="dom" />
/**
 * Requests of the page to the daemon.
 *
 * @module
 */
import { sha256 } from "../../../core/mod.ts";

/** An error that the daemon answered, or that it did not answer at all. */
export class RequestError extends Error {
  /** What to do next. */
  readonly hint: string | undefined;

  constructor(message: string, hint?: string) {
    super(message);
    this.hint = hint;
  }
}

/** Sends a request; throws {@linkcode RequestError} unless it succeeds. */
export async function request(path: string, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new RequestError(
      "The dashboard does not respond",
      "Check that plasm dashboard or the daemon runs, then reload this page",
    );
  }
  if (response.ok) return response;
  const text = await response.text();
  let error: { message?: string; hint?: string } = {};
  try {
    error = JSON.parse(text).error ?? {};
  } catch { /* not the daemon's answer */ }
  throw new RequestError(error.message ?? text.slice(0, 200).trim(), error.hint);
}

/** Requests JSON. */
export async function getJson<T>(path: string): Promise<T> {
  return await (await request(path)).json();
}

/** Sends JSON and returns the answer. */
export async function postJson<T>(path: string, value: unknown): Promise<T> {
  const response = await request(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(value),
  });
  return await response.json();
}

/** Uploads content unless the daemon has it, and returns its hash. */
export async function upload(
  kind: "modules" | "inputs",
  data: Uint8Array<ArrayBuffer>,
): Promise<string> {
  const hash = await sha256(data);
  const path = `/v1/${kind}/${hash}`;
  const { status } = await fetch(path, { method: "HEAD" });
  if (status !== 200) {
    const headers = { "content-type": "application/octet-stream" };
    await request(path, { method: "PUT", body: data, headers });
  }
  return hash;
}

/** Reads the first bytes of a response, and none of the rest. */
export async function readStart(
  path: string,
  { maxBytes, signal }: { maxBytes: number; signal: AbortSignal },
): Promise<Uint8Array> {
  const { body } = await request(path, { signal });
  const start = new Uint8Array(maxBytes);
  let length = 0;
  const reader = body!.getReader();
  while (length < maxBytes) {
    const { done, value } = await reader.read();
    if (done) return start.subarray(0, length);
    const part = value.subarray(0, maxBytes - length);
    start.set(part, length);
    length += part.length;
  }
  await reader.cancel();
  return start;
}
