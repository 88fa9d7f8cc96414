/**
 * How a remote run goes on, for people: one line that changes on a terminal, else only what went wrong.
 * @module
 */
import { printable } from "../util/mod.ts";
import type { RemoteProgress } from "../remote/client/mod.ts";
import type { CliIo } from "./io.ts";

/** To the start of the line, and all of it gone (ECMA-48, EL). */
const CLEAR = "\r\x1b[K";

/** What is shown. */
export interface ProgressLine {
  /** Takes news. */
  show(progress: RemoteProgress | { phase: "finding" }): void;
  /** Empties the line; resolves when all has been written. */
  clear(): Promise<void>;
}

/** Shows progress as messages. */
export function progressLine(
  io: Pick<CliIo, "message" | "stderrIsTerminal">,
  { json }: { json: boolean },
): ProgressLine {
  const isLive = io.stderrIsTerminal && !json;
  let shown = "";
  let tail: Promise<void> = Promise.resolve();
  const say = (text: string): void => {
    tail = tail.then(() => io.message(text));
  };
  const put = (line: string): void => {
    // A transfer tells of every chunk.
    if (line === shown) return;
    shown = line;
    say(CLEAR + line);
  };
  return {
    show(progress) {
      if (progress.phase === "failed" && !json) {
        if (isLive) put("");
        say(`plasm: ${short(progress.peerId)}: ${printable(progress.error.message)}\n`);
      } else if (isLive) put(describe(progress));
    },
    async clear() {
      if (isLive) put("");
      await tail;
    },
  };
}

function short(peerId: string): string {
  return peerId.slice(-8);
}

function describe(progress: RemoteProgress | { phase: "finding" }): string {
  if (progress.phase === "finding") return "finding a node…";
  const where = short(progress.peerId);
  switch (progress.phase) {
    case "sending": {
      const share = progress.total === 0 ? 1 : progress.sent / progress.total;
      return `${where}: sending ${Math.floor(share * 100)} %`;
    }
    case "queued":
      return `${where}: queued at ${progress.position + 1}`;
    default:
      return `${where}: ${progress.phase}…`;
  }
}
