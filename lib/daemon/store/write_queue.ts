/**
 * Group commit: whoever writes in the same turn of the event loop shares one fsync.
 * @module
 */
import { clearImmediate, setImmediate } from "node:timers";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { PlasmError } from "../../errors.ts";
import { transaction } from "./database.ts";
import { stateError } from "./faults.ts";

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

/** Options of {@linkcode WriteQueue.write}. */
export interface WriteOptions {
  /**
   * Whether the write must outlast a power cut by the time it resolves. Without, it waits a little for
   * others to share a commit with, and outlasts a power cut once a durable write has followed it.
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
  #waiting: Waiting[] = [];
  #flushing: ReturnType<typeof setImmediate> | undefined;
  #lazy: ReturnType<typeof setTimeout> | undefined;
  #isDurable = true;
  #fault: PlasmError | undefined;
  #closed = false;

  constructor(db: DatabaseSync) {
    this.#db = db;
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
      this.#fault = undefined;
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
    this.#closed = true;
  }
}
