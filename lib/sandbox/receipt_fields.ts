/**
 * Computes the fields of a receipt from a job and how it ended.
 *
 * @module
 */
import {
  type Claim,
  type Manifest,
  type Measured,
  type ReceiptFields,
  receiptTimes,
  type Runtime,
  RUNTIME_NAME,
  VERSION,
} from "../core/mod.ts";
import type { SandboxOutcome } from "./job_types.ts";

/** A job and what came out, for {@linkcode receiptFields}. */
export interface ReceiptFacts {
  /** The job's id. */
  jobId: string;
  /** The submitter's nonce. */
  nonce: string;
  /** The job's manifest. */
  manifest: Manifest;
  /** Hash of the manifest. */
  manifestHash: string;
  /** Hash of standard input. */
  stdinHash: string;
  /** Standard output. */
  stdout: Measured;
  /** Standard error. */
  stderr: Measured;
  /** Files returned, by guest path. */
  outputs: Claim["outputs"];
}

/** Computes the fields of the receipt of a job that has ended. */
export function receiptFields(outcome: SandboxOutcome, facts: ReceiptFacts): ReceiptFields {
  const { manifest } = facts;
  const { startedAt, usage, fuel } = outcome;
  const { wall_time_ms, ...times } = receiptTimes({ startedAt, wallTimeMs: usage.wallTimeMs });
  return {
    claim: {
      manifest_hash: facts.manifestHash,
      module_hash: manifest.module_hash,
      stdin_hash: facts.stdinHash,
      stdout: facts.stdout,
      stderr: facts.stderr,
      outputs: facts.outputs,
      status: outcome.status,
      exit_code: outcome.exitCode,
      ...(fuel === undefined ? {} : { fuel }),
      profile: manifest.profile ?? "default",
      nondeterminism: [...outcome.nondeterminism],
    },
    run: {
      job_id: facts.jobId,
      nonce: facts.nonce,
      usage: {
        wall_time_ms,
        cpu_time_ms: usage.cpuTimeMs,
        memory_peak_bytes: usage.memoryPeakBytes,
      },
      ...times,
      runtime: localRuntime(),
    },
  };
}

/** Program, engine and processor architecture of this node, for receipts and capability documents. */
export function localRuntime(): Runtime {
  return {
    name: RUNTIME_NAME,
    version: VERSION,
    engine: `v8 ${Deno.version.v8}`,
    arch: Deno.build.arch,
  };
}
