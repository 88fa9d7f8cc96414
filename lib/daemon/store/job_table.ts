/**
 * Reads and writes the jobs table.
 * @module
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { Receipt } from "../../core/mod.ts";
import { PlasmError, type PlasmErrorJson } from "../../core/errors/mod.ts";
import type { JobStatus } from "../../sandbox/mod.ts";
import type { JobRecord, JobState } from "./job_record.ts";
import { jobBytes } from "./database.ts";

type Row = Record<string, unknown>;

/** Filter and page of {@linkcode JobTable.list}. */
export interface ListJobsOptions {
  /** Only jobs in this state. @default {all} */
  state?: JobState | undefined;
  /** Only jobs of this submitter. @default {all} */
  submitter?: string | undefined;
  /** Page size. @default {100} */
  limit?: number | undefined;
  /** Only jobs with a lower seq. @default {the newest page} */
  before?: number | undefined;
}

/** Final state and result of a job. */
export interface JobEnd {
  state: JobState;
  status?: JobStatus | null;
  exitCode?: number | null;
  message?: string | null;
  error?: PlasmErrorJson | null;
  receipt?: Receipt | null;
  /** Peer that ran it. @default {null: this node} */
  peer?: string | null;
  startedAt?: number | null;
  /** Hash of standard input when unknown at acceptance. @default {unchanged} */
  stdinHash?: string | null;
  finishedAt: number;
}

/** Finished job and its size in bytes. */
export interface EndedJob {
  seq: number;
  id: string;
  bytes: number;
}

function parse<T>(text: unknown): T | null {
  return typeof text === "string" ? JSON.parse(text) as T : null;
}

function json(value: unknown): string | null {
  return value == null ? null : JSON.stringify(value);
}

/** Converts a row to a record; throws on invalid JSON. */
export function asRecord(row: Row): JobRecord {
  return {
    seq: row["seq"] as number,
    id: row["id"] as string,
    submitter: row["submitter"] as string,
    state: row["state"] as JobState,
    status: row["status"] as JobStatus | null,
    exitCode: row["exit_code"] as number | null,
    message: row["message"] as string | null,
    error: parse(row["error"]),
    manifest: parse(row["manifest"]) as JobRecord["manifest"],
    manifestHash: row["manifest_hash"] as string,
    nonce: row["nonce"] as string,
    moduleHash: row["module_hash"] as string,
    stdinHash: row["stdin_hash"] as string | null,
    stdin: row["stdin"] as Uint8Array | null,
    priority: row["priority"] as JobRecord["priority"],
    idempotent: row["idempotent"] === 1,
    piped: row["piped"] === 1,
    ceilings: parse(row["ceilings"]) as JobRecord["ceilings"],
    target: parse(row["target"]),
    peer: row["peer"] as string | null,
    attempts: row["attempts"] as number,
    createdAt: row["created_at"] as number,
    startedAt: row["started_at"] as number | null,
    finishedAt: row["finished_at"] as number | null,
    stdoutBytes: row["stdout_bytes"] as number,
    stderrBytes: row["stderr_bytes"] as number,
    receipt: parse(row["receipt"]),
  };
}

/** Jobs table. Writes must run inside a group commit. */
export class JobTable {
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  constructor(db: DatabaseSync) {
    this.#db = db;
  }

  #sql(text: string): StatementSync {
    let statement = this.#statements.get(text);
    if (statement === undefined) {
      statement = this.#db.prepare(text);
      this.#statements.set(text, statement);
    }
    return statement;
  }

  /** Inserts a job and returns its seq; `lastEvent` is the id of its last event. */
  insert(job: JobRecord, lastEvent = 0): number {
    const { lastInsertRowid } = this.#sql(
      `INSERT INTO jobs (id, submitter, state, status, exit_code, message, error, manifest,
         manifest_hash, nonce, module_hash, stdin_hash, priority, idempotent, ceilings, attempts,
         created_at, started_at, finished_at, stdout_bytes, stderr_bytes, last_event, receipt,
         target, stdin, peer, piped)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ).run(
      job.id,
      job.submitter,
      job.state,
      job.status,
      job.exitCode,
      job.message,
      json(job.error),
      JSON.stringify(job.manifest),
      job.manifestHash,
      job.nonce,
      job.moduleHash,
      job.stdinHash,
      job.priority,
      job.idempotent ? 1 : 0,
      JSON.stringify(job.ceilings),
      job.attempts,
      job.createdAt,
      job.startedAt,
      job.finishedAt,
      job.stdoutBytes,
      job.stderrBytes,
      lastEvent,
      json(job.receipt),
      json(job.target),
      job.stdin,
      job.peer,
      job.piped ? 1 : 0,
    );
    return Number(lastInsertRowid);
  }

  /**
   * Pins blobs until the job finishes.
   *
   * @throws {PlasmError} `not-found` when a blob was evicted since admission
   */
  pin(seq: number, blobs: Iterable<string>): void {
    const pin = this.#sql("INSERT OR IGNORE INTO job_blobs (hash, job) VALUES (?, ?)");
    const known = this.#sql("SELECT 1 FROM blobs WHERE hash = ?");
    for (const hash of blobs) {
      if (known.get(hash) === undefined) {
        throw new PlasmError("not-found", `Cannot accept job: ${hash} is not stored`, {
          hint: "Send it first",
          details: { hash },
        });
      }
      pin.run(hash, seq);
    }
  }

  /** Whether a job with this id exists. */
  has(id: string): boolean {
    return this.#sql("SELECT 1 FROM jobs WHERE id = ?").get(id) !== undefined;
  }

  /** Looks up a job. */
  get(id: string): JobRecord | undefined {
    const row = this.#sql("SELECT * FROM jobs WHERE id = ?").get(id);
    return row === undefined ? undefined : asRecord(row as Row);
  }

  /** Lists jobs, newest first. */
  list(options: ListJobsOptions = {}): JobRecord[] {
    const { state = null, submitter = null, limit = 100, before = Number.MAX_SAFE_INTEGER } =
      options;
    const where = [
      "seq < ?",
      ...(state === null ? [] : ["state = ?"]),
      ...(submitter === null ? [] : ["submitter = ?"]),
    ].join(" AND ");
    const values = [before, state, submitter].filter((value) => value !== null);
    return this.#sql(`SELECT * FROM jobs WHERE ${where} ORDER BY seq DESC LIMIT ?`)
      .all(...values, limit).map((row) => asRecord(row as Row));
  }

  /** Lists unfinished jobs in order of acceptance. */
  unfinished(): JobRecord[] {
    return this.#sql("SELECT * FROM jobs WHERE state IN ('queued', 'running') ORDER BY seq")
      .all().map((row) => asRecord(row as Row));
  }

  /** Lists all jobs submitted by peers. */
  ofPeers(): { seq: number; id: string }[] {
    // ";" is the character after ":".
    return this.#sql("SELECT seq, id FROM jobs WHERE submitter >= 'peer:' AND submitter < 'peer;'")
      .all().map((row) => ({ seq: Number(row["seq"]), id: String(row["id"]) }));
  }

  /** Counts jobs by state. */
  counts(): Record<JobState, number> {
    const rows = this.#sql("SELECT state, jobs FROM totals").all();
    return Object.fromEntries(rows.map((row) => [row["state"], Number(row["jobs"])])) as Record<
      JobState,
      number
    >;
  }

  /** Records a start; returns the attempt number. */
  start(seq: number, at: number): number {
    this.#sql(
      "UPDATE jobs SET state = 'running', attempts = attempts + 1, started_at = ? WHERE seq = ?",
    ).run(at, seq);
    return Number(this.#sql("SELECT attempts FROM jobs WHERE seq = ?").get(seq)?.["attempts"]);
  }

  /** Re-queues a running job. */
  requeue(seq: number): void {
    this.#sql(
      `UPDATE jobs SET state = 'queued', started_at = NULL, stdout_bytes = 0, stderr_bytes = 0
       WHERE seq = ?`,
    ).run(seq);
  }

  /** Saves the result and unpins the job's blobs. */
  finish(seq: number, end: JobEnd): void {
    this.#sql(
      `UPDATE jobs SET state = ?, status = ?, exit_code = ?, message = ?, error = ?, receipt = ?,
         peer = ?, started_at = coalesce(?, started_at), stdin_hash = coalesce(?, stdin_hash),
         finished_at = ?, stdin = NULL WHERE seq = ?`,
    ).run(
      end.state,
      end.status ?? null,
      end.exitCode ?? null,
      end.message ?? null,
      json(end.error),
      json(end.receipt),
      end.peer ?? null,
      end.startedAt ?? null,
      end.stdinHash ?? null,
      end.finishedAt,
      seq,
    );
    this.#sql("DELETE FROM job_blobs WHERE job = ?").run(seq);
  }

  /** Lists jobs finished before a time, oldest first. */
  endedBefore(time: number, limit: number): EndedJob[] {
    return this.#sql(
      `SELECT seq, id, ${jobBytes("jobs")} AS bytes FROM jobs
       WHERE finished_at IS NOT NULL AND finished_at < ? ORDER BY finished_at LIMIT ?`,
    ).all(time, limit).map((row) => ({
      seq: Number(row["seq"]),
      id: String(row["id"]),
      bytes: Number(row["bytes"]),
    }));
  }

  /** Total size of finished jobs, in bytes. */
  endedBytes(): number {
    return Number(this.#sql("SELECT sum(bytes) AS n FROM totals").get()?.["n"]);
  }

  /** Deletes a job and its events. */
  delete(seq: number): void {
    this.#sql("DELETE FROM jobs WHERE seq = ?").run(seq);
  }
}
