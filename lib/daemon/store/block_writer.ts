/**
 * Writes a file behind whoever brings its bytes: they come on while the block before them goes to the
 * file, and the file to the disk.
 * @module
 */
import { syncFile } from "../../sync_file.ts";

/** What is written at once, in bytes: a write costs as much as to copy some 100 KiB. */
const BLOCK_BYTES = 512 * 1024;

/** Blocks of all files together, of which one needs two: who sends to many files at once waits for each write. */
const MAX_BLOCKS = 16;

/** What waits for the disk at most before it is told to begin, in bytes: the less is left for the end. */
const SYNC_BYTES = 8 * 2 ** 20;

let blocks = 0;

/** Options of {@linkcode BlockWriter}. */
export interface BlockWriterOptions {
  /** Its place, to reach the disk by. */
  path: string;
  /** Bytes that come at most. */
  maxBytes: number;
}

/** Writes one file, from its beginning. */
export class BlockWriter implements Disposable {
  readonly #file: Deno.FsFile;
  readonly #path: string;
  readonly #own: Uint8Array[] = [];
  #filled = 0;
  /** The write that is under way. */
  #writing: Promise<void> = Promise.resolve();
  #syncing: Promise<void> | undefined;
  #unsynced = 0;

  constructor(file: Deno.FsFile, { path, maxBytes }: BlockWriterOptions) {
    this.#file = file;
    this.#path = path;
    // The second is for what comes while the first is written.
    const wanted = maxBytes > BLOCK_BYTES ? 2 : 1;
    if (blocks + wanted > MAX_BLOCKS) return;
    blocks += wanted;
    const size = Math.min(maxBytes, BLOCK_BYTES);
    for (let n = 0; n < wanted; n++) this.#own.push(new Uint8Array(size));
  }

  /**
   * Takes bytes, which may change once this resolves.
   *
   * @throws {Error} what the file system says, also of what was taken before
   */
  async write(bytes: Uint8Array): Promise<void> {
    const [block] = this.#own;
    if (block === undefined) return await this.#put(bytes);
    for (let rest = bytes; rest.length > 0;) {
      const part = rest.subarray(0, this.#own[0]!.length - this.#filled);
      this.#own[0]!.set(part, this.#filled);
      this.#filled += part.length;
      rest = rest.subarray(part.length);
      if (this.#filled === this.#own[0]!.length) await this.#flush();
    }
  }

  /**
   * Resolves when all is on the disk.
   *
   * @throws {Error} what the file system says
   */
  async end(): Promise<void> {
    await this.#flush();
    await this.#writing;
    await this.#syncing;
    await this.#file.syncData();
  }

  /** Writes what is in the first block, and goes on with the other. */
  async #flush(): Promise<void> {
    await this.#writing;
    const [block, other] = this.#own;
    if (block === undefined || this.#filled === 0) return;
    this.#writing = this.#put(block.subarray(0, this.#filled));
    this.#writing.catch(() => {}); // told to whoever writes next, or ends
    this.#filled = 0;
    if (other === undefined) return await this.#writing;
    this.#own.reverse();
  }

  async #put(bytes: Uint8Array): Promise<void> {
    let rest = bytes;
    while (rest.length > 0) rest = rest.subarray(await this.#file.write(rest));
    this.#unsynced += bytes.length;
    if (this.#unsynced < SYNC_BYTES || this.#syncing !== undefined) return;
    this.#unsynced = 0;
    // By a file of its own: Deno does one thing at a time with each. What fails here fails at the end too.
    this.#syncing = syncFile(this.#path, { write: true }).catch(() => {}).finally(() =>
      this.#syncing = undefined
    );
  }

  /** Gives back its blocks. The file is its owner's. */
  [Symbol.dispose](): void {
    blocks -= this.#own.length;
    this.#own.length = 0;
  }
}
