/**
 * Streams a job's events until it finishes, as NDJSON or Server-Sent Events.
 * @module
 */
import { type EventJson, isFinalEvent } from "../../api/mod.ts";
import type { Jobs } from "../jobs/mod.ts";
import type { JobRecord, JobStore } from "../store/mod.ts";
import { eventJson } from "./job_json.ts";

/**
 * How often something is written when nothing happens, in milliseconds: below the usual minute after which
 * proxies and the connection guard close a silent connection.
 */
const HEARTBEAT_MS = 15_000;

/** How often the position of a waiting job is looked at, in milliseconds. */
const POSITION_MS = 500;

/** Options of {@linkcode eventStream}. */
export interface EventStreamOptions {
  store: JobStore;
  jobs: Jobs;
  /** Only events with a greater id. */
  after: number;
  /** Whether to go on when there are no more events yet. */
  follow: boolean;
  /** How events are written. */
  format: "ndjson" | "sse";
  /** Ends the stream; the client may resume elsewhere. */
  signal: AbortSignal;
  /** Called once when the stream ends. */
  onEnd: () => void;
}

const encoder = new TextEncoder();

function encode(event: EventJson, format: EventStreamOptions["format"]): Uint8Array {
  const json = JSON.stringify(event);
  return encoder.encode(
    format === "sse" ? `id: ${event.id}\nevent: ${event.type}\ndata: ${json}\n\n` : `${json}\n`,
  );
}

function heartbeat(format: EventStreamOptions["format"]): Uint8Array {
  return encoder.encode(format === "sse" ? ":\n\n" : "\n");
}

async function* eventTexts(
  job: JobRecord,
  options: EventStreamOptions & { signal: AbortSignal },
): AsyncGenerator<Uint8Array, void, void> {
  const { store, jobs, format, follow, signal } = options;
  let last = options.after;
  let position: number | undefined;
  let silentSince = performance.now();
  while (true) {
    for (const event of await store.eventsAfter(job, last)) {
      last = event.id;
      if (event.type === "queued") position = event.position;
      yield encode(eventJson(event), format);
      silentSince = performance.now();
      if (isFinalEvent(event)) return;
    }
    if (signal.aborted) return;
    if (store.hasEventsAfter(job, last)) continue;
    const current = store.get(job.id);
    // A finished job has sent its final event; a missing one was deleted.
    if (!follow || current === undefined || current.finishedAt !== null) return;
    const now = jobs.position(current);
    if (now !== undefined && now !== position) {
      position = now;
      // Not stored and without an id: a client that resumes does not need it.
      yield encode(
        { id: last, at: new Date().toISOString(), type: "queued", position: now },
        format,
      );
      silentSince = performance.now();
    }
    if (performance.now() - silentSince >= HEARTBEAT_MS) {
      yield heartbeat(format);
      silentSince = performance.now();
    }
    const timeoutMs = now === undefined ? HEARTBEAT_MS : POSITION_MS;
    if (!store.hasEventsAfter(job, last)) await store.changes.wait(job.id, { signal, timeoutMs });
  }
}

/** The body. It is made as the client reads it, so that a slow one costs no memory. */
export function eventStream(
  job: JobRecord,
  options: EventStreamOptions,
): ReadableStream<Uint8Array> {
  const stopped = new AbortController();
  const signal = AbortSignal.any([options.signal, stopped.signal]);
  const texts = eventTexts(job, { ...options, signal });
  let ended = false;
  const end = (): void => {
    if (ended) return;
    ended = true;
    stopped.abort("over");
    options.onEnd();
  };
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { done, value } = await texts.next();
        if (!done) return controller.enqueue(value);
        end();
        controller.close();
      } catch (error) {
        end();
        throw error;
      }
    },
    cancel: end,
  }, { highWaterMark: 0 });
}
