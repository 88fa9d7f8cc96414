/**
 * What a client checks before it believes a result.
 * @module
 */
import { type Receipt, verifyReceipt } from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import type { ReceivedOutput } from "./received_output.ts";
import type { RemoteCandidate, RemoteJob } from "./run_types.ts";

/** How much a duration by the node may exceed ours: both round, and clocks do not tick alike. */
const DURATION_SLACK_MS = 1000;

/** What is known about the run that a receipt speaks of. */
export interface ResultFacts {
  job: RemoteJob;
  candidate: RemoteCandidate;
  jobId: string;
  nonce: string;
  output: ReceivedOutput;
  /** When the job was offered, by our clock. */
  offeredAt: number;
  /** From allowing the job to run to hearing of its end. @default {not known: the client was restarted} */
  elapsedMs?: number | undefined;
}

/**
 * Verifies a receipt against all that was sent and received, and against what can be.
 *
 * @throws {PlasmError} `bad-receipt`, its `details.field` naming the first field that is wrong
 */
export async function verifyResult(receipt: unknown, facts: ResultFacts): Promise<Receipt> {
  const { job, candidate, jobId, nonce, output, offeredAt, elapsedMs } = facts;
  const checked = await verifyReceipt(receipt, {
    peerId: candidate.peerId,
    jobId,
    nonce,
    manifest: job.manifest,
    module: job.module.hash,
    stdin: job.stdin.hash,
    ...await output.measure(),
    window: { from: offeredAt, to: Date.now() },
  });
  checkRuntime(checked, candidate);
  checkUsage(checked, { elapsedMs, cores: candidate.cores });
  return checked;
}

/** What the node says it is must be what it said when it was found. */
function checkRuntime({ runtime }: Receipt, candidate: RemoteCandidate): void {
  const { runtime: told } = candidate;
  if (told === undefined) return;
  for (const field of ["name", "version", "engine", "arch"] as const) {
    if (runtime[field] === told[field]) continue;
    throw refusal(
      `runtime.${field}`,
      `is ${runtime[field]}, the node's capability says ${told[field]}`,
    );
  }
}

function checkUsage(
  { usage }: Receipt,
  { elapsedMs, cores }: { elapsedMs: number | undefined; cores: number | undefined },
): void {
  if (elapsedMs !== undefined && usage.wall_time_ms > elapsedMs + DURATION_SLACK_MS) {
    throw refusal(
      "usage.wall_time_ms",
      `is ${usage.wall_time_ms}, only ${Math.round(elapsedMs)} ms went by`,
    );
  }
  if (cores === undefined) return;
  const most = (usage.wall_time_ms + DURATION_SLACK_MS) * cores;
  if (usage.cpu_time_ms > most) {
    throw refusal(
      "usage.cpu_time_ms",
      `is ${usage.cpu_time_ms}, ${cores} cores can use ${most} in that time`,
    );
  }
}

function refusal(field: string, why: string): PlasmError {
  return new PlasmError("bad-receipt", `Cannot trust receipt: ${field} ${why}`, {
    details: { field },
  });
}
