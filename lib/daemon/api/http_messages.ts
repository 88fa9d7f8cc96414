/**
 * Reads request bodies with limits on size and time, and builds error responses.
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { joinBytes } from "../../util/mod.ts";

/** Least average speed of a body after the first pause, in bytes a millisecond (that is KB a second). */
const LEAST_SPEED = 1;

/**
 * A body that says that it is no longer than this is read by the runtime, in one go and into memory of its
 * size, in bytes. As a stream each read takes 64 KiB of new memory, however little comes, and for every few
 * jobs all memory is looked through.
 */
const SMALL_BYTES = 16 * 1024;

/** Options of {@linkcode readBody}. */
export interface BodyOptions {
  /** Longest pause between two pieces, in milliseconds. */
  idleMs: number;
}

function slow(received: number, { idleMs }: BodyOptions): PlasmError {
  return new PlasmError(
    "slow-request",
    `Cannot read request: ${received} bytes came, then none for ${idleMs} ms or too few`,
    { details: { received, idle_ms: idleMs } },
  );
}

/** Waits for what a client sends, not for ever; `late` is the error of one that is. */
async function inTime<T>(coming: Promise<T>, idleMs: number, late: () => PlasmError): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(late()), idleMs);
  try {
    return await Promise.race([coming, promise]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Yields a body as it comes.
 *
 * @throws {PlasmError} `slow-request` on a pause, or when it trickles; `usage` when the client is gone
 */
export async function* readBody(
  body: ReadableStream<Uint8Array> | null,
  options: BodyOptions,
): AsyncGenerator<Uint8Array, void, void> {
  if (body === null) return;
  const reader = body.getReader();
  const begin = performance.now();
  let received = 0;
  const late = (): PlasmError => slow(received, options);
  try {
    while (true) {
      const elapsed = performance.now() - begin;
      if (elapsed > options.idleMs * 2 + received / LEAST_SPEED) throw late();
      const { value } = await inTime(reader.read(), options.idleMs, late);
      if (value === undefined) return;
      received += value.length;
      yield value;
    }
  } catch (error) {
    if (error instanceof PlasmError) throw error;
    throw new PlasmError("usage", `Cannot read request: it ended after ${received} bytes`, {
      cause: error,
    });
  } finally {
    // Not awaited: a client that stalls would hold it up for ever.
    reader.cancel().catch(() => {});
  }
}

/** Reads a body that says that it is small: what sends no more than it says is the server's to see to. */
async function readSmall(
  request: Request,
  { idleMs, length }: BodyOptions & { length: number },
): Promise<Uint8Array> {
  const late = (): PlasmError =>
    new PlasmError(
      "slow-request",
      `Cannot read request: its ${length} bytes did not come within ${idleMs} ms`,
      { details: { asked: length, idle_ms: idleMs } },
    );
  const coming = request.bytes();
  coming.catch(() => {}); // told below, unless it was late
  try {
    return await inTime(coming, idleMs, late);
  } catch (error) {
    if (error instanceof PlasmError) throw error;
    throw new PlasmError("usage", `Cannot read request: it ended before its ${length} bytes`, {
      cause: error,
    });
  }
}

/** Concatenates all chunks; undefined above a size in bytes. */
async function readWhole(
  parts: AsyncIterable<Uint8Array>,
  maxBytes: number,
): Promise<Uint8Array | undefined> {
  const kept: Uint8Array[] = [];
  let size = 0;
  for await (const part of parts) {
    size += part.length;
    if (size > maxBytes) return undefined;
    kept.push(part);
  }
  return joinBytes(kept);
}

const decoder = new TextDecoder();

/** Media type of a request, without parameters. */
function mediaType(request: Request): string {
  return (request.headers.get("content-type") ?? "").split(";")[0]?.trim().toLowerCase() ?? "";
}

/**
 * Checks the media type of a request.
 *
 * @throws {PlasmError} `unsupported-media`
 */
export function requireType(request: Request, allowed: readonly string[]): void {
  const found = mediaType(request);
  if (allowed.includes(found)) return;
  throw new PlasmError(
    "unsupported-media",
    `Cannot read request: content type is "${found}", must be ${allowed.join(" or ")}`,
    { details: { allowed: [...allowed] } },
  );
}

/**
 * How long a body is, where the server holds it to what it says: Deno 2.7 takes a request with a transfer
 * encoding too, whose body may then be of any length (RFC 9112, section 6.3).
 */
function saidLength({ headers }: Request): number {
  const text = headers.get("content-length");
  return text !== null && /^\d+$/.test(text) && !headers.has("transfer-encoding")
    ? Number(text)
    : Infinity;
}

/**
 * Reads a JSON body.
 *
 * @throws {PlasmError} `unsupported-media`, `too-large`, `slow-request`, `usage` when it is not JSON
 */
export async function readJsonBody(
  request: Request,
  options: BodyOptions & { maxBytes: number },
): Promise<unknown> {
  requireType(request, ["application/json"]);
  const { maxBytes } = options;
  const tooLarge = (): PlasmError =>
    new PlasmError("too-large", `Cannot read request: body exceeds ${maxBytes} bytes`, {
      details: { allowed: maxBytes },
    });
  const length = saidLength(request);
  if (length !== Infinity && length > maxBytes) throw tooLarge();
  const bytes = length <= SMALL_BYTES
    ? await readSmall(request, { ...options, length })
    : await readWhole(readBody(request.body, options), maxBytes);
  if (bytes === undefined || bytes.length > maxBytes) throw tooLarge();
  const text = decoder.decode(bytes);
  try {
    return JSON.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new PlasmError("usage", `Cannot read request: not JSON: ${reason}`);
  }
}

/** The response that carries an error: `{"error": {code, message, …}}` with the code's status. */
export function errorResponse(thrown: unknown): Response {
  const error = PlasmError.from(thrown);
  const headers: Record<string, string> = {};
  if (error.retryAfterMs !== undefined) {
    headers["retry-after"] = String(Math.ceil(error.retryAfterMs / 1000));
  }
  if (error.code === "unauthorized") headers["www-authenticate"] = "Bearer";
  if (error.code === "method-not-allowed") headers["allow"] = String(error.details["allowed"]);
  // 499 is what proxies say of a client that went away; no client will read it.
  return Response.json({ error: error.toJSON() }, { status: error.httpStatus, headers });
}
