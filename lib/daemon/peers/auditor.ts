/**
 * Audits results of other nodes: runs some finished jobs again on this machine while it is idle, and bans nodes whose
 * result was false.
 *
 * @module
 */
import type { Logger } from "@logtape/logtape";
import type { Config } from "../../config/mod.ts";
import {
  isUnfinished,
  type JobInputs,
  type Manifest,
  type Receipt,
  type RerunResult,
} from "../../core/mod.ts";
import { type JsonValue, PlasmError } from "../../core/errors/mod.ts";
import { type AuditLedger, countsAsClaim, evidenceOf, saveEvidence } from "../../quorum/mod.ts";
import { delay } from "../../util/async/mod.ts";

/** Finished job that is audited. */
export interface AuditedJob {
  receipt: Receipt;
  manifest: Manifest;
  module: Uint8Array;
  stdin: Uint8Array;
  inputs: JobInputs;
}

/** Options of a new run. */
export interface AuditRunOptions {
  /** Stops the run because the node has work, the budget is used up or the node stops. */
  signal: AbortSignal;
}

/** Options of {@linkcode Auditor}. */
export interface AuditorOptions {
  ledger: AuditLedger;
  /** Current configuration. */
  config: () => Pick<Config["network"], "audit" | "audit_cpu_seconds">;
  stateDir: string;
  /** Reports whether no job needs this machine. */
  isIdle: () => boolean;
  /** Reports whether a job was not deleted. */
  exists: (jobId: string) => boolean;
  /** Reads what is stored of a job; undefined if its content is not stored any more. */
  read: (jobId: string) => Promise<Omit<AuditedJob, "receipt" | "stdin"> | undefined>;
  /** Runs a job again on this machine. */
  rerun: (job: AuditedJob, options: AuditRunOptions) => Promise<RerunResult>;
  /** Records a false result for the node's reputation. */
  recordOutcome: (peerId: string, outcome: { ok: boolean }) => void;
  log: Logger;
  /** Random number from 0 to 1. @default {Math.random} */
  random?: (() => number) | undefined;
  /** Interval at which the auditor checks whether the node is idle, in milliseconds. @default {200} */
  pollMs?: number | undefined;
}

/** Jobs that wait for an audit. */
const MAX_WAITING = 64;

/** Size of the standard input of all jobs that wait for an audit, in bytes. */
const MAX_STDIN_BYTES = 64 * 2 ** 20;

/** Interruptions after which an audit is dropped. */
const MAX_INTERRUPTIONS = 5;

/** Period of the CPU budget, in milliseconds. */
const PERIOD_MS = 60 * 60 * 1000;

const POLL_MS = 200;

/** False results that are listed. */
const MAX_LISTED = 10;

/** Counts of audits by outcome. */
export interface AuditCounts {
  /** The new run had the same claim. */
  reproduced: number;
  /** The node's result was false. */
  false: number;
  /** The new run decided nothing, for example because it exceeded a limit of this machine. */
  undecided: number;
  /** The job was deleted, or the node had no time for the audit. */
  dropped: number;
}

/** A job that waits. */
interface Waiting {
  jobId: string;
  receipts: readonly [Receipt, ...Receipt[]];
  /** Standard input, which the store deletes when a job has finished. */
  stdin: Uint8Array;
  interruptions: number;
}

/** False result, for the status. */
interface FalseResult {
  peer_id: string;
  job_id: string;
  field: string;
  evidence: string | null;
  at: string;
}

/** Audits jobs one at a time. It has nothing of a job that was deleted, and writes nothing of a job but its receipts. */
export class Auditor implements AsyncDisposable {
  readonly counts: AuditCounts = { reproduced: 0, false: 0, undecided: 0, dropped: 0 };
  readonly #options: AuditorOptions;
  readonly #waiting: Waiting[] = [];
  readonly #stopping = new AbortController();
  readonly #used: { at: number; ms: number }[] = [];
  readonly #false: FalseResult[] = [];
  #running: AbortController | undefined;
  #loop: Promise<void> | undefined;
  #cpuMs = 0;

  constructor(options: AuditorOptions) {
    this.#options = options;
  }

  /** CPU time of all audits, in seconds. */
  get cpuSeconds(): number {
    return this.#cpuMs / 1000;
  }

  /**
   * Decides whether a result of other nodes is audited, and queues it. Several receipts have one claim; the first node
   * decides how likely the audit is.
   */
  consider(jobId: string, receipts: readonly [Receipt, ...Receipt[]], stdin: Uint8Array): void {
    const { ledger, config, random = Math.random } = this.#options;
    const [receipt] = receipts;
    const { claim, run } = receipt;
    if (
      claim.profile !== "deterministic" || isUnfinished(claim.status) || !countsAsClaim(receipt)
    ) return;
    if (this.#stopping.signal.aborted) return;
    if (random() >= ledger.probability(run.node.peer_id, config().audit / 100)) return;
    const bytes = this.#waiting.reduce((sum, { stdin }) => sum + stdin.length, stdin.length);
    if (this.#waiting.length >= MAX_WAITING || bytes > MAX_STDIN_BYTES) {
      return void this.counts.dropped++;
    }
    this.#waiting.push({ jobId, receipts, stdin, interruptions: 0 });
    this.#loop ??= this.#run().finally(() => this.#loop = undefined);
  }

  /** Stops the running audit, because a job needs this machine. It is repeated later. */
  interrupt(): void {
    this.#running?.abort();
  }

  /** Resolves when no audit waits. */
  async settled(): Promise<void> {
    while (this.#loop !== undefined) await this.#loop;
  }

  /** State for `GET /v1/node`. */
  status(): Record<string, JsonValue> {
    const { ledger, config } = this.#options;
    return {
      percent: config().audit,
      ...this.counts,
      waiting: this.#waiting.length,
      cpu_seconds: Math.round(this.cpuSeconds * 1000) / 1000,
      banned: ledger.banned().map(({ peerId, record }) => ({
        peer_id: peerId,
        false_results: record.false,
        until: new Date(record.bannedUntil).toISOString(),
      })),
      false_results: this.#false.map((one) => ({ ...one })),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    this.#running?.abort();
    await this.#loop;
  }

  async #run(): Promise<void> {
    const { isIdle, pollMs = POLL_MS, log } = this.#options;
    const { signal } = this.#stopping;
    while (this.#waiting.length > 0 && !signal.aborted) {
      this.#dropDeleted();
      if (!isIdle() || this.#budgetMs() <= 0) {
        await delay(pollMs, { signal });
        continue;
      }
      const next = this.#waiting.shift();
      if (next === undefined) break;
      try {
        await this.#audit(next);
      } catch (error) {
        this.counts.undecided++;
        log.warning("audit-failed", { job_id: next.jobId, error: PlasmError.from(error) });
      }
    }
  }

  #dropDeleted(): void {
    const { exists } = this.#options;
    const left = this.#waiting.filter(({ jobId }) => exists(jobId));
    this.counts.dropped += this.#waiting.length - left.length;
    this.#waiting.splice(0, this.#waiting.length, ...left);
  }

  /** CPU time that audits may use now, in milliseconds. */
  #budgetMs(): number {
    const since = performance.now() - PERIOD_MS;
    while (this.#used.length > 0 && this.#used[0]!.at < since) this.#used.shift();
    const used = this.#used.reduce((sum, { ms }) => sum + ms, 0);
    return this.#options.config().audit_cpu_seconds * 1000 - used;
  }

  async #audit(waiting: Waiting): Promise<void> {
    const { read, rerun, isIdle } = this.#options;
    const { jobId, receipts, stdin } = waiting;
    const stored = await read(jobId);
    if (stored === undefined) return void this.counts.dropped++;
    const job = { ...stored, receipt: receipts[0], stdin };
    const running = new AbortController();
    this.#running = running;
    // A guest has one thread: its CPU time is at most the time that passes.
    const limit = setTimeout(() => running.abort("budget"), this.#budgetMs());
    const start = performance.now();
    let cpuMs: number | undefined;
    try {
      // A job may have arrived while this one was read.
      if (!isIdle()) running.abort();
      running.signal.throwIfAborted();
      const result = await rerun(job, { signal: running.signal });
      cpuMs = result.receipt?.run.usage.cpu_time_ms;
      if (running.signal.aborted) running.signal.throwIfAborted();
      await this.#record(jobId, receipts, result);
    } catch (error) {
      if (!running.signal.aborted) throw error;
      waiting.interruptions++;
      const isRepeated = running.signal.reason !== "budget" &&
        waiting.interruptions <= MAX_INTERRUPTIONS && !this.#stopping.signal.aborted;
      if (isRepeated) this.#waiting.push(waiting);
      else this.counts.dropped++;
    } finally {
      clearTimeout(limit);
      this.#running = undefined;
      const ms = cpuMs ?? performance.now() - start;
      this.#cpuMs += ms;
      this.#used.push({ at: performance.now(), ms });
    }
  }

  async #record(
    jobId: string,
    receipts: readonly Receipt[],
    result: RerunResult,
  ): Promise<void> {
    const { ledger } = this.#options;
    const { outcome, difference, receipt: again } = result;
    if (outcome === "not-reproducible" || again === undefined) return void this.counts.undecided++;
    if (outcome === "reproduced") {
      this.counts.reproduced++;
      for (const { run } of receipts) ledger.recordGood(run.node.peer_id);
    } else {
      const evidence = await this.#saveEvidence(jobId, [...receipts, again]);
      this.counts.false++;
      for (const { run } of receipts) {
        this.#accuse(run.node.peer_id, { jobId, evidence, field: difference?.field ?? "" });
      }
    }
    await this.#save();
  }

  /** Bans a node whose result was false. */
  #accuse(
    peerId: string,
    { jobId, evidence, field }: { jobId: string; evidence: string | null; field: string },
  ): void {
    const { ledger, log, recordOutcome } = this.#options;
    const bannedUntil = new Date(ledger.recordFalse(peerId)).toISOString();
    recordOutcome(peerId, { ok: false });
    const found = { peer_id: peerId, job_id: jobId, field, evidence };
    this.#false.unshift({ ...found, at: new Date().toISOString() });
    this.#false.length = Math.min(this.#false.length, MAX_LISTED);
    log.error("audit-false-result", { ...found, banned_until: bannedUntil });
  }

  async #saveEvidence(jobId: string, receipts: readonly Receipt[]): Promise<string | null> {
    const { stateDir, log } = this.#options;
    try {
      const evidence = await evidenceOf(receipts);
      return evidence === undefined ? null : await saveEvidence(stateDir, evidence);
    } catch (error) {
      log.error("evidence-not-saved", { job_id: jobId, error: PlasmError.from(error) });
      return null;
    }
  }

  async #save(): Promise<void> {
    const { ledger, stateDir, log } = this.#options;
    try {
      await ledger.save(stateDir);
    } catch (error) {
      log.error("audit-not-saved", { error: PlasmError.from(error) });
    }
  }
}
