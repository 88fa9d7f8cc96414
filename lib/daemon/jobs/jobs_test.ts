import { assertEquals } from "@std/assert";
import type { Logger } from "@logtape/logtape";
import { PlasmError } from "../../core/errors/errors.ts";
import { JobLog, type JobLogOptions } from "./jobs.ts";

function jobLogOver(get: (id: string) => unknown): { jobLog: JobLog; lines: unknown[] } {
  const lines: unknown[] = [];
  const log = { info: (...line: unknown[]) => lines.push(line) } as unknown as Logger;
  const store = { get } as unknown as JobLogOptions["store"];
  return { jobLog: new JobLog({ store, log }), lines };
}

Deno.test("JobLog.flush() logs each job, also when it was deleted", () => {
  const job = { submitter: "local", state: "finished", status: "exited", exitCode: 0, error: null };
  const filesBytes = 0;
  const receipt = {
    claim: { stdout: { bytes: 4 }, stderr: { bytes: 5 } },
    run: { usage: { cpu_time_ms: 3 } },
  };
  const { jobLog, lines } = jobLogOver((id) =>
    id === "a" ? { ...job, receipt, filesBytes } : undefined
  );
  jobLog.add("a", 5);
  jobLog.add("b", 7);
  jobLog.flush();
  const { error: _, exitCode: exit_code, ...rest } = job;
  assertEquals(lines, [
    ["job-ended", {
      job_id: "a",
      ...rest,
      exit_code,
      cpu_ms: 3,
      output_bytes: 9,
      error_code: undefined,
      latency_ms: 5,
    }],
    ["job-ended", { job_id: "b", state: "deleted", latency_ms: 7 }],
  ]);
});

Deno.test("JobLog.flush() logs the remaining jobs when the store cannot be read", () => {
  const error = new PlasmError("state", "Cannot read jobs: the disk is gone");
  const { jobLog, lines } = jobLogOver(() => {
    throw error;
  });
  jobLog.add("a", 5);
  jobLog.add("b", 7);
  jobLog.flush();
  assertEquals(lines, [
    ["job-ended", { job_id: "a", state: "unknown", error, latency_ms: 5 }],
    ["job-ended", { job_id: "b", state: "unknown", error, latency_ms: 7 }],
  ]);
});
