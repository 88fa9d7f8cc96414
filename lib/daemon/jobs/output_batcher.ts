/**
 * Batches a job's output into few rows: with a row per guest write, a guest could flood the disk and the daemon.
 * @module
 */
import { concat } from "../../util/mod.ts";
import { INLINE_OUTPUT_BYTES, type OutputChunk, type OutputStream } from "../store/mod.ts";

/** Buffered output that is stored immediately, in bytes. */
const FLUSH_BYTES = 64 * 1024;

/** As FLUSH_BYTES, once output goes to a spill file, where the cost per write dominates. */
const LARGE_FLUSH_BYTES = 1024 * 1024;

/** Maximum delay of output, in milliseconds; short enough to look live. */
const FLUSH_MS = 25;

/** Maximum delay for a job that writes often; live output matters less there. */
const SLOW_FLUSH_MS = 250;

/** Flushes after which a job counts as one that writes often. */
const FAST_FLUSHES = 400;

/** Switches between stdout and stderr whose order is preserved within one flush. */
const MAX_RUNS = 4;

interface Run {
  stream: OutputStream;
  offset: number;
  parts: Uint8Array[];
}

/** Memory for a flush of large output, which is reused. */
interface Block {
  bytes: Uint8Array<ArrayBuffer>;
  /** Bytes in use. */
  fill: number;
}

/** Buffers copies of output and stores them in batches. */
export class OutputWriter {
  readonly #save: (chunks: OutputChunk[]) => Promise<void>;
  readonly #offsets: Record<OutputStream, number> = { stdout: 0, stderr: 0, files: 0 };
  #runs: Run[] = [];
  /** Content of the only run, if that is large output. */
  #block: Block | undefined;
  #spare: Block | undefined;
  #bytes = 0;
  #flushes = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #tail: Promise<void> = Promise.resolve();
  #fault: unknown;

  constructor(save: (chunks: OutputChunk[]) => Promise<void>) {
    this.#save = save;
  }

  /**
   * Buffers a copy of output, with backpressure: a job that writes faster than the disk waits.
   *
   * @throws {PlasmError} `state` if this or earlier output could not be stored
   */
  async push(stream: OutputStream, data: Uint8Array): Promise<void> {
    if (this.#fault !== undefined) throw this.#fault;
    const isLarge = this.#offsets[stream] + data.length > INLINE_OUTPUT_BYTES;
    if (!(isLarge && this.#addToBlock(stream, data))) this.#addCopy(stream, data);
    this.#offsets[stream] += data.length;
    this.#bytes += data.length;
    if (this.#bytes >= (isLarge ? LARGE_FLUSH_BYTES : FLUSH_BYTES)) await this.flush();
    else {
      this.#timer ??= setTimeout(
        () => this.flush().catch(() => {}), // stored as #fault for the next call
        this.#flushes < FAST_FLUSHES ? FLUSH_MS : SLOW_FLUSH_MS,
      );
    }
  }

  /** Adds output to the block unless that is full or other output is buffered. */
  #addToBlock(stream: OutputStream, data: Uint8Array): boolean {
    const [run] = this.#runs;
    if (run === undefined) {
      this.#block = this.#spare ?? { bytes: new Uint8Array(2 * LARGE_FLUSH_BYTES), fill: 0 };
      this.#spare = undefined;
      this.#runs.push({ stream, offset: this.#offsets[stream], parts: [] });
    } else if (run.stream !== stream || this.#runs.length > 1 || run.parts.length > 1) return false;
    const block = this.#block;
    if (block === undefined || block.fill + data.length > block.bytes.length) return false;
    block.bytes.set(data, block.fill);
    block.fill += data.length;
    this.#runs[0]!.parts = [block.bytes.subarray(0, block.fill)];
    return true;
  }

  #addCopy(stream: OutputStream, data: Uint8Array): void {
    const last = this.#runs.at(-1);
    const run = last?.stream === stream || this.#runs.length < MAX_RUNS
      ? last?.stream === stream ? last : undefined
      : this.#runs.findLast((earlier) => earlier.stream === stream);
    if (run === undefined) {
      this.#runs.push({ stream, offset: this.#offsets[stream], parts: [data.slice()] });
    } else run.parts.push(data.slice());
  }

  /**
   * Stores the buffered output.
   *
   * @throws {PlasmError} `state` if this or earlier output could not be stored
   */
  async flush(): Promise<void> {
    const block = this.#block;
    const chunks = this.#take();
    if (chunks.length > 0) {
      this.#flushes++;
      this.#tail = this.#tail.then(() => this.#save(chunks)).catch((error) => {
        this.#fault ??= error;
      }).finally(() => {
        if (block !== undefined) this.#spare = { ...block, fill: 0 };
      });
    }
    await this.#tail;
    if (this.#fault !== undefined) throw this.#fault;
  }

  /**
   * Returns the buffered output for storing with the result; earlier output is stored when this resolves.
   *
   * @throws {PlasmError} `state` if earlier output could not be stored
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
      data: run.parts.length === 1 ? run.parts[0]! : concat(run.parts),
    }));
    this.#runs = [];
    this.#block = undefined;
    this.#bytes = 0;
    return chunks;
  }

  /** Discards buffered output. */
  discard(): void {
    clearTimeout(this.#timer);
    this.#runs = [];
  }
}
