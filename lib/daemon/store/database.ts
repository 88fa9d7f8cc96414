/**
 * Opens the job store's SQLite database and migrates it to the current schema.
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { DatabaseSync } from "node:sqlite";

function userVersion(db: DatabaseSync): number {
  return Number(db.prepare("PRAGMA user_version").get()?.["user_version"] ?? 0);
}

/** Runs `work` in one transaction. */
export function transaction<T>(db: DatabaseSync, work: () => T): T {
  db.exec("BEGIN IMMEDIATE");
  try {
    const result = work();
    db.exec("COMMIT");
    return result;
  } catch (error) {
    // On some errors (full disk) SQLite has already rolled back and rejects a second ROLLBACK.
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
      `Cannot open ${path}: schema ${found} is newer than this version's ${MIGRATIONS.length}`,
      {
        hint: "Upgrade plasm to the version that wrote it",
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
 * Uses WAL mode with synchronous=FULL: with NORMAL a commit survives `kill -9` but not a power cut, which could
 * lose acknowledged jobs. Concurrent writes share the fsync (see group_commit.ts).
 *
 * @throws {PlasmError} `state`
 */
export function openDatabase(path: string): DatabaseSync {
  let db: DatabaseSync | undefined;
  try {
    // SQLite would apply the umask; its journals inherit the database's mode.
    Deno.openSync(path, { create: true, write: true, mode: 0o600 }).close();
    db = new DatabaseSync(path);
    db.exec("PRAGMA journal_mode = WAL");
    db.exec("PRAGMA synchronous = FULL");
    // 32 MiB: a checkpoint takes several fsyncs and blocks jobs.
    db.exec("PRAGMA wal_autocheckpoint = 8192");
    db.exec("PRAGMA foreign_keys = ON");
    // Truncate the log to 64 MiB after a checkpoint.
    db.exec("PRAGMA journal_size_limit = 67108864");
    migrate(db, path);
    return db;
  } catch (error) {
    db?.close();
    throw stateError(`open ${path}`, error);
  }
}

const HINTS: readonly [RegExp, string][] = [
  [/disk is full|no space left|os error 28\b|quota/i, "Free some space or lower retention.bytes"],
  [/readonly|read-only|os error 30\b/i, "Make the state directory writable"],
  [/permission denied|os error 13\b|unable to open/i, "Check who owns the state directory"],
  [
    /malformed|not a database/i,
    "Restore the job store from a backup, or move it away to start with an empty one",
  ],
  [/NotCapable|Requires \w+ access/i, "Grant the permission named in the message"],
];

/** Wraps a storage error as `state`; `doing` completes "Cannot …", such as "save job". */
export function stateError(doing: string, error: unknown): PlasmError {
  if (error instanceof PlasmError) return error;
  const text = error instanceof Error ? error.message : String(error);
  const hint = HINTS.find(([pattern]) => pattern.test(`${(error as Error)?.name} ${text}`))?.[1];
  // A full disk may recover; other errors need an operator.
  const retryable = hint === HINTS[0]?.[1];
  return new PlasmError("state", `Cannot ${doing}: ${text}`, { hint, retryable, cause: error });
}

/** SQL expression for the size of a finished job, in bytes; the constant estimates rows and indexes. */
export function jobBytes(row: "OLD" | "NEW" | "jobs"): string {
  return `iif(${row}.finished_at IS NULL, 0, ${row}.stdout_bytes + ${row}.stderr_bytes
    + length(${row}.manifest) + coalesce(length(${row}.receipt), 0) + 2048)`;
}

/** Entry n migrates the schema from version n to n + 1. */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE jobs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    submitter TEXT NOT NULL,
    state TEXT NOT NULL
      CHECK (state IN ('queued', 'running', 'finished', 'failed', 'interrupted')),
    status TEXT,
    exit_code INTEGER,
    message TEXT,
    error TEXT,
    manifest TEXT NOT NULL,
    manifest_hash TEXT NOT NULL,
    nonce TEXT NOT NULL,
    module_hash TEXT NOT NULL,
    stdin_hash TEXT,
    priority TEXT NOT NULL,
    idempotent INTEGER NOT NULL,
    ceilings TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    finished_at INTEGER,
    stdout_bytes INTEGER NOT NULL DEFAULT 0,
    stderr_bytes INTEGER NOT NULL DEFAULT 0,
    last_event INTEGER NOT NULL DEFAULT 0,
    receipt TEXT
  ) STRICT;
  CREATE INDEX jobs_by_state ON jobs (state, seq);
  CREATE INDEX jobs_by_submitter ON jobs (submitter, seq);
  CREATE INDEX jobs_by_end ON jobs (finished_at) WHERE finished_at IS NOT NULL;

  CREATE TABLE events (
    job INTEGER NOT NULL REFERENCES jobs (seq) ON DELETE CASCADE,
    id INTEGER NOT NULL,
    at INTEGER NOT NULL,
    type TEXT NOT NULL,
    body TEXT,
    offset INTEGER,
    length INTEGER,
    data BLOB,
    PRIMARY KEY (job, id)
  ) STRICT;

  CREATE TABLE blobs (
    hash TEXT PRIMARY KEY,
    size INTEGER NOT NULL,
    used_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX blobs_by_use ON blobs (used_at);

  CREATE TABLE job_blobs (
    hash TEXT NOT NULL,
    job INTEGER NOT NULL REFERENCES jobs (seq) ON DELETE CASCADE,
    PRIMARY KEY (hash, job)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX job_blobs_by_job ON job_blobs (job);
  `,
  `ALTER TABLE jobs ADD COLUMN target TEXT;`,
  // Kept up to date by the database itself: to count a million jobs takes a second each time.
  `
  CREATE TABLE totals (
    state TEXT PRIMARY KEY,
    jobs INTEGER NOT NULL,
    bytes INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  INSERT INTO totals VALUES
    ('queued', 0, 0), ('running', 0, 0), ('finished', 0, 0), ('failed', 0, 0), ('interrupted', 0, 0);
  UPDATE totals SET (jobs, bytes) = (
    SELECT count(*), coalesce(sum(${jobBytes("jobs")}), 0) FROM jobs WHERE jobs.state = totals.state
  );
  CREATE TRIGGER jobs_inserted AFTER INSERT ON jobs BEGIN
    UPDATE totals SET jobs = jobs + 1, bytes = bytes + ${jobBytes("NEW")} WHERE state = NEW.state;
  END;
  CREATE TRIGGER jobs_updated AFTER UPDATE OF state ON jobs BEGIN
    UPDATE totals SET jobs = jobs - 1, bytes = bytes - ${jobBytes("OLD")} WHERE state = OLD.state;
    UPDATE totals SET jobs = jobs + 1, bytes = bytes + ${jobBytes("NEW")} WHERE state = NEW.state;
  END;
  CREATE TRIGGER jobs_deleted AFTER DELETE ON jobs BEGIN
    UPDATE totals SET jobs = jobs - 1, bytes = bytes - ${jobBytes("OLD")} WHERE state = OLD.state;
  END;
  `,
  // Small standard input goes with the job's own row while it is not over: as a file among the inputs
  // it would cost three times to reach the disk.
  `ALTER TABLE jobs ADD COLUMN stdin BLOB;`,
  // Who ran a job with a target. Of earlier ones the receipt alone tells, which was verified as well.
  `
  ALTER TABLE jobs ADD COLUMN peer TEXT;
  UPDATE jobs SET peer = json_extract(receipt, '$.node.peer_id')
    WHERE target IS NOT NULL AND receipt IS NOT NULL;
  `,
  // Jobs whose output went to their clients as it came, and is kept nowhere.
  `ALTER TABLE jobs ADD COLUMN piped INTEGER NOT NULL DEFAULT 0;`,
];
