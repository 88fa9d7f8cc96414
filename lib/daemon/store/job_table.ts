/**
 * Defines stored jobs and events; reads and writes the jobs table.
 * @module
 */
import type { JobState, JobTarget } from "../../api/mod.ts";
import { PlasmError, type PlasmErrorJson } from "../../core/errors/mod.ts";
import type { JobEvent, Manifest, Priority, Receipt, StackFrame } from "../../core/mod.ts";
import type { Ceilings, JobStatus, LeftBehind } from "../../sandbox/mod.ts";
import { jobBytes } from "./database.ts";
import type { DatabaseSync, StatementSync } from "node:sqlite";

export type { JobState, JobTarget };

/** An output stream of a job; `files` is the archive of its output files. */
export type OutputStream = "stdout" | "stderr" | "files";

/** Final states of a job. */
export const FINAL_STATES: readonly JobState[] = ["finished", "failed", "interrupted"];

/** Stored job. Times are Unix milliseconds. */
export interface JobRecord {
  /** Row id, in order of acceptance; internal to the store. 0 until the row is written. */
  seq: number;
  id: string;
  /** `local`, `local:<label>`, or `peer:<peer id>`. */
  submitter: string;
  state: JobState;
  /** How the job ended, once `finished`. */
  status: JobStatus | null;
  exitCode: number | null;
  /** Human-readable reason when the job did not exit normally. */
  message: string | null;
  /** Why the job has no result, once `failed` or `interrupted`. */
  error: PlasmErrorJson | null;
  /** Accepted manifest. */
  manifest: Manifest;
  manifestHash: string;
  nonce: string;
  moduleHash: string;
  stdinHash: string | null;
  /** Small standard input of an unfinished job; null when it is a blob of `stdinHash`, or empty. */
  stdin: Uint8Array | null;
  priority: Priority;
  idempotent: boolean;
  /** Whether output is streamed to the client of a piped run and not stored. */
  piped: boolean;
  /** Ceilings at acceptance. */
  ceilings: Ceilings;
  /** Remote target; null for a local run. */
  target: JobTarget | null;
  /** Peer whose receipt was verified; null for this node or before the run. */
  peer: string | null;
  /** Number of starts. */
  attempts: number;
  createdAt: number;
  startedAt: number | null;
  finishedAt: number | null;
  stdoutBytes: number;
  stderrBytes: number;
  /** Size of the archive of output files, in bytes. */
  filesBytes: number;
  /** What the job created and did not return. */
  leftBehind: LeftBehind | null;
  /** The innermost calls of a job that trapped. */
  backtrace: readonly StackFrame[] | null;
  receipt: Receipt | null;
  /** Receipts of the other nodes that agree, of a job with a quorum. */
  otherReceipts: Receipt[] | null;
}

/** Fields of a job at acceptance. */
export type NewJob =
  & Pick<
    JobRecord,
    | "id"
    | "submitter"
    | "manifest"
    | "manifestHash"
    | "nonce"
    | "moduleHash"
    | "stdinHash"
    | "priority"
    | "idempotent"
    | "ceilings"
    | "createdAt"
  >
  & {
    /** Whether output is not stored. @default {false} */
    piped?: boolean | undefined;
    /** Remote target. @default {a local run} */
    target?: JobTarget | undefined;
    /** Standard input stored with the job. @default {a blob of stdinHash} */
    stdin?: Uint8Array | undefined;
  };

/**
 * Event of a stored job: a {@linkcode JobEvent} with an id and a time, or an end without an outcome. The ids of a job's
 * events increase from 1, with gaps.
 */
export type RecordedEvent =
  & { id: number; at: number }
  & (
    | Extract<JobEvent, { type: "queued" }> & { position: number }
    | Extract<JobEvent, { type: "started" }> & { attempt: number }
    | Extract<JobEvent, { type: OutputStream }> & { offset: number }
    | Omit<Extract<JobEvent, { type: "finished" }>, "receipt">
    /** The node stopped while the job ran; with `rerun` the job runs again and earlier output is void. */
    | { type: "interrupted"; rerun: boolean }
    | { type: "failed"; error: PlasmErrorJson }
  );

/** Creates the record of an accepted job; `seq` is 0 until it is stored. */
export function newRecord(job: NewJob): JobRecord {
  return {
    ...job,
    seq: 0,
    state: "queued",
    status: null,
    exitCode: null,
    message: null,
    error: null,
    stdin: job.stdin ?? null,
    piped: job.piped ?? false,
    target: job.target ?? null,
    peer: null,
    attempts: 0,
    startedAt: null,
    finishedAt: null,
    stdoutBytes: 0,
    stderrBytes: 0,
    filesBytes: 0,
    leftBehind: null,
    backtrace: null,
    receipt: null,
    otherReceipts: null,
  };
}

type WithoutId<E> = E extends unknown ? Omit<E, "id"> : never;

/** Event without an id; `length` replaces `data` when the bytes are in a spill file. */
export type NewEvent =
  | WithoutId<RecordedEvent>
  | { type: OutputStream; at: number; offset: number; length: number };

type Row = Record<string, unknown>;

/** Filter and page of {@linkcode JobTable.list}. */
export interface ListJobsOptions {
  /** Only jobs in this state. @default {all} */
  state?: JobState | undefined;
  /** Only jobs of this submitter. @default {all} */
  submitter?: string | undefined;
  /** Page size. @default {100} */
  limit?: number | undefined;
  /** Only jobs accepted before this one, by id. @default {the newest page} */
  before?: string | undefined;
}

/** Final state and result of a job. */
export interface JobEnd {
  state: JobState;
  status?: JobStatus | null;
  exitCode?: number | null;
  message?: string | null;
  error?: PlasmErrorJson | null;
  receipt?: Receipt | null;
  /** Receipts of the other nodes that agree. @default {none} */
  otherReceipts?: Receipt[] | undefined;
  /** Peer that ran it. @default {null: this node} */
  peer?: string | null;
  startedAt?: number | null;
  /** Hash of standard input if unknown at acceptance. @default {unchanged} */
  stdinHash?: string | null;
  /** What the job created and did not return. @default {nothing} */
  leftBehind?: LeftBehind | undefined;
  /** The innermost calls of a job that trapped. @default {unknown} */
  backtrace?: readonly StackFrame[] | undefined;
  finishedAt: number;
}

/** Finished job and its size in bytes. */
export interface EndedJob {
  id: string;
  bytes: number;
  /** Unix time in milliseconds. */
  finishedAt: number;
}

/** Resources that a submitter's finished jobs used on this node. */
export interface SubmitterUsage {
  submitter: string;
  jobs: number;
  cpuMs: number;
  outputBytes: number;
}

/** Name under which the usage of the submitters beyond a limit is summed. */
export const OTHER_SUBMITTERS = "other";

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
    filesBytes: row["files_bytes"] as number,
    leftBehind: parse(row["left_behind"]),
    backtrace: parse(row["backtrace"]),
    receipt: parse(row["receipt"]),
    otherReceipts: parse(row["other_receipts"]),
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
         target, stdin, peer, piped, files_bytes, left_behind, backtrace, other_receipts)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
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
      job.filesBytes,
      json(job.leftBehind),
      json(job.backtrace),
      json(job.otherReceipts),
    );
    return Number(lastInsertRowid);
  }

  /**
   * Pins blobs until the job finishes.
   *
   * @throws {PlasmError} `not-found` if a blob was evicted since admission
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
    const { state = null, submitter = null, limit = 100, before = null } = options;
    const where = [
      "TRUE",
      ...(before === null ? [] : ["seq < (SELECT seq FROM jobs WHERE id = ?)"]),
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
  ofPeers(): { id: string }[] {
    // ";" is the character after ":".
    return this.#sql("SELECT id FROM jobs WHERE submitter >= 'peer:' AND submitter < 'peer;'")
      .all().map((row) => ({ id: String(row["id"]) }));
  }

  /** Counts jobs by state. */
  counts(): Record<JobState, number> {
    const rows = this.#sql("SELECT state, jobs FROM totals").all();
    return Object.fromEntries(rows.map((row) => [row["state"], Number(row["jobs"])])) as Record<
      JobState,
      number
    >;
  }

  /** Lists usage by submitter, the largest CPU time first; the rest beyond `limit` is summed as {@linkcode OTHER_SUBMITTERS}. */
  usage(limit: number): SubmitterUsage[] {
    const rows = this.#sql(
      `SELECT iif(place > ? OR submitter = '${OTHER_SUBMITTERS}', '${OTHER_SUBMITTERS}', submitter) AS name,
         sum(jobs) AS jobs, sum(cpu_ms) AS cpu, sum(output_bytes) AS bytes
       FROM (SELECT *, row_number() OVER (ORDER BY cpu_ms DESC, submitter) AS place FROM usage)
       GROUP BY name ORDER BY cpu DESC, name`,
    ).all(limit);
    return rows.map((row) => ({
      submitter: String(row["name"]),
      jobs: Number(row["jobs"]),
      cpuMs: Number(row["cpu"]),
      outputBytes: Number(row["bytes"]),
    }));
  }

  /** Sums the usage of all but the `max` latest submitters as {@linkcode OTHER_SUBMITTERS}: peers can have any number of keys. */
  trimUsage(max: number): void {
    const old = `FROM usage WHERE submitter IN (
      SELECT submitter FROM usage WHERE submitter <> '${OTHER_SUBMITTERS}'
      ORDER BY used_at DESC LIMIT -1 OFFSET ?)`;
    this.#sql(
      `INSERT INTO usage SELECT '${OTHER_SUBMITTERS}', sum(jobs), sum(cpu_ms), sum(output_bytes), max(used_at)
       ${old} HAVING count(*) > 0
       ON CONFLICT (submitter) DO UPDATE SET jobs = jobs + excluded.jobs,
         cpu_ms = cpu_ms + excluded.cpu_ms, output_bytes = output_bytes + excluded.output_bytes,
         used_at = excluded.used_at`,
    ).run(max);
    this.#sql(`DELETE ${old}`).run(max);
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
      `UPDATE jobs SET state = 'queued', started_at = NULL, stdout_bytes = 0, stderr_bytes = 0,
         files_bytes = 0
       WHERE seq = ?`,
    ).run(seq);
  }

  /** Saves the result and unpins the job's blobs. */
  finish(seq: number, end: JobEnd): void {
    this.#sql(
      `UPDATE jobs SET state = ?, status = ?, exit_code = ?, message = ?, error = ?, receipt = ?,
         peer = ?, started_at = coalesce(?, started_at), stdin_hash = coalesce(?, stdin_hash),
         finished_at = ?, left_behind = ?, backtrace = ?, other_receipts = ?, stdin = NULL WHERE seq = ?`,
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
      json(end.leftBehind),
      json(end.backtrace),
      json(end.otherReceipts),
      seq,
    );
    this.#sql("DELETE FROM job_blobs WHERE job = ?").run(seq);
  }

  /** Lists jobs finished before a time, oldest first. */
  endedBefore(time: number, limit: number): EndedJob[] {
    return this.#sql(
      `SELECT id, finished_at, ${jobBytes("jobs")} AS bytes FROM jobs
       WHERE finished_at IS NOT NULL AND finished_at < ? ORDER BY finished_at LIMIT ?`,
    ).all(time, limit).map((row) => ({
      id: String(row["id"]),
      bytes: Number(row["bytes"]),
      finishedAt: Number(row["finished_at"]),
    }));
  }

  /** Total size of finished jobs, in bytes. */
  endedBytes(): number {
    return Number(this.#sql("SELECT sum(bytes) AS n FROM totals").get()?.["n"]);
  }

  /** Deletes a job and its events. */
  delete(id: string): void {
    this.#sql("DELETE FROM jobs WHERE id = ?").run(id);
  }
}
