/**
 * Group commit: whoever writes in the same turn of the event loop shares one fsync.
 * @module
 */
import type { DatabaseSync } from "node:sqlite";
import { PlasmError } from "../../errors.ts";
import { transaction } from "./database.ts";
import { stateError } from "./faults.ts";

interface Waiting {
  doing: string;
  run: () => unknown;
  resolve: (value: unknown) => void;
  reject: (error: unknown) => void;
}

interface Outcome {
  waiting: Waiting;
  value?: unknown;
  error?: unknown;
}

/** Runs writes in transactions, several at once; each is kept or undone by itself. */
export class WriteQueue {
  readonly #db: DatabaseSync;
  #waiting: Waiting[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #fault: PlasmError | undefined;
  #closed = false;

  constructor(db: DatabaseSync) {
    this.#db = db;
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
  write<T>(doing: string, run: () => T): Promise<T> {
    if (this.#closed) {
      return Promise.reject(new PlasmError("state", `Cannot ${doing}: the store is closed`));
    }
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#waiting.push({ doing, run, resolve, reject });
    this.#timer ??= setTimeout(() => this.flush(), 0);
    return promise as Promise<T>;
  }

  /** Commits what waits, now. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const batch = this.#waiting;
    this.#waiting = [];
    if (batch.length === 0) return;
    try {
      const outcomes = transaction(this.#db, () => batch.map((waiting) => this.#runOne(waiting)));
      this.#fault = undefined;
      for (const { waiting, value, error } of outcomes) {
        if (error === undefined) waiting.resolve(value);
        else waiting.reject(error);
      }
    } catch (error) {
      for (const { doing, reject } of batch) reject(this.#fault = stateError(doing, error));
    }
  }

  #runOne(waiting: Waiting): Outcome {
    this.#db.exec("SAVEPOINT one");
    try {
      const value = waiting.run();
      this.#db.exec("RELEASE one");
      return { waiting, value };
    } catch (error) {
      try {
        this.#db.exec("ROLLBACK TO one");
        this.#db.exec("RELEASE one");
      } catch {
        throw error; // SQLite has rolled back everything, as on a full disk: the batch has failed.
      }
      return { waiting, error: stateError(waiting.doing, error) };
    }
  }

  /** Commits what waits and takes nothing more. */
  close(): void {
    this.flush();
    this.#closed = true;
  }
}
