/**
 * Streams blobs to and from files; syncs in the background while a file is written.
 * @module
 */
import { syncFile } from "../../util/mod.ts";

/** Unsynced bytes that start a background sync, so that the final sync stays short. */
const SYNC_BYTES = 8 * 2 ** 20;

/**
 * Unsynced bytes above which write() waits. With more dirty pages the kernel would block the writing thread, which
 * is the daemon's only one.
 */
const MAX_WAITING_BYTES: number = 4 * SYNC_BYTES;

/**
 * Page size of the kernel's cache, in bytes. Writes are aligned to it: a page written in two parts costs twice, a
 * quarter of the total time when chunks are not multiples of a page.
 */
const PAGE_BYTES = 4096;

/** Sequential writer of one file. */
export class FileWriter implements Disposable {
  readonly #file: Deno.FsFile;
  readonly #path: string;
  #syncing: Promise<void> | undefined;
  /** Bytes written since the last sync started. */
  #unsynced = 0;
  /** Start of an incomplete page. */
  readonly #page = new Uint8Array(PAGE_BYTES);
  #held = 0;

  private constructor(file: Deno.FsFile, path: string) {
    this.#file = file;
    this.#path = path;
  }

  /**
   * Creates a file with mode 0600.
   *
   * @throws {Error} of the file system, also when the file exists
   */
  static async create(path: string): Promise<FileWriter> {
    const file = await Deno.open(path, { write: true, createNew: true, mode: 0o600 });
    return new FileWriter(file, path);
  }

  /**
   * Appends bytes; the caller may reuse the buffer once this resolves.
   *
   * @throws {Error} of the file system
   */
  async write(bytes: Uint8Array): Promise<void> {
    let rest = bytes;
    if (this.#held > 0) {
      rest = rest.subarray(this.#hold(rest));
      if (this.#held === PAGE_BYTES) this.#writeHeld();
    }
    const whole = rest.length - rest.length % PAGE_BYTES;
    this.#writeNow(rest.subarray(0, whole));
    this.#hold(rest.subarray(whole));
    this.#unsynced += bytes.length;
    if (this.#unsynced >= MAX_WAITING_BYTES) await this.#syncing;
    if (this.#unsynced >= SYNC_BYTES && this.#syncing === undefined) this.#sync();
  }

  /** Buffers what fits into the incomplete page; returns the number of bytes. */
  #hold(bytes: Uint8Array): number {
    const part = bytes.subarray(0, PAGE_BYTES - this.#held);
    this.#page.set(part, this.#held);
    this.#held += part.length;
    return part.length;
  }

  #writeHeld(): void {
    this.#writeNow(this.#page.subarray(0, this.#held));
    this.#held = 0;
  }

  /** Synchronous: handing bytes to another thread copies them into new memory, which costs more than the write. */
  #writeNow(bytes: Uint8Array): void {
    for (let rest = bytes; rest.length > 0;) rest = rest.subarray(this.#file.writeSync(rest));
  }

  #sync(): void {
    this.#unsynced = 0;
    // Uses a separate file handle: Deno runs one operation at a time per handle. Errors recur in end().
    this.#syncing = syncFile(this.#path, { write: true }).catch(() => {}).finally(() =>
      this.#syncing = undefined
    );
  }

  /**
   * Resolves when all bytes are durable.
   *
   * @throws {Error} of the file system
   */
  async end(): Promise<void> {
    this.#writeHeld();
    await this.#syncing;
    await this.#file.syncData();
  }

  /** Closes the file, complete or not. */
  [Symbol.dispose](): void {
    this.#file.close();
  }
}

/** Read size in bytes; fewer, larger reads cost less. */
const READ_BYTES = 256 * 1024;

/** Opens a file as a stream. Closes it at its end, on cancel, or when the signal aborts. */
export async function openFileStream(
  path: string,
  signal: AbortSignal,
): Promise<ReadableStream<Uint8Array>> {
  let file: Deno.FsFile | undefined = await Deno.open(path);
  const close = (): void => {
    signal.removeEventListener("abort", close);
    file?.close();
    file = undefined;
  };
  signal.addEventListener("abort", close);
  if (signal.aborted) close();
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const buffer = new Uint8Array(READ_BYTES);
      const count = await file?.read(buffer) ?? null;
      if (count !== null) return controller.enqueue(buffer.subarray(0, count));
      close();
      controller.close();
    },
    cancel: close,
  }, { highWaterMark: 0 });
}
