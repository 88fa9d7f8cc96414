/**
 * Content-addressed store of modules and inputs: atomic writes, verified reads, LRU eviction above a size.
 * @module
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { Hasher, sha256 } from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import { syncFile } from "../../util/mod.ts";
import { stateError } from "./database.ts";
import { FileWriter, openFileStream } from "./blob_file.ts";
import type { GroupCommit } from "./group_commit.ts";

/** Resolution of a blob's last-use time, in ms; limits writes for a module that every job uses. */
const TOUCH_MS = 1000;

/**
 * Size of the in-memory cache, in bytes: hot blobs are neither read nor hashed again. CPython has 26 MB.
 */
const MEMORY_BYTES = 32 * 2 ** 20;

/** Options of {@linkcode BlobStore}. */
export interface BlobStoreOptions {
  /** Directory; created when missing. */
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

  /** @throws {PlasmError} `state` when the directory cannot be used */
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
   * @throws {PlasmError} `too-large`, `bad-input` when the hash differs, `queue-full` when blobs
   * of waiting jobs fill the cache, `state`
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
    const hasher = new Hasher();
    using writer = await FileWriter.create(path);
    for await (const chunk of source) {
      if (hasher.bytes + chunk.length > maxBytes) {
        throw new PlasmError(
          "too-large",
          `Cannot store ${what}: body exceeds ${maxBytes} bytes`,
          { details: { allowed: maxBytes } },
        );
      }
      if (hasher.bytes + chunk.length > this.#maxBytes) {
        throw new PlasmError(
          "too-large",
          `Cannot store ${what}: body exceeds the cache size of ${this.#maxBytes} bytes`,
          { details: { allowed: this.#maxBytes } },
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
        `Cannot store ${what}: blobs of waiting jobs fill the cache; ` +
          `asked ${size} bytes, ${size - excess} of ${this.#maxBytes} can be freed`,
        { retryAfterMs: 5000, details: { asked: size, free: size - excess } },
      );
    }
    for (const victim of chosen) this.#delete(victim);
  }

  /** Deletes a blob unless an unfinished job needs it. */
  discard(hash: string): void {
    const pin = this.#db.prepare("SELECT 1 FROM job_blobs WHERE hash = ?").get(hash);
    if (pin === undefined) this.#delete(hash);
  }

  #delete(hash: string): void {
    this.#forget(hash);
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
   * @throws {PlasmError} `not-found`; `state` when the file is corrupt (the blob is then deleted)
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
      this.#remember(hash, cached);
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
      this.#remember(hash, data);
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

  #remember(hash: string, data: Uint8Array): void {
    this.#forget(hash);
    if (data.length > MEMORY_BYTES) return;
    this.#memory.set(hash, data);
    this.#memoryBytes += data.length;
    for (const oldest of this.#memory.keys()) {
      if (this.#memoryBytes <= MEMORY_BYTES) return;
      this.#forget(oldest);
    }
  }

  #forget(hash: string): void {
    this.#memoryBytes -= this.#memory.get(hash)?.length ?? 0;
    this.#memory.delete(hash);
  }
}
