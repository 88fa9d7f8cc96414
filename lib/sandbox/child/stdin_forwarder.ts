/**
 * Takes a job's standard input from the parent to the worker.
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import type { ParentConnection } from "./parent_connection.ts";
import type { GuestWorkerControl } from "./worker_control.ts";
import { FRAME_HEADER_BYTES, FrameKind } from "../ipc/mod.ts";

/** Bytes of one read of input that no guest will read. */
const UNREAD_BYTES = 4096;

/** From here on a piece that comes is part of much, in bytes: nobody waits for its last few. */
const BULK_BYTES = 1024;

/** The standard input of one job. */
export class StdinForwarder {
  readonly #link: ParentConnection;
  readonly #worker: GuestWorkerControl | undefined;
  readonly #unread = new Uint8Array(UNREAD_BYTES);
  /** Bytes that are still to come of a frame. */
  #left = 0;
  /** Bytes that have come and wait for the next. */
  #held = 0;
  #ended = false;
  #taking: Promise<void> | undefined;

  /** @param worker Who has a guest that may read it; without one it is thrown away. */
  constructor(link: ParentConnection, worker: GuestWorkerControl | undefined) {
    this.#link = link;
    this.#worker = worker;
  }

  /** Whether all of it has been taken. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Takes what has come with the job, without waiting for more. */
  async takeAhead(): Promise<void> {
    while (!this.#ended && this.#link.aheadBytes >= (this.#left > 0 ? 1 : FRAME_HEADER_BYTES)) {
      await this.#takeOne();
    }
  }

  /** Takes it to its end, but waits so many milliseconds for that at most. */
  async takeSoon(ms: number): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    await Promise.race([this.takeAll(), new Promise((resolve) => timer = setTimeout(resolve, ms))]);
    clearTimeout(timer);
  }

  /** Takes it to its end: to the worker, while that has a guest that may read it. */
  takeAll(): Promise<void> {
    return this.#taking ??= this.#takeAll();
  }

  async #takeAll(): Promise<void> {
    while (!this.#ended) await this.#takeOne();
  }

  async #takeOne(): Promise<void> {
    if (this.#left === 0) return await this.#takeHeader();
    const into = await this.#worker?.roomForStdin(this.#held) ?? this.#unread;
    const count = await this.#link.readPayload(into.subarray(0, this.#left));
    if (count === null) Deno.exit(0); // without a parent there is nothing to live for
    this.#left -= count;
    if (into === this.#unread || this.#worker === undefined) return;
    const holdsBack = this.#left > 0 && count >= BULK_BYTES;
    this.#held = this.#worker.commitStdin(this.#held + count, holdsBack);
  }

  async #takeHeader(): Promise<void> {
    const { kind, streamedBytes } = await this.#link.next() ?? Deno.exit(0);
    if (kind === FrameKind.StdinEnd) {
      this.#ended = true;
      this.#worker?.endStdin();
    } else if (kind === FrameKind.Stdin) this.#left = streamedBytes;
    else throw new PlasmError("executor", `Cannot take frame here: kind ${kind}`);
  }
}
