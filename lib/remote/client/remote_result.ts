/**
 * Receives the events of a job, verifies its receipt and acknowledges the result.
 *
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { deadline, within } from "../../util/async/mod.ts";
import {
  checkEventBody,
  Disconnected,
  type EventBody,
  type FrameChannel,
  type MessageOf,
} from "../wire/mod.ts";
import type { ReceivedOutput } from "./received_output.ts";
import type { PhaseTimeouts, RemoteCandidate, RemoteJob } from "./remote_job.ts";
import { type Receipt, verifyReceipt } from "../../core/mod.ts";

/** How far a run has come; kept over connections. Times are of the monotonic clock. */
export interface RunStage {
  /** The last event received whole. */
  lastId: number;
  /** Since when it is waited for. */
  begunAt?: number;
  startedAt?: number;
}

/** Options of {@linkcode receiveEvents}. */
export interface ReceiveEventsOptions {
  /** The node's next message. */
  incoming: Promise<MessageOf<"event" | "alive" | "reject">>;
  stage: RunStage;
  output: ReceivedOutput;
  timeouts: PhaseTimeouts;
  /** The manifest's own limit, in milliseconds. */
  runLimitMs: number;
  /** Called when more is known about whether the job ran. */
  onRan: (ran: "no" | "yes") => void;
  onProgress: (progress: { phase: "queued"; position: number } | { phase: "running" }) => void;
  /** Called when a phase takes too long. */
  cancel: (reason: PlasmError) => void;
}

/**
 * Hears events to the last.
 *
 * @returns the receipt, not verified yet
 * @throws {Disconnected} when the connection is lost or silent
 * @throws {PlasmError} why the job has no result
 */
export async function receiveEvents(
  channel: FrameChannel,
  options: ReceiveEventsOptions,
): Promise<{ receipt: Record<string, unknown>; message: string | null }> {
  const { stage, onRan } = options;
  stage.begunAt ??= performance.now();
  let incoming = options.incoming;
  while (true) {
    const message = await next(incoming, options);
    if (message.type === "reject") {
      // Refused before anything happened: it was not taken.
      if (stage.lastId === 0 && stage.startedAt === undefined) onRan("no");
      throw PlasmError.fromJSON(message.error);
    }
    if (message.type === "event") {
      const body = checkEventBody(message.body);
      const end = await take(body, options);
      if (end !== undefined) return end;
      if (message.id < stage.lastId) {
        throw new PlasmError("protocol", `Cannot use event: its id ${message.id} is not the next`);
      }
      stage.lastId = message.id;
    }
    incoming = channel.read(["event", "alive", "reject"]);
  }
}

/** Waits for a message, for a sign of life, and for the phase to end. */
async function next<T>(incoming: Promise<T>, options: ReceiveEventsOptions): Promise<T> {
  const { timeouts, stage, runLimitMs, cancel } = options;
  const [phase, since, ms] = stage.startedAt === undefined
    ? ["queue", stage.begunAt!, timeouts.queue] as const
    : ["run", stage.startedAt, runLimitMs + timeouts.run] as const;
  const timer = setTimeout(() => {
    const text = phase === "queue"
      ? `Job did not start in ${ms} ms`
      : `Job did not end in ${ms} ms, its own limit and ${timeouts.run} ms more`;
    cancel(new PlasmError("peer-timeout", text, { details: { phase, waited_ms: ms } }));
  }, Math.max(0, since + ms - performance.now()));
  try {
    return await within(
      timeouts.silence,
      incoming,
      () => new Disconnected(`Nothing came for ${timeouts.silence} ms`),
    );
  } finally {
    clearTimeout(timer);
  }
}

async function take(
  body: EventBody,
  { stage, output, onRan, onProgress }: ReceiveEventsOptions,
): Promise<{ receipt: Record<string, unknown>; message: string | null } | undefined> {
  switch (body.event) {
    case "queued":
      onProgress({ phase: "queued", position: body.position });
      return;
    case "started":
      stage.startedAt = performance.now();
      onRan("yes");
      onProgress({ phase: "running" });
      return;
    case "stdout":
    case "stderr":
      await output.add(body.event, body);
      return;
    case "interrupted":
      if (!body.rerun) {
        throw new PlasmError("interrupted", "The node stopped while the job ran", {
          details: { phase: "run" },
        });
      }
      delete stage.startedAt;
      output.reset();
      return;
    case "failed":
      throw PlasmError.fromJSON(body.error);
    case "finished":
      return { receipt: body.receipt, message: body.message };
  }
}

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

/** How long a node may take to hear it, in milliseconds. */
const HEARD_MS = 3000;

/** Options of {@linkcode acknowledgeResult}. */
export interface AcknowledgeResultOptions {
  /** How long the node waits for another offer, in milliseconds. @default {0} */
  keepsMs?: number;
}

/** Lets the node forget a job and ends the conversation. That it hears so is its own concern: results expire. */
export async function acknowledgeResult(
  channel: FrameChannel,
  jobId: string,
  { keepsMs = 0 }: AcknowledgeResultOptions = {},
): Promise<void> {
  try {
    await deadline(channel, HEARD_MS, channel.write({ type: "taken", job_id: jobId }));
    if (keepsMs > 0 && channel.keep(keepsMs)) return;
    await deadline(channel, HEARD_MS, channel.close());
  } catch {
    channel.abort(new Error("Not read in time"));
  }
}
