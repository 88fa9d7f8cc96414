/**
 * Rows of jobs.
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
  /** Jobs in one page. @default {100} */
  limit?: number | undefined;
  /** Only jobs accepted before this one. @default {the newest first} */
  before?: number | undefined;
}

/** How a job ended. */
export interface JobEnd {
  state: JobState;
  status?: JobStatus | null;
  exitCode?: number | null;
  message?: string | null;
  error?: PlasmErrorJson | null;
  receipt?: Receipt | null;
  /** The other node that ran it. @default {null: this one} */
  peer?: string | null;
  startedAt?: number | null;
  /** What standard input was, where that was not known before. @default {as it was accepted} */
  stdinHash?: string | null;
  finishedAt: number;
}

/** A job that has ended, and the bytes that it takes. */
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

/** A row as a job; throws where a column that holds JSON does not. */
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

/** The table of jobs. Writes must run inside the store's write queue. */
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

  /** Saves a job as it is and returns its seq; `lastEvent` is the id of the last of its events. */
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
   * Keeps blobs as long as a job needs them.
   *
   * @throws {PlasmError} `not-found` when one of them has gone since it was looked for
   */
  pin(seq: number, blobs: Iterable<string>): void {
    const pin = this.#sql("INSERT OR IGNORE INTO job_blobs (hash, job) VALUES (?, ?)");
    const known = this.#sql("SELECT 1 FROM blobs WHERE hash = ?");
    for (const hash of blobs) {
      if (known.get(hash) === undefined) {
        throw new PlasmError("not-found", `Cannot accept job: no ${hash} here`, {
          hint: "Send it first",
          details: { hash },
        });
      }
      pin.run(hash, seq);
    }
  }

  /** Whether there is a job with this id. */
  has(id: string): boolean {
    return this.#sql("SELECT 1 FROM jobs WHERE id = ?").get(id) !== undefined;
  }

  /** The job with this id. */
  get(id: string): JobRecord | undefined {
    const row = this.#sql("SELECT * FROM jobs WHERE id = ?").get(id);
    return row === undefined ? undefined : asRecord(row as Row);
  }

  /** Jobs, the newest first. */
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

  /** Jobs that are not over, in order of acceptance. */
  unfinished(): JobRecord[] {
    return this.#sql("SELECT * FROM jobs WHERE state IN ('queued', 'running') ORDER BY seq")
      .all().map((row) => asRecord(row as Row));
  }

  /** All jobs of peers. */
  ofPeers(): { seq: number; id: string }[] {
    // ";" is the character after ":".
    return this.#sql("SELECT seq, id FROM jobs WHERE submitter >= 'peer:' AND submitter < 'peer;'")
      .all().map((row) => ({ seq: Number(row["seq"]), id: String(row["id"]) }));
  }

  /** How many jobs are in each state. */
  counts(): Record<JobState, number> {
    const rows = this.#sql("SELECT state, jobs FROM totals").all();
    return Object.fromEntries(rows.map((row) => [row["state"], Number(row["jobs"])])) as Record<
      JobState,
      number
    >;
  }

  /** Notes that a job is about to start; returns which attempt this is. */
  start(seq: number, at: number): number {
    this.#sql(
      "UPDATE jobs SET state = 'running', attempts = attempts + 1, started_at = ? WHERE seq = ?",
    ).run(at, seq);
    return Number(this.#sql("SELECT attempts FROM jobs WHERE seq = ?").get(seq)?.["attempts"]);
  }

  /** Puts a job that was running back into the queue. */
  requeue(seq: number): void {
    this.#sql(
      `UPDATE jobs SET state = 'queued', started_at = NULL, stdout_bytes = 0, stderr_bytes = 0
       WHERE seq = ?`,
    ).run(seq);
  }

  /** Saves how a job ended, and lets go of the blobs it needed. */
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

  /** Jobs that ended before a time, the oldest first, with the bytes that each takes. */
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

  /** Bytes that ended jobs take. */
  endedBytes(): number {
    return Number(this.#sql("SELECT sum(bytes) AS n FROM totals").get()?.["n"]);
  }

  /** Deletes a job with its events. */
  delete(seq: number): void {
    this.#sql("DELETE FROM jobs WHERE seq = ?").run(seq);
  }
}
