/**
 * Follows a job's events, across broken connections and restarts of the daemon.
 *
 * @module
 */
import { type EventJson, isFinalEvent, type JobJson } from "../api/mod.ts";
import type { JobEvent } from "../core/mod.ts";
import { PlasmError } from "../core/errors/mod.ts";
import { retry } from "../util/async/mod.ts";
import { lines } from "../util/mod.ts";
import { type DaemonTransport, RESPONSE_LINES } from "./daemon_transport.ts";

/** Options of {@linkcode DaemonClient.follow} and {@linkcode DaemonClient.events}. */
export interface FollowOptions {
  /** Only events with a greater id. @default {0} */
  after?: number | undefined;
  /** Whether to stream until the job has finished. @default {true} */
  follow?: boolean | undefined;
  /** Ends the iteration with an `interrupted` error. @default {never} */
  signal?: AbortSignal | undefined;
  /**
   * How long to retry a daemon that does not respond, in milliseconds: time for a restart.
   * @default {30000}
   */
  patienceMs?: number | undefined;
}

/** Delay before the first reconnect, in milliseconds. It doubles with each failure. */
const MIN_DELAY_MS = 50;

/** Longest delay between reconnects, in milliseconds. */
const MAX_DELAY_MS = 2000;

function jobPath(id: string): string {
  return `/v1/jobs/${encodeURIComponent(id)}`;
}

/** Yields a job's events; see {@linkcode DaemonClient.follow}. */
export async function* followJob(
  transport: DaemonTransport,
  id: string,
  options: FollowOptions = {},
): AsyncGenerator<JobEvent, void, void> {
  for await (const event of followEvents(transport, id, options)) {
    const origin = { id: event.id, at: Date.parse(event.at) };
    switch (event.type) {
      case "queued":
        yield { ...origin, type: event.type, jobId: id, position: event.position };
        break;
      case "started":
        yield { ...origin, type: event.type, attempt: event.attempt };
        break;
      case "stdout":
      case "stderr":
        yield { ...origin, type: event.type, data: Uint8Array.fromBase64(event.data) };
        break;
      case "interrupted": {
        if (event.rerun) {
          yield { ...origin, type: event.type };
          break;
        }
        const { error } = await transport.json<JobJson>(jobPath(id), { signal: options.signal });
        throw PlasmError.fromJSON(error);
      }
      case "failed":
        throw PlasmError.fromJSON(event.error);
      case "finished": {
        const { status, exit_code: exitCode, message } = event;
        const outcome = { status, exitCode, message: message ?? undefined };
        yield { ...origin, type: event.type, outcome };
      }
    }
  }
}

/** Yields a job's events in the form of the HTTP API; see {@linkcode DaemonClient.events}. */
export async function* followEvents(
  transport: DaemonTransport,
  id: string,
  options: FollowOptions = {},
): AsyncGenerator<EventJson, void, void> {
  const { follow = true, signal, patienceMs = 30_000 } = options;
  let last = options.after ?? 0;
  // Waits for the first event, so that a connection that ends without one is retried with a delay.
  const open = async () => {
    const path = `${jobPath(id)}/events?after=${last}&follow=${follow}`;
    const events = readEvents(transport, path, signal);
    const first = await events.next();
    if (first.done && follow) {
      throw new PlasmError("no-daemon", "Cannot follow job: the daemon closed the connection");
    }
    return { events, first };
  };
  while (true) {
    const { events, first } = await retry(open, {
      minMs: MIN_DELAY_MS,
      maxMs: MAX_DELAY_MS,
      forMs: patienceMs,
      signal,
      shouldRetry: isLost,
    }).catch((error) => {
      throw transport.lost(error, signal);
    });
    try {
      for (let next = first; !next.done; next = await events.next()) {
        const event = next.value;
        last = event.id;
        yield event;
        if (isFinalEvent(event)) return;
      }
      if (!follow) return;
    } catch (error) {
      if (!isLost(error)) throw error;
    } finally {
      await events.return();
    }
  }
}

/** Yields the events of one response. Throws PlasmErrors only. */
async function* readEvents(
  transport: DaemonTransport,
  path: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<EventJson, void, void> {
  try {
    const { body } = await transport.send(path, { signal });
    const received = transport.translated(body ?? new Blob().stream(), signal);
    for await (const line of lines(received, RESPONSE_LINES)) yield JSON.parse(line);
  } catch (error) {
    // An error that is not a PlasmError is a connection that broke, also within a line.
    throw transport.lost(error, signal);
  }
}

/** Reports whether the daemon may respond to another request. */
function isLost(error: unknown): boolean {
  return error instanceof PlasmError && error.details["silent"] !== true &&
    (error.code === "no-daemon" || error.code === "busy");
}
