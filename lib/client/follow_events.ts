/**
 * Streams a job's events and reconnects as often as necessary.
 * @module
 */
import { type ApiEvent, type EventJson, isFinalEvent } from "../api/mod.ts";
import { PlasmError } from "../core/errors/mod.ts";
import { lines } from "../util/mod.ts";
import { ANSWER_LINES, type DaemonTransport } from "./daemon_transport.ts";

/** An event; output is in bytes. */
export type DaemonEvent = ApiEvent<Uint8Array>;

/** Options of {@linkcode followEvents}. */
export interface FollowOptions {
  /** Only events with a greater id. @default {0} */
  after?: number | undefined;
  /** Whether to stream until the job has finished. @default {true} */
  follow?: boolean | undefined;
  /** Ends the iteration with an `interrupted` error. @default {never} */
  signal?: AbortSignal | undefined;
  /**
   * How long to retry a daemon that does not answer, in milliseconds: time for a restart.
   * @default {30000}
   */
  patienceMs?: number | undefined;
}

// Delays between reconnects; each is twice the previous one.
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2000;

function parseEvent(line: string): DaemonEvent {
  const event = JSON.parse(line) as EventJson;
  return "data" in event ? { ...event, data: Uint8Array.fromBase64(event.data) } : event;
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done);
    if (signal?.aborted) done();
  });
}

/**
 * Yields a job's events. After a broken connection it continues behind the last event: none is lost or repeated.
 *
 * @throws {PlasmError} `not-found`; `no-daemon` if the daemon stays unreachable; `interrupted`
 */
export async function* followEvents(
  transport: DaemonTransport,
  id: string,
  options: FollowOptions = {},
): AsyncGenerator<DaemonEvent, void, void> {
  const { follow = true, signal, patienceMs = 30_000 } = options;
  let last = options.after ?? 0;
  let pauseMs = FIRST_PAUSE_MS;
  let lostAt: number | undefined;
  while (true) {
    let fault: PlasmError;
    try {
      const path = `/v1/jobs/${id}/events?after=${last}&follow=${follow}`;
      const response = await transport.send(path, { signal });
      for await (const line of lines(response.body, ANSWER_LINES)) {
        const event = parseEvent(line);
        last = event.id;
        lostAt = undefined;
        pauseMs = FIRST_PAUSE_MS;
        yield event;
        if (isFinalEvent(event)) return;
      }
      if (!follow) return;
      fault = new PlasmError("no-daemon", "Cannot follow job: the daemon went away");
    } catch (error) {
      if (signal?.aborted) {
        throw new PlasmError("interrupted", "Stopped: the caller asked for it", { cause: error });
      }
      // Any other error is a connection that broke within the body.
      fault = error instanceof PlasmError
        ? error
        : new PlasmError("no-daemon", `Cannot follow job: ${(error as Error).message}`);
      if (fault.code !== "no-daemon" && fault.code !== "busy") throw fault;
    }
    lostAt ??= performance.now();
    if (performance.now() - lostAt > patienceMs) throw fault;
    await pause(pauseMs, signal);
    pauseMs = Math.min(LONGEST_PAUSE_MS, pauseMs * 2);
  }
}
