/**
 * The client's side of a job's run.
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { within } from "../../util/async/mod.ts";
import {
  checkEventBody,
  Disconnected,
  type EventBody,
  type FrameChannel,
  type MessageOf,
} from "../wire/mod.ts";
import type { ReceivedOutput } from "./received_output.ts";
import type { PhaseTimeouts } from "./run_types.ts";

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
