/**
 * Content-addressed store of modules and inputs: atomic writes, verified reads, LRU eviction above a size.
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { Hasher, sha256, syncFile } from "../../core/mod.ts";
import { stateError } from "./database.ts";
import type { GroupCommit } from "./group_commit.ts";
import type { DatabaseSync, StatementSync } from "node:sqlite";

/** Resolution of a blob's last-use time, in milliseconds; limits writes for a module that every job uses. */
const TOUCH_MS = 1000;

/**
 * Size of the in-memory cache, in bytes: cached blobs are not read and hashed again. CPython has 26 MB, yosys 69 MB and
 * clang 75 MB.
 */
const MEMORY_BYTES = 160 * 2 ** 20;

/** Options of {@linkcode BlobStore}. */
export interface BlobStoreOptions {
  /** Directory; created if missing. */
  dir: string;
  /** Total size limit, in bytes. */
  maxBytes: number;
  /** Writes to the database. */
  writes: GroupCommit;
}

/** Hash and size of a blob. */
export interface BlobInfo {
  hash: string;
  /** In bytes. */
  size: number;
}

/** Options of {@linkcode BlobStore.put}. */
export interface PutBlobOptions {
  /** Expected hash of the bytes. */
  hash: string;
  /** Size limit of this blob, in bytes. */
  maxBytes: number;
  /** Kind for error messages: "module" or "input". */
  what: string;
}

/** Blobs by hash. */
export class BlobStore {
  readonly #db: DatabaseSync;
  readonly #dir: string;
  readonly #writes: GroupCommit;
  readonly #statements = new Map<string, StatementSync>();
  /** Ordered from least to most recently used. */
  readonly #memory = new Map<string, Uint8Array>();
  #memoryBytes = 0;
  #maxBytes: number;
  /** Bytes of uploads in progress: on disk, but not in the table yet. */
  #receiving = 0;

  /** @throws {PlasmError} `state` if the directory cannot be used */
  constructor(db: DatabaseSync, options: BlobStoreOptions) {
    this.#db = db;
    this.#dir = options.dir;
    this.#maxBytes = options.maxBytes;
    this.#writes = options.writes;
    try {
      Deno.mkdirSync(this.#dir, { recursive: true, mode: 0o700 });
      this.#reconcile();
    } catch (error) {
      throw stateError(`use directory ${this.#dir}`, error);
    }
  }

  /** Reconciles table and directory after a crash: deletes partial files and registers complete ones. */
  #reconcile(): void {
    const files = new Set<string>();
    const add = this.#db.prepare("INSERT OR IGNORE INTO blobs VALUES (?, ?, 0)");
    const known = this.#db.prepare("SELECT size FROM blobs WHERE hash = ?");
    for (const { name } of Deno.readDirSync(this.#dir)) {
      const path = `${this.#dir}/${name}`;
      if (!/^[0-9a-f]{64}$/.test(name)) {
        Deno.removeSync(path);
        continue;
      }
      const hash = `sha256:${name}`;
      const { size } = Deno.statSync(path);
      const row = known.get(hash);
      // Truncated by a machine crash; the client sends it again.
      if (row !== undefined && row["size"] !== size) {
        Deno.removeSync(path);
        continue;
      }
      files.add(hash);
      add.run(hash, size);
    }
    const remove = this.#db.prepare("DELETE FROM blobs WHERE hash = ?");
    for (const row of this.#db.prepare("SELECT hash FROM blobs").all()) {
      if (!files.has(String(row["hash"]))) remove.run(String(row["hash"]));
    }
  }

  #sql(text: string): StatementSync {
    let statement = this.#statements.get(text);
    if (statement === undefined) this.#statements.set(text, statement = this.#db.prepare(text));
    return statement;
  }

  #path(hash: string): string {
    return `${this.#dir}/${hash.slice("sha256:".length)}`;
  }

  /** Total bytes and number of blobs. */
  get stats(): { bytes: number; count: number } {
    const row = this.#db.prepare("SELECT count(*) AS n, coalesce(sum(size), 0) AS b FROM blobs")
      .get();
    return { bytes: Number(row?.["b"]), count: Number(row?.["n"]) };
  }

  /** Changes the total size limit; applies from the next put(). */
  setMaxBytes(maxBytes: number): void {
    this.#maxBytes = maxBytes;
  }

  /** Looks up a blob without reading it. */
  info(hash: string): BlobInfo | undefined {
    const cached = this.#memory.get(hash);
    if (cached !== undefined) return { hash, size: cached.length };
    const row = this.#sql("SELECT size FROM blobs WHERE hash = ?").get(hash);
    return row === undefined ? undefined : { hash, size: Number(row["size"]) };
  }

  /**
   * Stores the bytes of a stream after verifying their hash.
   *
   * @throws {PlasmError} `over-limit`; `bad-input` if the hash differs; `queue-full` if blobs of queued jobs fill the
   * cache; `state`
   */
  async put(source: AsyncIterable<Uint8Array>, options: PutBlobOptions): Promise<BlobInfo> {
    const { hash, what } = options;
    const temporary = `${this.#dir}/${crypto.randomUUID()}.tmp`;
    const reserved = { bytes: 0 };
    try {
      const size = await this.#receive(temporary, source, { ...options, reserved });
      this.#makeRoom(size, hash, what);
      await Deno.rename(temporary, this.#path(hash));
      await syncFile(this.#dir);
      await this.#writes.write(`save ${what}`, () => {
        this.#db.prepare(
          "INSERT INTO blobs VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET used_at = excluded.used_at",
        ).run(hash, size, Date.now());
      });
      return { hash, size };
    } catch (error) {
      await Deno.remove(temporary).catch(() => {}); // already renamed
      throw error instanceof PlasmError ? error : stateError(`save ${what}`, error);
    } finally {
      this.#receiving -= reserved.bytes;
    }
  }

  /** Limits concurrent uploads to the size of the cache. */
  #reserve(bytes: number, what: string): void {
    if (this.#receiving + bytes > this.#maxBytes) {
      throw new PlasmError(
        "queue-full",
        `Cannot store ${what}: ${this.#receiving} bytes are being received, ` +
          `cache allows ${this.#maxBytes} at once`,
        { retryAfterMs: 5000, details: { receiving: this.#receiving, allowed: this.#maxBytes } },
      );
    }
    this.#receiving += bytes;
  }

  async #receive(
    path: string,
    source: AsyncIterable<Uint8Array>,
    options: PutBlobOptions & { reserved: { bytes: number } },
  ): Promise<number> {
    const { hash, maxBytes, what, reserved } = options;
    const setting = `jobs.ceilings.${what === "module" ? "module_bytes" : "input_bytes"}`;
    const hasher = new Hasher();
    using writer = await FileWriter.create(path);
    for await (const chunk of source) {
      if (hasher.bytes + chunk.length > maxBytes) {
        throw new PlasmError(
          "over-limit",
          `Cannot store ${what}: it has more than the ${maxBytes} bytes that ${setting} allows`,
          { hint: `Raise ${setting} of the node`, details: { allowed: maxBytes } },
        );
      }
      if (hasher.bytes + chunk.length > this.#maxBytes) {
        throw new PlasmError(
          "over-limit",
          `Cannot store ${what}: it has more than the ${this.#maxBytes} bytes that cache.max_bytes allows`,
          { hint: "Raise cache.max_bytes of the node", details: { allowed: this.#maxBytes } },
        );
      }
      this.#reserve(chunk.length, what);
      reserved.bytes += chunk.length;
      await hasher.update(chunk);
      await writer.write(chunk);
    }
    const found = await hasher.digest();
    if (found !== hash) {
      throw new PlasmError(
        "bad-input",
        `Cannot store ${what}: expected ${hash}, received ${found}`,
        {
          details: { asked: hash, sent: found },
        },
      );
    }
    await writer.end();
    return hasher.bytes;
  }

  #makeRoom(size: number, hash: string, what: string): void {
    let excess = this.stats.bytes + size - this.#maxBytes;
    if (excess <= 0) return;
    const victims = this.#db.prepare(
      `SELECT hash, size FROM blobs WHERE hash <> ?
         AND NOT EXISTS (SELECT 1 FROM job_blobs WHERE job_blobs.hash = blobs.hash)
       ORDER BY used_at`,
    ).all(hash);
    const chosen: string[] = [];
    for (const row of victims) {
      if (excess <= 0) break;
      chosen.push(String(row["hash"]));
      excess -= Number(row["size"]);
    }
    if (excess > 0) {
      throw new PlasmError(
        "queue-full",
        `Cannot store ${what}: blobs of queued jobs fill the cache; ` +
          `asked ${size} bytes, ${size - excess} of ${this.#maxBytes} can be freed`,
        { retryAfterMs: 5000, details: { asked: size, free: size - excess } },
      );
    }
    for (const hash of chosen) this.#delete(hash);
  }

  /** Deletes a blob unless an unfinished job needs it. */
  discard(hash: string): void {
    const pin = this.#db.prepare("SELECT 1 FROM job_blobs WHERE hash = ?").get(hash);
    if (pin === undefined) this.#delete(hash);
  }

  #delete(hash: string): void {
    this.#uncache(hash);
    this.#db.prepare("DELETE FROM blobs WHERE hash = ?").run(hash);
    try {
      Deno.removeSync(this.#path(hash));
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw stateError("free the cache", error);
    }
  }

  /** Updates a blob's last-use time; call inside a group commit. */
  touch(hash: string, at: number): void {
    this.#sql("UPDATE blobs SET used_at = ? WHERE hash = ? AND used_at < ?")
      .run(at, hash, at - TOUCH_MS);
  }

  /**
   * Reads a blob and verifies its hash. The array is shared with other callers: do not modify it.
   *
   * @throws {PlasmError} `not-found`; `state` if the file is corrupt (the blob is then deleted)
   */
  async read(hash: string, what: string): Promise<Uint8Array> {
    if (this.info(hash) === undefined) {
      throw new PlasmError("not-found", `Cannot read ${what}: ${hash} is not stored`, {
        hint: `Send the ${what} first`,
        details: { hash },
      });
    }
    const cached = this.#memory.get(hash);
    if (cached !== undefined) {
      this.#cache(hash, cached);
      return cached;
    }
    let data: Uint8Array;
    try {
      data = await Deno.readFile(this.#path(hash));
    } catch (error) {
      throw stateError(`read ${what}`, error);
    }
    const found = await sha256(data);
    if (found === hash) {
      this.#cache(hash, data);
      return data;
    }
    this.#delete(hash);
    throw new PlasmError("state", `Cannot read ${what}: ${hash} was damaged on disk`, {
      hint: `Send the ${what} again and check the disk`,
      details: { hash, found },
    });
  }

  /**
   * Streams a large blob without verifying it: the caller checks the hash at the end. The signal closes the file.
   *
   * @throws {PlasmError} `state`
   */
  async stream(
    hash: string,
    { what, signal }: { what: string; signal: AbortSignal },
  ): Promise<ReadableStream<Uint8Array>> {
    try {
      return await openFileStream(this.#path(hash), signal);
    } catch (error) {
      throw stateError(`read ${what}`, error);
    }
  }

  #cache(hash: string, data: Uint8Array): void {
    this.#uncache(hash);
    if (data.length > MEMORY_BYTES) return;
    this.#memory.set(hash, data);
    this.#memoryBytes += data.length;
    for (const oldest of this.#memory.keys()) {
      if (this.#memoryBytes <= MEMORY_BYTES) return;
      this.#uncache(oldest);
    }
  }

  #uncache(hash: string): void {
    this.#memoryBytes -= this.#memory.get(hash)?.length ?? 0;
    this.#memory.delete(hash);
  }
}

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
  #pageBytes = 0;

  private constructor(file: Deno.FsFile, path: string) {
    this.#file = file;
    this.#path = path;
  }

  /**
   * Creates a file with mode 0600.
   *
   * @throws {Error} of the file system, also if the file exists
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
    if (this.#pageBytes > 0) {
      rest = rest.subarray(this.#buffer(rest));
      if (this.#pageBytes === PAGE_BYTES) this.#flushPage();
    }
    const whole = rest.length - rest.length % PAGE_BYTES;
    this.#writeNow(rest.subarray(0, whole));
    this.#buffer(rest.subarray(whole));
    this.#unsynced += bytes.length;
    if (this.#unsynced >= MAX_WAITING_BYTES) await this.#syncing;
    if (this.#unsynced >= SYNC_BYTES && this.#syncing === undefined) this.#sync();
  }

  /** Buffers what fits into the incomplete page; returns the number of bytes. */
  #buffer(bytes: Uint8Array): number {
    const part = bytes.subarray(0, PAGE_BYTES - this.#pageBytes);
    this.#page.set(part, this.#pageBytes);
    this.#pageBytes += part.length;
    return part.length;
  }

  #flushPage(): void {
    this.#writeNow(this.#page.subarray(0, this.#pageBytes));
    this.#pageBytes = 0;
  }

  /** Synchronous: an asynchronous write copies the bytes for another thread, which costs more than the write. */
  #writeNow(bytes: Uint8Array): void {
    for (let rest = bytes; rest.length > 0;) rest = rest.subarray(this.#file.writeSync(rest));
  }

  #sync(): void {
    this.#unsynced = 0;
    // Uses another handle: Deno runs one operation at a time per handle. Errors recur in end().
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
    this.#flushPage();
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
