/**
 * Request bodies from clients that may be slow, endless or gone.
 * @module
 */
import { joinBytes } from "../../bytes.ts";
import { PlasmError } from "../../errors.ts";

/**
 * A body that says that it is no longer than this is read at once, in bytes. A stream of it would take
 * 64 KiB of new memory for each read, however little came, and have all memory looked through for it.
 */
const WHOLE_BYTES = 16 * 1024;

/** Least average speed of a body after the first pause, in bytes a millisecond (that is KB a second). */
const LEAST_SPEED = 1;

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
  try {
    while (true) {
      const elapsed = performance.now() - begin;
      if (elapsed > options.idleMs * 2 + received / LEAST_SPEED) throw slow(received, options);
      let timer: ReturnType<typeof setTimeout> | undefined;
      const late = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(slow(received, options)), options.idleMs);
      });
      try {
        const { done, value } = await Promise.race([reader.read(), late]);
        if (done) return;
        received += value.length;
        yield value;
      } finally {
        clearTimeout(timer);
      }
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

/** Reads a body that says that it is small. It has as long as a pause of a stream may take. */
async function readWhole(
  request: Request,
  { length, idleMs }: BodyOptions & { length: number },
): Promise<Uint8Array> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    const message = `Cannot read request: its ${length} bytes did not come within ${idleMs} ms`;
    const error = new PlasmError("slow-request", message, {
      details: { length, idle_ms: idleMs },
    });
    timer = setTimeout(() => reject(error), idleMs);
  });
  const reading = request.bytes();
  reading.catch(() => {}); // it may fail after it was late
  try {
    return await Promise.race([reading, late]);
  } catch (error) {
    if (error instanceof PlasmError) throw error;
    throw new PlasmError("usage", `Cannot read request: it ended before its ${length} bytes`, {
      cause: error,
    });
  } finally {
    clearTimeout(timer);
  }
}

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

async function readParts(
  body: ReadableStream<Uint8Array> | null,
  options: BodyOptions & { maxBytes: number; tooLarge: () => PlasmError },
): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of readBody(body, options)) {
    size += part.length;
    if (size > options.maxBytes) throw options.tooLarge();
    parts.push(part);
  }
  return joinBytes(parts);
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
    new PlasmError("too-large", `Cannot read request: its body is over ${maxBytes} bytes`, {
      details: { allowed: maxBytes },
    });
  const length = request.headers.has("transfer-encoding")
    ? NaN
    : Number(request.headers.get("content-length") ?? NaN);
  if (length > maxBytes) throw tooLarge();
  const text = new TextDecoder().decode(
    length <= WHOLE_BYTES
      ? await readWhole(request, { ...options, length })
      : await readParts(request.body, { ...options, tooLarge }),
  );
  try {
    return JSON.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new PlasmError("usage", `Cannot read request: not JSON: ${reason}`);
  }
}
