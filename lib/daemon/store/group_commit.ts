/**
 * Group commit: writes of one event-loop turn share one transaction and one fsync.
 * @module
 */
import { clearImmediate, setImmediate } from "node:timers";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { PlasmError } from "../../core/errors/mod.ts";
import { stateError, transaction } from "./database.ts";

interface Waiting {
  doing: string;
  durability: Durability;
  run: () => unknown;
  resolve: (value: unknown) => void;
  reject: (error: unknown) => void;
}

interface Outcome {
  waiting: Waiting;
  value?: unknown;
  error?: unknown;
}

/** Delay of a buffered write, which may share a later commit, in milliseconds: longer than a short job. */
const BUFFERED_MS = 5;

/** Maximum delay of the fsync after a commit without one, in milliseconds. */
const UNSYNCED_MS = 1000;

/**
 * What a write survives when it resolves, strongest first:
 *
 * - `"fsync"`: a power failure. Committed in this turn, with one fsync for all writes of the turn.
 * - `"commit"`: a crash of the process. Committed in this turn; survives a power failure within a second.
 * - `"buffered"`: delayed to share a later commit, then as `"commit"`. A crash before the commit loses it.
 *
 * docs/adr/0006-durability-levels.md gives the reasons and figures.
 */
export type Durability = "fsync" | "commit" | "buffered";

/** Options of {@linkcode GroupCommit.write}. */
export interface WriteOptions {
  /** Durability of the write when it resolves. @default {"fsync"} */
  durability?: Durability | undefined;
}

/** Batches writes into transactions; a failed write is rolled back alone. */
export class GroupCommit {
  readonly #db: DatabaseSync;
  readonly #savepoint: StatementSync;
  readonly #release: StatementSync;
  readonly #logPath: string;
  /** Write-ahead log, opened for fsync: SQLite does not sync a commit that changes nothing. */
  #log: Deno.FsFile | undefined;
  #syncing: ReturnType<typeof setTimeout> | undefined;
  #waiting: Waiting[] = [];
  #flushing: ReturnType<typeof setImmediate> | undefined;
  #delaying: ReturnType<typeof setTimeout> | undefined;
  #isDurable = true;
  #fault: PlasmError | undefined;
  #closed = false;

  /** @param path Path of the database file. */
  constructor(db: DatabaseSync, path: string) {
    this.#db = db;
    this.#logPath = `${path}-wal`;
    this.#savepoint = db.prepare("SAVEPOINT one");
    this.#release = db.prepare("RELEASE one");
  }

  /** Last storage error; cleared by the next successful write. */
  get fault(): PlasmError | undefined {
    return this.#fault;
  }

  /**
   * Queues a write; resolves once it is committed. `run` must be synchronous.
   *
   * @throws {PlasmError} `state` if the write failed and was rolled back
   */
  write<T>(doing: string, run: () => T, options: WriteOptions = {}): Promise<T> {
    if (this.#closed) {
      return Promise.reject(new PlasmError("state", `Cannot ${doing}: the store is closed`));
    }
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const { durability = "fsync" } = options;
    this.#waiting.push({ doing, durability, run, resolve, reject });
    // setTimeout(0) would wait a millisecond or more.
    if (durability !== "buffered") this.#flushing ??= setImmediate(() => this.flush());
    else this.#delaying ??= setTimeout(() => this.flush(), BUFFERED_MS);
    return promise as Promise<T>;
  }

  /** Commits queued writes immediately. */
  flush(): void {
    if (this.#flushing !== undefined) clearImmediate(this.#flushing);
    clearTimeout(this.#delaying);
    this.#flushing = this.#delaying = undefined;
    const batch = this.#waiting;
    this.#waiting = [];
    if (batch.length === 0) return;
    try {
      this.#setDurable(batch.some(({ durability }) => durability === "fsync"));
      const outcomes = transaction(
        this.#db,
        () => batch.map((one) => this.#runOne(one, batch.length === 1)),
      );
      this.#committed(outcomes);
      for (const { waiting, value, error } of outcomes) {
        if (error === undefined) waiting.resolve(value);
        else waiting.reject(error);
      }
    } catch (error) {
      // A PlasmError comes from the only write of the batch, not from the disk.
      if (error instanceof PlasmError) return batch[0]!.reject(error);
      for (const { doing, reject } of batch) reject(this.#fault = stateError(doing, error));
    }
  }

  /**
   * Commits queued writes, then `runs` in one transaction without fsync.
   *
   * @returns the result of each run, or its error
   */
  writeNow<T>(
    doing: string,
    runs: readonly (() => T)[],
  ): ({ value: T } | { error: PlasmError })[] {
    this.flush();
    const { resolve, reject } = Promise.withResolvers<unknown>();
    const waiting = (run: () => T): Waiting => ({
      doing,
      durability: "commit",
      run,
      resolve,
      reject,
    });
    try {
      this.#setDurable(false);
      const outcomes = transaction(
        this.#db,
        () => runs.map((run) => this.#runOne(waiting(run), false)),
      );
      this.#committed(outcomes);
      return outcomes.map(({ value, error }) =>
        error === undefined ? { value: value as T } : { error: stateError(doing, error) }
      );
    } catch (thrown) {
      const error = this.#fault = stateError(doing, thrown);
      return runs.map(() => ({ error }));
    }
  }

  /**
   * Commits queued writes and makes all commits durable.
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

  #committed(outcomes: readonly Outcome[]): void {
    // The disk can fail for one write of a batch only, such as one that needs more pages.
    this.#fault = outcomes.map(({ error }) => error).find((error) =>
      error instanceof PlasmError && error.code === "state"
    ) as PlasmError | undefined;
    if (!this.#isDurable) this.#syncLater();
  }

  #syncLater(): void {
    this.#syncing ??= setTimeout(() => {
      try {
        this.sync();
      } catch { /* stored as the fault; sync() has scheduled a retry */ }
    }, UNSYNCED_MS);
  }

  /** In WAL mode NORMAL commits without fsync; FULL syncs the whole log. */
  #setDurable(durable: boolean): void {
    if (durable === this.#isDurable) return;
    this.#db.exec(`PRAGMA synchronous = ${durable ? "FULL" : "NORMAL"}`);
    this.#isDurable = durable;
  }

  #runOne(waiting: Waiting, isAlone: boolean): Outcome {
    // A single write needs no savepoint.
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
        throw error; // SQLite has rolled back the whole batch, as on a full disk
      }
      return { waiting, error: stateError(waiting.doing, error) };
    }
  }

  /** Commits queued writes and rejects new ones. */
  close(): void {
    this.flush();
    clearTimeout(this.#syncing);
    this.#log?.close();
    this.#closed = true;
  }
}
