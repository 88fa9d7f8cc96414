import { assertEquals } from "@std/assert";
import { PlasmError } from "../../core/errors/errors.ts";
import type { JobEvent } from "../../core/job_event.ts";
import { progressLine } from "./progress_line.ts";

const PEER = "12D3KooWAbcdefgh";
const refused = new PlasmError("busy", "Cannot \x1b]0;take\x07 job");

const RUN: (JobEvent | { type: "finding" })[] = [
  { type: "finding" },
  { peerId: PEER, type: "connecting" },
  { peerId: PEER, type: "offering" },
  { peerId: PEER, type: "attempt-failed", error: refused },
  { peerId: PEER, type: "queued", jobId: "job" },
  { peerId: PEER, type: "sending", sent: 0, total: 1000 },
  { peerId: PEER, type: "sending", sent: 4, total: 1000 },
  { peerId: PEER, type: "sending", sent: 999, total: 1000 },
  { peerId: PEER, type: "queued", jobId: "job", position: 2 },
  { peerId: PEER, type: "started", at: 0 },
  { peerId: PEER, type: "reconnecting", reason: "Reset" },
  { peerId: PEER, type: "verifying" },
];

async function shown(options: { terminal: boolean; json: boolean }): Promise<string> {
  let text = "";
  const { show, clear } = progressLine({
    stderrIsTerminal: options.terminal,
    message: (data) => {
      text += typeof data === "string" ? data : new TextDecoder().decode(data);
      return Promise.resolve();
    },
  }, { json: options.json });
  for (const event of RUN) show(event);
  await clear();
  return text;
}

Deno.test("progressLine() updates one line of a terminal and erases it at the end", async () => {
  const text = await shown({ terminal: true, json: false });
  assertEquals(text.split("\r\x1b[K"), [
    "",
    "finding a node…",
    "Abcdefgh: connecting…",
    "Abcdefgh: offering…",
    "plasm: Abcdefgh: Cannot \\u001b]0;take\\u0007 job\n",
    "Abcdefgh: accepted…",
    "Abcdefgh: sending 0 %",
    "Abcdefgh: sending 99 %",
    "Abcdefgh: queued at 3",
    "Abcdefgh: running…",
    "plasm: Abcdefgh: Lost the connection: Reset; reconnecting\n",
    "Abcdefgh: reconnecting…",
    "Abcdefgh: verifying…",
    "",
  ]);
});

Deno.test("progressLine() writes failures and lost connections only when stderr is no terminal, and nothing with --json", async () => {
  assertEquals(
    await shown({ terminal: false, json: false }),
    "plasm: Abcdefgh: Cannot \\u001b]0;take\\u0007 job\n" +
      "plasm: Abcdefgh: Lost the connection: Reset; reconnecting\n",
  );
  assertEquals(await shown({ terminal: true, json: true }), "");
});
