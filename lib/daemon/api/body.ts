/**
 * Request bodies from clients that may be slow, endless or gone.
 * @module
 */
import { joinBytes } from "../../bytes.ts";
import { PlasmError } from "../../errors.ts";

/** Least average speed of a body after the first pause, in bytes a millisecond (that is KB a second). */
const LEAST_SPEED = 1;

/**
 * A body that says that it is no longer than this is read into memory of its size, in bytes. Else each read
 * takes 64 KiB of new memory, however little comes, and for every few jobs all memory is looked through.
 */
const SMALL_BYTES = 16 * 1024;

/** Options of {@linkcode readBody}. */
export interface BodyOptions {
  /** Longest pause between two pieces, in milliseconds. */
  idleMs: number;
  /** How long the body says that it is, in bytes. @default {it does not} */
  length?: number | undefined;
}

/** Reads what comes next; undefined at the end. */
interface BodyReader {
  /** Whether all that the body said it has been read: its end need not be waited for. */
  readonly isWhole: boolean;
  next(): Promise<Uint8Array | undefined>;
  cancel(): Promise<void>;
}

function openBody(body: ReadableStream<Uint8Array>, length = Infinity): BodyReader {
  if (length <= SMALL_BYTES) {
    try {
      return openSmall(body.getReader({ mode: "byob" }), length);
    } catch {
      // It is no stream of bytes, and so has memory of its own.
    }
  }
  const reader = body.getReader();
  return {
    isWhole: false,
    next: async () => (await reader.read()).value,
    cancel: () => reader.cancel(),
  };
}

function openSmall(reader: ReadableStreamBYOBReader, length: number): BodyReader {
  let room = new Uint8Array(length);
  return {
    get isWhole() {
      return room.length === 0;
    },
    async next() {
      const { value } = await reader.read(room);
      if (value === undefined || value.length === 0) return undefined;
      room = new Uint8Array(value.buffer, value.byteOffset + value.length);
      // The next read takes the memory of this one away.
      return room.length === 0 ? value : value.slice();
    },
    cancel: () => reader.cancel(),
  };
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
  const reader = openBody(body, options.length);
  const begin = performance.now();
  let received = 0;
  try {
    while (!reader.isWhole) {
      const elapsed = performance.now() - begin;
      if (elapsed > options.idleMs * 2 + received / LEAST_SPEED) throw slow(received, options);
      let timer: ReturnType<typeof setTimeout> | undefined;
      const late = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(slow(received, options)), options.idleMs);
      });
      try {
        const value = await Promise.race([reader.next(), late]);
        if (value === undefined) return;
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
  const length = request.headers.get("content-length");
  if (Number(length ?? 0) > maxBytes) throw tooLarge();
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (
    const part of readBody(request.body, {
      ...options,
      length: length === null ? undefined : Number(length),
    })
  ) {
    size += part.length;
    if (size > maxBytes) throw tooLarge();
    parts.push(part);
  }
  const text = new TextDecoder().decode(parts.length === 1 ? parts[0] : joinBytes(parts));
  try {
    return JSON.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new PlasmError("usage", `Cannot read request: not JSON: ${reason}`);
  }
}
