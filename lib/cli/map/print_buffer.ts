/**
 * Collects what many short jobs print, so that one system call writes the output of several.
 *
 * @module
 */
import { concat } from "../../util/mod.ts";
import type { CliIo } from "../io.ts";

/** Size from which the buffer is written at once, in bytes. */
const MAX_BUFFERED_BYTES = 32 * 1024;

/** Longest time that output waits in the buffer, in milliseconds: shorter than what a reader notices. */
const MAX_DELAY_MS = 10;

const encoder = new TextEncoder();

/** Buffered standard output. Standard error is written at once, after what was printed before. */
export class PrintBuffer implements Pick<CliIo, "write" | "message"> {
  readonly #io: Pick<CliIo, "write" | "message">;
  #parts: Uint8Array[] = [];
  #bytes = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(io: Pick<CliIo, "write" | "message">) {
    this.#io = io;
  }

  /**
   * Adds output; resolves when more can be added.
   *
   * @throws {PlasmError} as `io.write()`, also for output that was added before
   */
  async write(data: Uint8Array | string): Promise<void> {
    const bytes = typeof data === "string" ? encoder.encode(data) : data.slice();
    this.#parts.push(bytes);
    this.#bytes += bytes.length;
    if (this.#bytes >= MAX_BUFFERED_BYTES) return await this.flush();
    this.#timer ??= setTimeout(() => {
      this.flush().catch(() => {}); // reported by the next call
    }, MAX_DELAY_MS);
  }

  /** Writes to standard error. */
  async message(data: Uint8Array | string): Promise<void> {
    await this.flush();
    await this.#io.message(data);
  }

  /** Writes what is buffered. Once writing has failed, each call throws the error. */
  flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#parts.length === 0) return this.#writing;
    const data = this.#parts.length === 1 ? this.#parts[0]! : concat(this.#parts);
    this.#parts = [];
    this.#bytes = 0;
    this.#writing = this.#writing.then(() => this.#io.write(data));
    this.#writing.catch(() => {}); // reported to callers
    return this.#writing;
  }
}
