/**
 * Shows the progress of a remote job: one changing line on a terminal, otherwise failures and lost connections only.
 *
 * @module
 */
import { escapeText } from "../../util/mod.ts";
import type { JobEvent } from "../../core/mod.ts";
import type { CliIo } from "../io.ts";

/** Moves to the start of the line and erases it (ECMA-48, EL). */
const CLEAR = "\r\x1b[K";

/** A progress line. */
export interface ProgressLine {
  /** Shows the latest event; `finding` before the first one. */
  show(event: JobEvent | { type: "finding" }): void;
  /** Erases the line. Resolves when everything has been written. */
  clear(): Promise<void>;
}

/** Creates a progress line on standard error. With `json` it shows nothing. */
export function progressLine(
  io: Pick<CliIo, "message" | "stderrIsTerminal">,
  { json }: { json: boolean },
): ProgressLine {
  const isLive = io.stderrIsTerminal && !json;
  let shown = "";
  let tail: Promise<void> = Promise.resolve();
  const write = (text: string): void => {
    tail = tail.then(() => io.message(text));
  };
  const replace = (line: string): void => {
    // A transfer reports progress for every chunk.
    if (line === shown) return;
    shown = line;
    write(CLEAR + line);
  };
  return {
    show(event) {
      const failure = failureOf(event);
      if (failure !== undefined && !json) {
        if (isLive) replace("");
        write(`plasm: ${failure}\n`);
      }
      if (isLive && event.type !== "attempt-failed") replace(describe(event));
    },
    async clear() {
      if (isLive) replace("");
      await tail;
    },
  };
}

/** Message of an event that is written without a terminal too. */
function failureOf(event: JobEvent | { type: "finding" }): string | undefined {
  if (event.type !== "attempt-failed" && event.type !== "reconnecting") return undefined;
  const text = event.type === "attempt-failed"
    ? event.error.message
    : `Lost the connection: ${event.reason}; reconnecting`;
  return `${short(event.peerId)}: ${escapeText(text)}`;
}

/** The end of a peer id: its start is the same for most nodes. */
function short(peerId = ""): string {
  return peerId.slice(-8);
}

function describe(event: JobEvent | { type: "finding" }): string {
  if (event.type === "finding") return "finding a node…";
  return `${short(event.peerId)}: ${phaseOf(event)}`;
}

function phaseOf(event: JobEvent): string {
  switch (event.type) {
    case "sending": {
      const share = event.total === 0 ? 1 : event.sent / event.total;
      return `sending ${Math.floor(share * 100)} %`;
    }
    case "queued":
      return event.position === undefined ? "accepted…" : `queued at ${event.position + 1}`;
    case "started":
      return "running…";
    default:
      return `${event.type}…`;
  }
}
