/**
 * Stands in for the sandbox where a test is about the daemon around it. What a job does is its first
 * argument; receipts are real.
 * @module
 */
import { PlasmError } from "../../lib/errors.ts";
import { sha256 } from "../../lib/job/hash.ts";
import { manifestHash } from "../../lib/job/manifest.ts";
import { signReceipt } from "../../lib/job/receipt.ts";
import type { RunJob } from "../../lib/daemon/runner.ts";
import { type JobEvent, receiptOutcome, type RunJobOptions } from "../../lib/sandbox/run_job.ts";
import type { StdinSource } from "../../lib/sandbox/stdin_hash.ts";
import { localRuntime } from "../../lib/sandbox/runtime.ts";
import type { JobStatus } from "../../lib/sandbox/types.ts";

const encoder = new TextEncoder();

/** What tests steer and see of the jobs that run. */
export class FakeSandbox {
  /** Job ids in the order in which they started. */
  readonly started: string[] = [];
  /** Most jobs that ran at once. */
  peak = 0;
  #running = 0;
  #waiters: (() => void)[] = [];
  readonly #open = new Set<string>();

  /** Lets "block" jobs with this label end. */
  release(label: string): void {
    this.#open.add(label);
    this.#news();
  }

  #news(): void {
    for (const wake of this.#waiters.splice(0)) wake();
  }

  /** Waits until so many jobs have started. */
  async untilStarted(count: number): Promise<void> {
    while (this.started.length < count) {
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
    }
  }

  async #blocked(label: string, signal: AbortSignal | undefined): Promise<JobStatus> {
    const wake = (): void => this.#news();
    signal?.addEventListener("abort", wake);
    while (!this.#open.has(label) && signal?.aborted !== true) {
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
    }
    signal?.removeEventListener("abort", wake);
    return signal?.aborted ? "cancelled" : "exited";
  }

  /** Runs a job: `echo`, `write N`, `block LABEL`, `exit N`, `trap`, `refuse`, `crash`. */
  readonly run: RunJob = (_module, options = {}) => this.#run(options);

  async *#run(options: RunJobOptions): AsyncGenerator<JobEvent, void, void> {
    const { manifest, signer, jobId = "", nonce = "", signal } = options;
    if (manifest === undefined || signer === undefined) throw new Error("incomplete job");
    const source = options.stdin as StdinSource | Uint8Array;
    const [what, argument = ""] = manifest.args;
    if (what === "refuse") throw new PlasmError("bad-module", "Cannot run module: it says so");
    const startedAt = Date.now();
    this.started.push(jobId);
    this.peak = Math.max(this.peak, ++this.#running);
    this.#news();
    try {
      yield { type: "started", at: startedAt };
      const stdin = "digest" in source ? new Uint8Array() : source;
      let status: JobStatus = "exited";
      let exitCode: number | null = 0;
      let stdout = new Uint8Array();
      if (what === "echo") stdout = stdin as Uint8Array<ArrayBuffer>;
      if (what === "write") stdout = new Uint8Array(Number(argument)).map((_, n) => n * 7);
      if (what === "exit") exitCode = Number(argument);
      if (what === "crash") throw new PlasmError("executor", "The process around the job died");
      if (what === "trap") [status, exitCode] = ["trapped", null];
      if (what === "block") {
        stdout = encoder.encode("so far\n");
        yield { type: "stdout", data: stdout };
        status = await this.#blocked(argument, signal);
        if (status !== "exited") exitCode = null;
      } else {
        for (let at = 0; at < stdout.length; at += 10_000) {
          yield { type: "stdout", data: stdout.subarray(at, at + 10_000) };
        }
      }
      const finishedAt = Date.now();
      const wallTimeMs = finishedAt - startedAt;
      const outcome = {
        status,
        exitCode,
        usage: { wallTimeMs, cpuTimeMs: 0, memoryPeakBytes: 65536 },
        startedAt,
        finishedAt,
      };
      const receipt = await signReceipt({
        job_id: jobId,
        nonce,
        manifest_hash: await manifestHash(manifest),
        module_hash: manifest.module_hash,
        stdin_hash: "digest" in source ? await source.digest() : await sha256(source),
        stdout_bytes: stdout.length,
        stdout_hash: await sha256(stdout),
        stderr_bytes: 0,
        stderr_hash: await sha256(new Uint8Array()),
        ...receiptOutcome(outcome),
        runtime: localRuntime(),
      }, signer);
      yield { type: "finished", outcome, receipt };
    } finally {
      this.#running--;
    }
  }
}
