import { assertEquals } from "@std/assert";
import type { Logger } from "@logtape/logtape";
import { PlasmError } from "../../core/errors/errors.ts";
import { EndNotes, type EndNotesOptions } from "./job_log.ts";

function notesOver(get: (id: string) => unknown): { notes: EndNotes; lines: unknown[] } {
  const lines: unknown[] = [];
  const log = { info: (...line: unknown[]) => lines.push(line) } as unknown as Logger;
  const store = { get } as unknown as EndNotesOptions["store"];
  return { notes: new EndNotes({ store, log }), lines };
}

Deno.test("EndNotes.flush() writes a line for each job, also for one that was deleted", () => {
  const job = { submitter: "local", state: "finished", status: "exited", exitCode: 0, error: null };
  const { notes, lines } = notesOver((id) => id === "a" ? job : undefined);
  notes.add("a", 5);
  notes.add("b", 7);
  notes.flush();
  const { error: _, exitCode: exit_code, ...rest } = job;
  assertEquals(lines, [
    ["job-ended", { job_id: "a", ...rest, exit_code, error_code: undefined, latency_ms: 5 }],
    ["job-ended", { job_id: "b", state: "deleted", latency_ms: 7 }],
  ]);
});

Deno.test("EndNotes.flush() goes on where the store cannot be read", () => {
  const error = new PlasmError("state", "Cannot read jobs: the disk is gone");
  const { notes, lines } = notesOver(() => {
    throw error;
  });
  notes.add("a", 5);
  notes.add("b", 7);
  notes.flush();
  assertEquals(lines, [
    ["job-ended", { job_id: "a", state: "unknown", error, latency_ms: 5 }],
    ["job-ended", { job_id: "b", state: "unknown", error, latency_ms: 7 }],
  ]);
});
