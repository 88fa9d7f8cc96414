/**
 * A job's events, as messages to its client.
 * @module
 */
import { ALIVE_MS, EVENT_DATA_BYTES, type EventBody, type FrameChannel } from "../wire/mod.ts";
import { deadline } from "../../util/async/mod.ts";
import type { HostEvent } from "./job_host.ts";

/** Options of {@linkcode sendEvents}. */
export interface SendEventsOptions {
  /** Each list goes in as few writes as it can. */
  events: AsyncIterable<readonly HostEvent[]>;
  /** Ends it. */
  signal: AbortSignal;
  /** Longest time a client may take to make room for one event, in milliseconds. */
  stallMs: number;
  /** Called when the job has finished, before its last event is sent. */
  onOver: () => void;
}

/**
 * Sends events to the last, and signs of life between them. Small ones that are there together go together;
 * more output is sent when the output before has gone, so that a slow client costs no memory.
 *
 * @throws {Disconnected} when the client is gone
 */
export async function sendEvents(
  channel: FrameChannel,
  { events, signal, stallMs, onOver }: SendEventsOptions,
): Promise<void> {
  let busy = false;
  const timer = setInterval(() => {
    if (busy) return;
    // If the keep-alive cannot be sent, the connection has failed; the next event fails the same way.
    busy = true;
    channel.write({ type: "alive" }).then(() => busy = false, () => {});
  }, ALIVE_MS);
  let last = 0;
  try {
    for await (const list of events) {
      let writes: Promise<void>[] = [];
      let bytes = 0;
      for (const event of list) {
        if (signal.aborted) return;
        const bodies = bodiesOf(event);
        if (isLast(event)) {
          // After its end nothing more is said of a job: what comes then is of the next.
          clearInterval(timer);
          onOver();
        }
        for (const [at, body] of bodies.entries()) {
          // A client that has part of an event requests all of it again.
          const id = at === bodies.length - 1 ? event.id : last;
          const written = channel.write({ type: "event", id, at: event.at, body });
          written.catch(() => {}); // awaited below, unless it ends before
          writes.push(written);
          bytes += "data" in body ? body.data.length : 0;
          if (bytes < EVENT_DATA_BYTES) continue;
          await deadline(channel, stallMs, Promise.all(writes));
          [writes, bytes] = [[], 0];
        }
        last = event.id;
      }
      await deadline(channel, stallMs, Promise.all(writes));
    }
  } finally {
    clearInterval(timer);
  }
}

function isLast(event: HostEvent): boolean {
  const { type } = event;
  return type === "finished" || type === "failed" || (type === "interrupted" && !event.rerun);
}

function bodiesOf(event: HostEvent): EventBody[] {
  switch (event.type) {
    case "queued":
      return [{ event: "queued", position: event.position }];
    case "started":
      return [{ event: "started", attempt: event.attempt }];
    case "interrupted":
      return [{ event: "interrupted", rerun: event.rerun }];
    case "finished":
      return [{
        event: "finished",
        receipt: { ...event.receipt },
        message: event.message?.slice(0, 1000) ?? null,
      }];
    case "failed":
      return [{ event: "failed", error: { ...event.error } }];
    case "stdout":
    case "stderr": {
      const { type, offset, data } = event;
      const bodies: EventBody[] = [];
      for (let at = 0; at < data.length; at += EVENT_DATA_BYTES) {
        const part = data.subarray(at, at + EVENT_DATA_BYTES);
        bodies.push({ event: type, offset: offset + at, data: part });
      }
      return bodies;
    }
  }
}
