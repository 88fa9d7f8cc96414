import { assertEquals, assertRejects } from "@std/assert";
import { PlasmError } from "../../core/errors/errors.ts";
import { FrameKind, type IpcFrame } from "../ipc/protocol.ts";
import { JobResultReader } from "./job_result_reader.ts";
import { collect } from "../../../tests/fixtures/sandbox_jobs.ts";

const TIMES = { startedAt: 0, start: 0 };

function report(kind: number, value: unknown): IpcFrame {
  return { kind, payload: new TextEncoder().encode(JSON.stringify(value)) };
}

const FINISHED = {
  status: "exited",
  exitCode: 0,
  cpuTimeMs: 1,
  memoryPeakBytes: 2,
  reusable: true,
};

Deno.test("JobResultReader.read() rejects a frame that an executor may not send", async () => {
  const invalid: [IpcFrame, string][] = [
    [{ kind: FrameKind.Ready, payload: new Uint8Array() }, "a frame of kind 16"],
    [{ kind: FrameKind.Job, payload: new Uint8Array() }, "a frame of kind 1"],
    [{ kind: FrameKind.Stdout, payload: new Uint8Array(11) }, "more output than"],
    [{ kind: FrameKind.Finished, payload: new Uint8Array([1]) }, "not a JSON object"],
    [report(FrameKind.Finished, null), "not a JSON object"],
    [report(FrameKind.Finished, { ...FINISHED, status: "rejected" }), "an unknown status"],
    [report(FrameKind.Finished, { ...FINISHED, exitCode: null }), "not a non-negative integer"],
    [report(FrameKind.Finished, { ...FINISHED, cpuTimeMs: -1 }), "not a non-negative integer"],
    [
      report(FrameKind.Finished, { ...FINISHED, memoryPeakBytes: 1e300 }),
      "not a non-negative integer",
    ],
    [report(FrameKind.Usage, { cpuTimeMs: "1" }), "not a non-negative integer"],
    [report(FrameKind.Refused, { code: "nonsense", message: "x" }), "an unknown error code"],
  ];
  for (const [frame, text] of invalid) {
    await assertRejects(() => new JobResultReader(10).read(frame), PlasmError, text);
  }
});

Deno.test("JobResultReader.end() queues the outcome", async () => {
  const reader = new JobResultReader(10);
  await reader.read(report(FrameKind.Finished, FINISHED));
  await reader.end(TIMES);
  const { outcome } = await collect(reader.queue.drain());
  const { status, exitCode, usage: { cpuTimeMs } } = outcome;
  assertEquals({ status, exitCode, cpuTimeMs }, { status: "exited", exitCode: 0, cpuTimeMs: 1 });
  assertEquals(reader.reusable, true);
});

Deno.test("JobResultReader.exited() reports the reason of the stop and the last figures", async () => {
  const reader = new JobResultReader(10);
  await reader.read(report(FrameKind.Usage, { cpuTimeMs: 5, rssGrowthBytes: 6 }));
  reader.stop("timeout", "Job stopped: a");
  reader.stop("cancelled", "Job stopped: b");
  reader.exited({ status: "memory", message: "Job stopped: c" });
  await reader.end(TIMES);
  const { outcome } = await collect(reader.queue.drain());
  const { status, message, usage: { cpuTimeMs, memoryPeakBytes } } = outcome;
  assertEquals({ status, message }, { status: "timeout", message: "Job stopped: a" });
  assertEquals({ cpuTimeMs, memoryPeakBytes }, { cpuTimeMs: 5, memoryPeakBytes: 6 });
});

Deno.test("JobResultReader.end() fails the queue when the job was refused", async () => {
  const reader = new JobResultReader(10);
  await reader.read(report(FrameKind.Refused, { code: "bad-module", message: "Cannot x" }));
  await reader.end(TIMES);
  const error = await assertRejects(() => collect(reader.queue.drain()), PlasmError, "Cannot x");
  assertEquals(error.code, "bad-module");
});

Deno.test("JobResultReader.read() replaces the status cancelled by the reason of the stop", async () => {
  const cancelled = { ...FINISHED, status: "cancelled", exitCode: null, message: "Job stopped: b" };
  for (const stops of [true, false]) {
    const reader = new JobResultReader(10);
    if (stops) reader.stop("timeout", "Job stopped: a");
    await reader.read(report(FrameKind.Finished, cancelled));
    await reader.end(TIMES);
    const { outcome } = await collect(reader.queue.drain());
    const { status, message } = outcome;
    assertEquals(
      { status, message },
      stops
        ? { status: "timeout", message: "Job stopped: a" }
        : { status: "cancelled", message: "Job stopped: b" },
    );
  }
});
