/**
 * What a client has received of a job's output: counted, hashed, and held until it is known to be right.
 * @module
 */
import { Hasher, type Measured } from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";

/** The streams that a job writes. */
export type OutputName = "stdout" | "stderr";

/** Output of a stream held in memory, in bytes; more goes to a file. */
const MEMORY_BYTES = 2 ** 20;

/** Bytes read from the file at once. */
const READ_BYTES = 64 * 1024;

/** Options of {@linkcode ReceivedOutput}. */
export interface ReceivedOutputOptions {
  /** Bytes of both streams at most. */
  maxBytes: number;
  /** Takes output as it comes; then nothing is held. @default {all is held} */
  live?: ((stream: OutputName, data: Uint8Array) => void | Promise<void>) | undefined;
  /** Bytes of a stream held in memory. @default {1 MiB} */
  memoryBytes?: number | undefined;
}

/** One stream, held. */
class Held {
  hasher = new Hasher();
  #parts: Uint8Array[] = [];
  #inMemory = 0;
  #file: Deno.FsFile | undefined;

  async add(data: Uint8Array, memoryBytes: number): Promise<void> {
    if (this.#file === undefined && this.#inMemory + data.length <= memoryBytes) {
      this.#parts.push(data.slice());
      this.#inMemory += data.length;
      return;
    }
    this.#file ??= await openNameless();
    for (let at = 0; at < data.length;) at += await this.#file.write(data.subarray(at));
  }

  async *read(): AsyncGenerator<Uint8Array, void, void> {
    yield* this.#parts;
    if (this.#file === undefined) return;
    await this.#file.seek(0, Deno.SeekMode.Start);
    while (true) {
      const buffer = new Uint8Array(READ_BYTES);
      const count = await this.#file.read(buffer);
      if (count === null) return;
      yield buffer.subarray(0, count);
    }
  }

  close(): void {
    this.#file?.close();
    this.#file = undefined;
    this.#parts = [];
    this.#inMemory = 0;
  }
}

/** A file without a name: nothing of it stays, however the process ends. */
async function openNameless(): Promise<Deno.FsFile> {
  try {
    const path = await Deno.makeTempFile({ prefix: "plasm-output-" });
    const file = await Deno.open(path, { read: true, write: true });
    await Deno.remove(path);
    return file;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new PlasmError("state", `Cannot hold output in a temporary file: ${why}`, {
      cause: error,
    });
  }
}

/** The output of one attempt. */
export class ReceivedOutput implements Disposable {
  readonly #options: ReceivedOutputOptions;
  #held = { stdout: new Held(), stderr: new Held() };
  #liveBytes = 0;

  constructor(options: ReceivedOutputOptions) {
    this.#options = options;
  }

  /** Whether anything was given to `live`, which cannot be taken back. */
  get isShown(): boolean {
    return this.#liveBytes > 0;
  }

  /**
   * Takes a piece. What was received already, before a connection was lost, is left out.
   *
   * @throws {PlasmError} `protocol` when bytes before it are missing, or there are too many
   */
  async add(
    stream: OutputName,
    { offset, data }: { offset: number; data: Uint8Array },
  ): Promise<void> {
    const { hasher } = this.#held[stream];
    const skip = hasher.bytes - offset;
    if (skip < 0) {
      throw new PlasmError(
        "protocol",
        `Cannot use output: ${stream} goes on at ${offset}, received were ${hasher.bytes} bytes`,
      );
    }
    const fresh = data.subarray(skip);
    if (fresh.length === 0) return;
    const { maxBytes, live, memoryBytes = MEMORY_BYTES } = this.#options;
    const total = this.#held.stdout.hasher.bytes + this.#held.stderr.hasher.bytes + fresh.length;
    if (total > maxBytes) {
      throw new PlasmError(
        "protocol",
        `Cannot use output: node sent more than ${maxBytes} bytes, which is the job's limit`,
        { details: { max_bytes: maxBytes } },
      );
    }
    await hasher.update(fresh);
    if (live === undefined) return await this.#held[stream].add(fresh, memoryBytes);
    this.#liveBytes += fresh.length;
    await live(stream, fresh);
  }

  /** Hash and length of both streams. Nothing may be added afterwards. */
  async measure(): Promise<Record<OutputName, Measured>> {
    const measure = async ({ hasher }: Held): Promise<Measured> => ({
      bytes: hasher.bytes,
      hash: await hasher.digest(),
    });
    const { stdout, stderr } = this.#held;
    return { stdout: await measure(stdout), stderr: await measure(stderr) };
  }

  /** What is held of a stream. */
  read(stream: OutputName): AsyncGenerator<Uint8Array, void, void> {
    return this.#held[stream].read();
  }

  /** Forgets all: the job runs anew. */
  reset(): void {
    this[Symbol.dispose]();
    this.#held = { stdout: new Held(), stderr: new Held() };
  }

  /** Lets go of files. */
  [Symbol.dispose](): void {
    this.#held.stdout.close();
    this.#held.stderr.close();
  }
}
