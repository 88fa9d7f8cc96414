/**
 * Opens the job store's SQLite database and migrates it to the current schema.
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { isPipe } from "../../util/async/mod.ts";
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
 * Opens a database file; creates it if it is missing.
 *
 * Uses WAL mode with synchronous=FULL: with NORMAL a commit survives `kill -9` but not a power cut, which could
 * lose acknowledged jobs. Concurrent writes share the fsync (see `GroupCommit`).
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
  [/permission denied|os error 13\b|unable to open/i, "Check the owner of the state directory"],
  [
    /malformed|not a database/i,
    "Restore the job store from a backup, or move it away to start with an empty one",
  ],
  [/NotCapable|Requires \w+ access/i, "Use another path, or grant plasm the permission"],
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

/**
 * Refuses a state directory with a named pipe in it: SQLite and locks open files synchronously, and a pipe without
 * another end would block the process, signals included.
 *
 * @throws {PlasmError} `state`
 */
export function refusePipes(dir: string): void {
  let names: string[];
  try {
    names = [...Deno.readDirSync(dir)].map(({ name }) => name);
  } catch {
    return; // without read permission; using the directory reports what is wrong
  }
  for (const name of names) {
    if (!isPipe(`${dir}/${name}`)) continue;
    throw new PlasmError("state", `Cannot use state directory ${dir}: ${name} is a named pipe`, {
      hint: `Move ${dir}/${name} away`,
    });
  }
}

/** SQL expression for the size of a finished job, in bytes; the constant estimates rows and indexes. */
export function jobBytes(row: "OLD" | "NEW" | "jobs"): string {
  return `iif(${row}.finished_at IS NULL, 0, ${row}.stdout_bytes + ${row}.stderr_bytes
    + ${row}.files_bytes + coalesce(length(${row}.left_behind), 0)
    + coalesce(length(${row}.backtrace), 0) + length(${row}.manifest) + coalesce(length(${row}.receipt), 0)
    + coalesce(length(${row}.other_receipts), 0) + 2048)`;
}

/** Sums of the usage table over rows of finished jobs. */
function usageOf(row: "NEW" | "jobs"): string {
  const used = (field: string): string => `coalesce(json_extract(${row}.receipt, '$.${field}'), 0)`;
  const bytes = `iif(${row}.piped, ${used("claim.stdout.bytes")} + ${used("claim.stderr.bytes")},
    ${row}.stdout_bytes + ${row}.stderr_bytes + ${row}.files_bytes)`;
  const cpu = `iif(${row}.target IS NULL, ${used("run.usage.cpu_time_ms")}, 0)`;
  return row === "NEW"
    ? `VALUES (NEW.submitter, 1, ${cpu}, ${bytes}, NEW.finished_at)`
    : `SELECT submitter, count(*), sum(${cpu}), sum(${bytes}), max(finished_at)`;
}

const ADD_USAGE = `INSERT INTO usage ${usageOf("NEW")}
  ON CONFLICT (submitter) DO UPDATE SET jobs = jobs + 1, cpu_ms = cpu_ms + excluded.cpu_ms,
    output_bytes = output_bytes + excluded.output_bytes, used_at = excluded.used_at;`;

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
    files_bytes INTEGER NOT NULL DEFAULT 0,
    left_behind TEXT,
    backtrace TEXT,
    other_receipts TEXT,
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
  // Totals maintained by triggers: counting a million jobs would take a second each time.
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
  // Small standard input of unfinished jobs is stored in their row; as a blob its writes would take three times as long.
  `ALTER TABLE jobs ADD COLUMN stdin BLOB;`,
  // Peer that ran a job with a target; for earlier jobs it is taken from their verified receipt.
  `
  ALTER TABLE jobs ADD COLUMN peer TEXT;
  UPDATE jobs SET peer = json_extract(receipt, '$.run.node.peer_id')
    WHERE target IS NOT NULL AND receipt IS NOT NULL;
  `,
  // Jobs whose output is streamed to their clients and not stored.
  `ALTER TABLE jobs ADD COLUMN piped INTEGER NOT NULL DEFAULT 0;`,
  // Usage per submitter, which outlives the jobs. A job on another node uses none of this node's CPU time.
  `
  CREATE TABLE usage (
    submitter TEXT PRIMARY KEY,
    jobs INTEGER NOT NULL,
    cpu_ms INTEGER NOT NULL,
    output_bytes INTEGER NOT NULL,
    used_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  INSERT INTO usage ${usageOf("jobs")} FROM jobs WHERE finished_at IS NOT NULL GROUP BY submitter;
  CREATE TRIGGER usage_inserted AFTER INSERT ON jobs WHEN NEW.finished_at IS NOT NULL BEGIN
    ${ADD_USAGE}
  END;
  CREATE TRIGGER usage_updated AFTER UPDATE OF state ON jobs
    WHEN NEW.finished_at IS NOT NULL AND OLD.finished_at IS NULL BEGIN
    ${ADD_USAGE}
  END;
  `,
];
