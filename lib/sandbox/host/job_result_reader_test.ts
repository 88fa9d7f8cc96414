import { assertEquals, assertRejects } from "@std/assert";
import { PlasmError } from "../../core/errors/errors.ts";
import { type Frame, FrameKind } from "../ipc/frames.ts";
import { JobResultReader } from "./job_result_reader.ts";
import { collect } from "../../../tests/fixtures/sandbox_jobs.ts";

const TIMES = { startedAt: 0, start: 0 };

function report(kind: number, value: unknown): Frame {
  return { kind, payload: new TextEncoder().encode(JSON.stringify(value)) };
}

const FINISHED = {
  status: "exited",
  exitCode: 0,
  cpuTimeMs: 1,
  memoryPeakBytes: 2,
  reusable: true,
};

Deno.test("JobResultReader.take() refuses what an executor may not say", async () => {
  const refused: [Frame, string][] = [
    [{ kind: FrameKind.Ready, payload: new Uint8Array() }, "a frame of kind 16"],
    [{ kind: FrameKind.Job, payload: new Uint8Array() }, "a frame of kind 1"],
    [{ kind: FrameKind.Stdout, payload: new Uint8Array(11) }, "more output than"],
    [{ kind: FrameKind.Finished, payload: new Uint8Array([1]) }, "not a JSON object"],
    [report(FrameKind.Finished, null), "not a JSON object"],
    [report(FrameKind.Finished, { ...FINISHED, status: "rejected" }), "an unknown status"],
    [report(FrameKind.Finished, { ...FINISHED, exitCode: null }), "not a whole number"],
    [report(FrameKind.Finished, { ...FINISHED, cpuTimeMs: -1 }), "not a whole number"],
    [report(FrameKind.Finished, { ...FINISHED, memoryPeakBytes: 1e300 }), "not a whole number"],
    [report(FrameKind.Usage, { cpuTimeMs: "1" }), "not a whole number"],
    [report(FrameKind.Refused, { code: "nonsense", message: "x" }), "an unknown error code"],
  ];
  for (const [frame, text] of refused) {
    await assertRejects(() => new JobResultReader(10).take(frame), PlasmError, text);
  }
});

Deno.test("JobResultReader.end() gives the reader the outcome", async () => {
  const state = new JobResultReader(10);
  await state.take(report(FrameKind.Finished, FINISHED));
  await state.end(TIMES);
  const { outcome } = await collect(state.queue.drain());
  assertEquals([outcome.status, outcome.exitCode, outcome.usage.cpuTimeMs], ["exited", 0, 1]);
  assertEquals(state.reusable, true);
});

Deno.test("JobResultReader.died() says why we stopped it, with the figures last reported", async () => {
  const state = new JobResultReader(10);
  await state.take(report(FrameKind.Usage, { cpuTimeMs: 5, rssGrowthBytes: 6 }));
  state.stop("timeout", "Job stopped: a");
  state.stop("cancelled", "Job stopped: b");
  state.died({ status: "memory", message: "Job stopped: c" });
  await state.end(TIMES);
  const { outcome } = await collect(state.queue.drain());
  assertEquals([outcome.status, outcome.message], ["timeout", "Job stopped: a"]);
  assertEquals([outcome.usage.cpuTimeMs, outcome.usage.memoryPeakBytes], [5, 6]);
});

Deno.test("JobResultReader.end() gives the reader the refusal as an error", async () => {
  const state = new JobResultReader(10);
  await state.take(report(FrameKind.Refused, { code: "bad-module", message: "Cannot x" }));
  await state.end(TIMES);
  const error = await assertRejects(() => collect(state.queue.drain()), PlasmError, "Cannot x");
  assertEquals(error.code, "bad-module");
});

Deno.test("JobResultReader.take() tells why the process was stopped, which does not know it", async () => {
  const cancelled = { ...FINISHED, status: "cancelled", exitCode: null, message: "Job stopped: b" };
  for (const stops of [true, false]) {
    const state = new JobResultReader(10);
    if (stops) state.stop("timeout", "Job stopped: a");
    await state.take(report(FrameKind.Finished, cancelled));
    await state.end(TIMES);
    const { outcome } = await collect(state.queue.drain());
    const expected = stops ? ["timeout", "Job stopped: a"] : ["cancelled", "Job stopped: b"];
    assertEquals([outcome.status, outcome.message], expected);
  }
});
