/**
 * Opens the job store's database and brings it to the current schema.
 * @module
 */
import { DatabaseSync } from "node:sqlite";
import { PlasmError } from "../../core/errors/mod.ts";
import { stateError } from "./faults.ts";
import { MIGRATIONS } from "./migrations.ts";

function userVersion(db: DatabaseSync): number {
  return Number(db.prepare("PRAGMA user_version").get()?.["user_version"] ?? 0);
}

/** Runs `work` in one transaction: all of it is kept, or nothing. */
export function transaction<T>(db: DatabaseSync, work: () => T): T {
  db.exec("BEGIN IMMEDIATE");
  try {
    const result = work();
    db.exec("COMMIT");
    return result;
  } catch (error) {
    // SQLite rolls back by itself on some errors (a full disk), and then refuses to do so again.
    try {
      db.exec("ROLLBACK");
    } catch { /* already rolled back */ }
    throw error;
  }
}

function migrate(db: DatabaseSync, path: string): void {
  const found = userVersion(db);
  if (found > MIGRATIONS.length) {
    throw new PlasmError(
      "state",
      `Cannot open ${path}: it has schema ${found}, this version of plasm knows ${MIGRATIONS.length}`,
      {
        hint: "Run the newer version of plasm that wrote it",
        details: { schema: found, known: MIGRATIONS.length },
      },
    );
  }
  for (let version = found; version < MIGRATIONS.length; version++) {
    transaction(db, () => {
      db.exec(MIGRATIONS[version] ?? "");
      db.exec(`PRAGMA user_version = ${version + 1}`);
    });
  }
}

/**
 * Opens a database file, creating it when missing.
 *
 * It runs in WAL mode with synchronous=FULL: NORMAL would keep every commit over `kill -9`, but
 * a power cut could take back the last ones, and with them jobs that were accepted. The price,
 * one fsync a commit, is shared by all who write at the same time (see write_queue.ts).
 *
 * @throws {PlasmError} `state`
 */
export function openDatabase(path: string): DatabaseSync {
  let db: DatabaseSync | undefined;
  try {
    // SQLite would leave the mode to the umask; its journals take the database's.
    Deno.openSync(path, { create: true, write: true, mode: 0o600 }).close();
    db = new DatabaseSync(path);
    db.exec("PRAGMA journal_mode = WAL");
    db.exec("PRAGMA synchronous = FULL");
    // 32 MiB: to write the log back takes several fsyncs, which jobs wait for.
    db.exec("PRAGMA wal_autocheckpoint = 8192");
    db.exec("PRAGMA foreign_keys = ON");
    // Pages of deleted jobs return to the file system a few at a time, see retention.
    db.exec("PRAGMA journal_size_limit = 67108864");
    migrate(db, path);
    return db;
  } catch (error) {
    db?.close();
    throw stateError(`open ${path}`, error);
  }
}
