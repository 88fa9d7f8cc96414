/**
 * Forwards a job's standard input from the parent connection to the worker's ring.
 *
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { FRAME_HEADER_BYTES, FrameKind } from "../ipc/mod.ts";
import type { ParentConnection } from "./parent_connection.ts";
import type { WorkerControl } from "./worker_control.ts";

/** Size of the buffer for input that is discarded, in bytes. */
const DISCARD_BYTES = 4096;

/** Size from which a piece is part of bulk input, in bytes: its last few bytes may wait for the next piece. */
const BULK_BYTES = 1024;

/** Standard input of one job. */
export class StdinForwarder {
  readonly #connection: ParentConnection;
  readonly #worker: WorkerControl | undefined;
  readonly #discarded = new Uint8Array(DISCARD_BYTES);
  /** Bytes missing of the current frame. */
  #frameLeft = 0;
  /** Bytes in the ring that are not published yet. */
  #held = 0;
  #ended = false;
  #forwarding: Promise<void> | undefined;

  /** Forwards to the worker, or discards the input without one. */
  constructor(connection: ParentConnection, worker: WorkerControl | undefined) {
    this.#connection = connection;
    this.#worker = worker;
  }

  /** Whether the end of the input has been received. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Forwards input that is already buffered. */
  async forwardBuffered(): Promise<void> {
    const required = () => this.#frameLeft > 0 ? 1 : FRAME_HEADER_BYTES;
    while (!this.#ended && this.#connection.bufferedBytes >= required()) await this.#forwardOne();
  }

  /** Forwards input to its end, but returns after the timeout, in milliseconds, while forwarding continues. */
  async forwardBriefly(timeoutMs: number): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const timeout = new Promise((resolve) => timer = setTimeout(resolve, timeoutMs));
    await Promise.race([this.forwardAll(), timeout]);
    clearTimeout(timer);
  }

  /** Forwards input to its end; discards what arrives after the guest has ended. */
  forwardAll(): Promise<void> {
    return this.#forwarding ??= this.#forwardAll();
  }

  async #forwardAll(): Promise<void> {
    while (!this.#ended) await this.#forwardOne();
  }

  async #forwardOne(): Promise<void> {
    if (this.#frameLeft === 0) return await this.#readHeader();
    const into = await this.#worker?.reserveStdin(this.#held) ?? this.#discarded;
    const count = await this.#connection.readPayload(into.subarray(0, this.#frameLeft));
    if (count === null) Deno.exit(0); // the parent is gone
    this.#frameLeft -= count;
    if (into === this.#discarded || this.#worker === undefined) return;
    const holdsBack = this.#frameLeft > 0 && count >= BULK_BYTES;
    this.#held = this.#worker.commitStdin(this.#held + count, holdsBack);
  }

  async #readHeader(): Promise<void> {
    const { kind, streamedBytes } = await this.#connection.next() ?? Deno.exit(0);
    if (kind === FrameKind.StdinEnd) {
      this.#ended = true;
      this.#worker?.endStdin();
    } else if (kind === FrameKind.Stdin) this.#frameLeft = streamedBytes;
    else throw new PlasmError("executor", `Unexpected frame: kind ${kind}`);
  }
}
