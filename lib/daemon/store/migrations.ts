/**
 * The tables of the job store, one step for each version of the schema. A step that was released
 * never changes; a new need is a new step.
 * @module
 */

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
];
