/**
 * The tables of the job store, one step for each version of the schema. A step that was released
 * never changes; a new need is a new step.
 * @module
 */

/** Bytes that an ended job takes; the constant stands for rows of several tables and indexes. */
export function jobBytes(row: "OLD" | "NEW" | "jobs"): string {
  return `iif(${row}.finished_at IS NULL, 0, ${row}.stdout_bytes + ${row}.stderr_bytes
    + length(${row}.manifest) + coalesce(length(${row}.receipt), 0) + 2048)`;
}

/** Step n brings a store from version n to version n + 1. */
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
