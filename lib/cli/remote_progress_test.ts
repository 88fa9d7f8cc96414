import { assertEquals } from "@std/assert";
import { PlasmError } from "../core/errors/errors.ts";
import type { RemoteProgress } from "../remote/client/remote_job.ts";
import { progressLine } from "./remote_progress.ts";

const PEER = "12D3KooWAbcdefgh";
const refused = new PlasmError("busy", "Cannot \x1b]0;take\x07 job").toJSON();

const RUN: (RemoteProgress | { phase: "finding" })[] = [
  { phase: "finding" },
  { peerId: PEER, phase: "connecting" },
  { peerId: PEER, phase: "offering" },
  { peerId: PEER, phase: "failed", error: refused },
  { peerId: PEER, phase: "accepted", jobId: "job" },
  { peerId: PEER, phase: "sending", sent: 0, total: 1000 },
  { peerId: PEER, phase: "sending", sent: 4, total: 1000 },
  { peerId: PEER, phase: "sending", sent: 999, total: 1000 },
  { peerId: PEER, phase: "queued", position: 2 },
  { peerId: PEER, phase: "running" },
  { peerId: PEER, phase: "reconnecting", reason: "Lost" },
  { peerId: PEER, phase: "verifying" },
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
  for (const progress of RUN) show(progress);
  await clear();
  return text;
}

Deno.test("progressLine() changes one line of a terminal and leaves none behind", async () => {
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
    "Abcdefgh: reconnecting…",
    "Abcdefgh: verifying…",
    "",
  ]);
});

Deno.test("progressLine() tells a pipe what failed only, and --json nothing", async () => {
  assertEquals(
    await shown({ terminal: false, json: false }),
    "plasm: Abcdefgh: Cannot \\u001b]0;take\\u0007 job\n",
  );
  assertEquals(await shown({ terminal: true, json: true }), "");
});
