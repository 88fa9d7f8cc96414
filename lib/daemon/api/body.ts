/**
 * Request bodies from clients that may be slow, endless or gone.
 * @module
 */
import { PlasmError } from "../../errors.ts";

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
  if (Number(request.headers.get("content-length") ?? 0) > maxBytes) throw tooLarge();
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of readBody(request.body, options)) {
    size += part.length;
    if (size > maxBytes) throw tooLarge();
    parts.push(part);
  }
  const text = await new Blob(parts as Uint8Array<ArrayBuffer>[]).text();
  try {
    return JSON.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new PlasmError("usage", `Cannot read request: not JSON: ${reason}`);
  }
}
