/**
 * Group commit: whoever writes in the same turn of the event loop shares one fsync.
 * @module
 */
import { clearImmediate, setImmediate } from "node:timers";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { PlasmError } from "../../core/errors/mod.ts";
import { stateError, transaction } from "./database.ts";

interface Waiting {
  doing: string;
  durable: boolean;
  run: () => unknown;
  resolve: (value: unknown) => void;
  reject: (error: unknown) => void;
}

interface Outcome {
  waiting: Waiting;
  value?: unknown;
  error?: unknown;
}

/** How long a write that nobody waits for may wait for others, in ms: a short job ends meanwhile. */
const LAZY_MS = 5;

/** How long what was committed without an fsync may go without one, in ms. */
const UNSYNCED_MS = 1000;

/** Options of {@linkcode WriteQueue.write}. */
export interface WriteOptions {
  /**
   * Whether the write must outlast a power cut by the time it resolves. Without, it waits a little for
   * others to share a commit with, and outlasts a power cut a second after it.
   * @default {true}
   */
  durable?: boolean | undefined;
  /** Whether it is committed with this turn though it is not durable. @default {false} */
  atOnce?: boolean | undefined;
}

/** Runs writes in transactions, several at once; each is kept or undone by itself. */
export class WriteQueue {
  readonly #db: DatabaseSync;
  readonly #savepoint: StatementSync;
  readonly #release: StatementSync;
  readonly #logPath: string;
  /** The write-ahead log, for fsync: SQLite gives it none for a commit that changes nothing. */
  #log: Deno.FsFile | undefined;
  #syncing: ReturnType<typeof setTimeout> | undefined;
  #waiting: Waiting[] = [];
  #flushing: ReturnType<typeof setImmediate> | undefined;
  #lazy: ReturnType<typeof setTimeout> | undefined;
  #isDurable = true;
  #fault: PlasmError | undefined;
  #closed = false;

  /** @param path Of the database's file. */
  constructor(db: DatabaseSync, path: string) {
    this.#db = db;
    this.#logPath = `${path}-wal`;
    this.#savepoint = db.prepare("SAVEPOINT one");
    this.#release = db.prepare("RELEASE one");
  }

  /** The last error of the disk, until a later write succeeds. */
  get fault(): PlasmError | undefined {
    return this.#fault;
  }

  /**
   * Runs a write; resolves once it is on the disk. `run` must not wait for anything.
   *
   * @throws {PlasmError} `state` when it could not be saved, and then nothing of it was
   */
  write<T>(doing: string, run: () => T, options: WriteOptions = {}): Promise<T> {
    if (this.#closed) {
      return Promise.reject(new PlasmError("state", `Cannot ${doing}: the store is closed`));
    }
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const { durable = true, atOnce = durable } = options;
    this.#waiting.push({ doing, durable, run, resolve, reject });
    // A timer of no time would still wait for a millisecond or more.
    if (atOnce) this.#flushing ??= setImmediate(() => this.flush());
    else this.#lazy ??= setTimeout(() => this.flush(), LAZY_MS);
    return promise as Promise<T>;
  }

  /** Commits what waits, now. */
  flush(): void {
    if (this.#flushing !== undefined) clearImmediate(this.#flushing);
    clearTimeout(this.#lazy);
    this.#flushing = this.#lazy = undefined;
    const batch = this.#waiting;
    this.#waiting = [];
    if (batch.length === 0) return;
    try {
      this.#setDurable(batch.some(({ durable }) => durable));
      const outcomes = transaction(
        this.#db,
        () => batch.map((one) => this.#runOne(one, batch.length === 1)),
      );
      this.#committed();
      for (const { waiting, value, error } of outcomes) {
        if (error === undefined) waiting.resolve(value);
        else waiting.reject(error);
      }
    } catch (error) {
      // What is ours was thrown by a write that was alone: the disk has not refused anything.
      if (error instanceof PlasmError) return batch[0]!.reject(error);
      for (const { doing, reject } of batch) reject(this.#fault = stateError(doing, error));
    }
  }

  /**
   * Commits what waits, and after it what these write, together, without an fsync.
   *
   * @returns what each gave, or why nothing of it was saved
   */
  writeNow<T>(
    doing: string,
    runs: readonly (() => T)[],
  ): ({ value: T } | { error: PlasmError })[] {
    this.flush();
    const { resolve, reject } = Promise.withResolvers<unknown>();
    const waiting = (run: () => T): Waiting => ({ doing, durable: false, run, resolve, reject });
    try {
      this.#setDurable(false);
      const outcomes = transaction(
        this.#db,
        () => runs.map((run) => this.#runOne(waiting(run), false)),
      );
      this.#committed();
      return outcomes.map(({ value, error }) =>
        error === undefined ? { value: value as T } : { error: stateError(doing, error) }
      );
    } catch (thrown) {
      const error = this.#fault = stateError(doing, thrown);
      return runs.map(() => ({ error }));
    }
  }

  /**
   * Commits what waits, and makes all that was ever committed outlast a power cut.
   *
   * @throws {PlasmError} `state`
   */
  sync(): void {
    this.flush();
    clearTimeout(this.#syncing);
    const isDue = this.#syncing !== undefined;
    this.#syncing = undefined;
    if (!isDue) return;
    try {
      this.#log ??= Deno.openSync(this.#logPath, { read: true });
      this.#log.syncDataSync();
    } catch (error) {
      this.#syncLater();
      throw this.#fault = stateError("save jobs", error);
    }
  }

  #committed(): void {
    this.#fault = undefined;
    if (!this.#isDurable) this.#syncLater();
  }

  #syncLater(): void {
    this.#syncing ??= setTimeout(() => {
      try {
        this.sync();
      } catch { /* kept as the fault, and tried again */ }
    }, UNSYNCED_MS);
  }

  /** In WAL mode NORMAL commits without an fsync, FULL with one, of the whole log. */
  #setDurable(durable: boolean): void {
    if (durable === this.#isDurable) return;
    this.#db.exec(`PRAGMA synchronous = ${durable ? "FULL" : "NORMAL"}`);
    this.#isDurable = durable;
  }

  #runOne(waiting: Waiting, isAlone: boolean): Outcome {
    // The transaction is its own then.
    if (isAlone) return { waiting, value: waiting.run() };
    this.#savepoint.run();
    try {
      const value = waiting.run();
      this.#release.run();
      return { waiting, value };
    } catch (error) {
      try {
        this.#db.exec("ROLLBACK TO one");
        this.#release.run();
      } catch {
        throw error; // SQLite has rolled back everything, as on a full disk: the batch has failed.
      }
      return { waiting, error: stateError(waiting.doing, error) };
    }
  }

  /** Commits what waits and takes nothing more. */
  close(): void {
    this.flush();
    clearTimeout(this.#syncing);
    this.#log?.close();
    this.#closed = true;
  }
}
