/**
 * Writes a file as its bytes come, and brings it to the disk behind them.
 * @module
 */
import { syncFile } from "../../util/mod.ts";

/** What waits for the disk before it is told to begin, in bytes: the less is left for the end. */
const SYNC_BYTES = 8 * 2 ** 20;

/**
 * What may wait for the disk, in bytes. Beyond it whoever brings more waits, before the system does it to us:
 * where too much waits for a disk, it stops the thread that writes, which is the one that does everything.
 */
const MAX_WAITING_BYTES: number = 4 * SYNC_BYTES;

/**
 * Pages of the system's cache, in bytes. What begins or ends inside one is written by whole pages all the same:
 * a page that is written in two parts costs twice, a quarter of the time where chunks are not made of pages.
 */
const PAGE_BYTES = 4096;

/** Writes one file, from its beginning. */
export class FileWriter implements Disposable {
  readonly #file: Deno.FsFile;
  readonly #path: string;
  #syncing: Promise<void> | undefined;
  /** What the disk was not told of yet. */
  #unsynced = 0;
  /** The beginning of a page whose rest has not come yet. */
  readonly #page = new Uint8Array(PAGE_BYTES);
  #held = 0;

  private constructor(file: Deno.FsFile, path: string) {
    this.#file = file;
    this.#path = path;
  }

  /**
   * Makes a file that only its owner may read.
   *
   * @throws {Error} what the file system says, also where there is one
   */
  static async create(path: string): Promise<FileWriter> {
    const file = await Deno.open(path, { write: true, createNew: true, mode: 0o600 });
    return new FileWriter(file, path);
  }

  /**
   * Takes bytes, which may change once this resolves.
   *
   * @throws {Error} what the file system says
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

  /** Keeps what the page has room for; tells how much that was. */
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

  /** To give bytes to another thread takes a copy in new memory, which costs more than to write them here. */
  #writeNow(bytes: Uint8Array): void {
    for (let rest = bytes; rest.length > 0;) rest = rest.subarray(this.#file.writeSync(rest));
  }

  #sync(): void {
    this.#unsynced = 0;
    // By a file of its own: Deno does one thing at a time with each. What fails here fails at the end too.
    this.#syncing = syncFile(this.#path, { write: true }).catch(() => {}).finally(() =>
      this.#syncing = undefined
    );
  }

  /**
   * Resolves when all is on the disk.
   *
   * @throws {Error} what the file system says
   */
  async end(): Promise<void> {
    this.#writeHeld();
    await this.#syncing;
    await this.#file.syncData();
  }

  /** Closes the file, whatever is in it. */
  [Symbol.dispose](): void {
    this.#file.close();
  }
}

/** Bytes of one read: fewer and larger ones cost less. */
const READ_BYTES = 256 * 1024;

/** Opens the file; it is closed at its end, by a cancel, or by the signal, which ends the stream. */
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
