/**
 * Batches a job's output into few rows: a row per guest write would let a guest flood disk and daemon.
 * @module
 */
import { joinBytes } from "../../util/mod.ts";
import { INLINE_OUTPUT_BYTES, type OutputChunk, type OutputStream } from "../store/mod.ts";

/** Output that is saved at once, in bytes. */
const FLUSH_BYTES = 64 * 1024;

/** The same once a job has written more than that: to a file, where each piece costs as much. */
const LARGE_FLUSH_BYTES = 1024 * 1024;

/** Maximum delay of output, in milliseconds; short enough to look live. */
const FLUSH_MS = 25;

/** Maximum delay for a job that writes often, where live output matters less. */
const SLOW_FLUSH_MS = 250;

/** Flushes after which a job counts as one that writes often. */
const FAST_FLUSHES = 400;

/** Changes between stdout and stderr whose order is kept within one flush. */
const MAX_RUNS = 4;

interface Run {
  stream: OutputStream;
  offset: number;
  parts: Uint8Array[];
}

/** Buffers output and saves it in batches. */
export class OutputWriter {
  readonly #save: (chunks: OutputChunk[]) => Promise<void>;
  readonly #offsets: Record<OutputStream, number> = { stdout: 0, stderr: 0 };
  #runs: Run[] = [];
  #bytes = 0;
  #flushes = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #tail: Promise<void> = Promise.resolve();
  #fault: unknown;

  constructor(save: (chunks: OutputChunk[]) => Promise<void>) {
    this.#save = save;
  }

  /**
   * Buffers output with backpressure: a job that writes faster than the disk waits.
   *
   * @throws {PlasmError} `state` when this or earlier output could not be saved
   */
  async push(stream: OutputStream, data: Uint8Array): Promise<void> {
    if (this.#fault !== undefined) throw this.#fault;
    const last = this.#runs.at(-1);
    const run = last?.stream === stream || this.#runs.length < MAX_RUNS
      ? last?.stream === stream ? last : undefined
      : this.#runs.findLast((earlier) => earlier.stream === stream);
    // A view may be of a much larger buffer, which would be held with it.
    const copy = data.length * 2 < data.buffer.byteLength ? data.slice() : data;
    if (run === undefined) {
      this.#runs.push({
        stream,
        offset: this.#offsets[stream],
        parts: [copy],
      });
    } else run.parts.push(copy);
    this.#offsets[stream] += copy.length;
    this.#bytes += copy.length;
    const isLarge = this.#offsets[stream] > INLINE_OUTPUT_BYTES;
    if (this.#bytes >= (isLarge ? LARGE_FLUSH_BYTES : FLUSH_BYTES)) await this.flush();
    else {
      this.#timer ??= setTimeout(
        () => this.flush().catch(() => {}), // kept as #fault for the next call
        this.#flushes < FAST_FLUSHES ? FLUSH_MS : SLOW_FLUSH_MS,
      );
    }
  }

  /**
   * Saves what waits.
   *
   * @throws {PlasmError} `state` when this or earlier output could not be saved
   */
  async flush(): Promise<void> {
    const chunks = this.#take();
    if (chunks.length > 0) {
      this.#flushes++;
      this.#tail = this.#tail.then(() => this.#save(chunks)).catch((error) => {
        this.#fault ??= error;
      });
    }
    await this.#tail;
    if (this.#fault !== undefined) throw this.#fault;
  }

  /**
   * The output that waits, to be saved with the job's end; all before it has been saved by then.
   *
   * @throws {PlasmError} `state` when earlier output could not be saved
   */
  async rest(): Promise<OutputChunk[]> {
    const chunks = this.#take();
    await this.#tail;
    if (this.#fault !== undefined) throw this.#fault;
    return chunks;
  }

  #take(): OutputChunk[] {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const chunks = this.#runs.map((run) => ({
      stream: run.stream,
      offset: run.offset,
      data: run.parts.length === 1 ? run.parts[0]! : joinBytes(run.parts),
    }));
    this.#runs = [];
    this.#bytes = 0;
    return chunks;
  }

  /** Discards buffered output. */
  discard(): void {
    clearTimeout(this.#timer);
    this.#runs = [];
  }
}
