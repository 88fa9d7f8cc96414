/**
 * The bounded queue between the pipe of an executor and whoever pulls its events.
 * @module
 */
import type { SandboxEvent } from "../job_types.ts";

/** Bytes that may wait: enough that a reader who does a little work does not slow the guest. */
const CAPACITY_BYTES = 1024 * 1024;

/** One writer, one reader; holds the writer back while the reader is behind. */
export class EventQueue {
  readonly #events: SandboxEvent[] = [];
  #bytes = 0;
  #open = false;
  #closed = false;
  #error: unknown;
  #changed = Promise.withResolvers<void>();
  readonly #onTaken: (event: SandboxEvent) => void;

  /** @param onTaken Is told of an event once its reader asks for the next. */
  constructor(onTaken: (event: SandboxEvent) => void = () => {}) {
    this.#onTaken = onTaken;
  }

  /** Adds an event; resolves when there is room for the next. */
  async push(event: SandboxEvent): Promise<void> {
    if (this.#closed) return;
    this.#events.push(event);
    this.#bytes += sizeOf(event);
    this.#notify();
    while (this.#bytes > CAPACITY_BYTES && !this.#open && !this.#closed) {
      await this.#changed.promise;
    }
  }

  /** From now on nobody is held back: only a bounded rest can come. */
  open(): void {
    this.#open = true;
    this.#notify();
  }

  /** Nothing more will come, or nobody will read any more. */
  close(): void {
    this.#closed = true;
    this.#notify();
  }

  /** The reader gets this error after what is queued. */
  fail(error: unknown): void {
    this.#error ??= error;
    this.close();
  }

  /** Yields events until the queue is closed and empty. */
  async *drain(): AsyncGenerator<SandboxEvent, void, void> {
    while (true) {
      const event = this.#events.shift();
      if (event !== undefined) {
        this.#bytes -= sizeOf(event);
        this.#notify();
        yield event;
        this.#onTaken(event);
      } else if (!this.#closed) {
        await this.#changed.promise;
      } else if (this.#error !== undefined) {
        throw this.#error;
      } else return;
    }
  }

  #notify(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }
}

function sizeOf(event: SandboxEvent): number {
  return "data" in event ? event.data.length : 0;
}
