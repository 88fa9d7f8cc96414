import { assert, assertEquals, assertRejects } from "@std/assert";
import { PlasmError } from "../../core/errors/errors.ts";
import { FrameKind, type IpcFrame } from "../ipc/protocol.ts";
import { describeExitStatus, GrowthTracker, JobResultReader } from "./job_result_reader.ts";
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
  nondeterminism: ["clock", "random"],
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
    ...[undefined, "clock", ["random", "clock"], ["clock", "clock"], ["weather"]].map((
      nondeterminism,
    ): [IpcFrame, string] => [
      report(FrameKind.Finished, { ...FINISHED, nondeterminism }),
      "sources of nondeterminism",
    ]),
    [report(FrameKind.Usage, { cpuTimeMs: "1" }), "not a non-negative integer"],
    [report(FrameKind.Refused, { code: "nonsense", message: "x" }), "an unknown error code"],
  ];
  for (const [frame, text] of invalid) {
    await assertRejects(() => new JobResultReader(10).read(frame), PlasmError, text);
  }
});

Deno.test("JobResultReader.read() rejects a wrong figure of fuel", async () => {
  const read = async (limit: number | undefined, changes: Record<string, unknown>) => {
    const reader = new JobResultReader(10, { fuel: limit });
    await reader.read(report(FrameKind.Finished, { ...FINISHED, ...changes }));
    await reader.end(TIMES);
    return (await collect(reader.queue.drain())).outcome.fuel;
  };
  const usedUp = { status: "fuel", exitCode: null };
  for (
    const [limit, changes, text] of [
      [undefined, { fuel: 0 }, "more fuel than its job has"],
      [100, { fuel: 101 }, "more fuel than its job has"],
      [100, { fuel: -1 }, "not a non-negative integer"],
      [100, { fuel: 0.5 }, "not a non-negative integer"],
      [100, { fuel: "1" }, "not a non-negative integer"],
      [100, { fuel: null }, "not a non-negative integer"],
      [100, {}, "no fuel, but its job exited"],
      [100, { ...usedUp, fuel: 99 }, "less fuel than its job has used up"],
      [100, { ...usedUp, fuel: 101 }, "less fuel than its job has used up"],
      [100, usedUp, "less fuel than its job has used up"],
    ] as const
  ) {
    const error = await assertRejects(() => read(limit, changes), PlasmError, text);
    assertEquals(error.code, "executor");
  }
  assertEquals(await read(100, { fuel: 0 }), 0);
  assertEquals(await read(100, { fuel: 100 }), 100);
  assertEquals(await read(100, { ...usedUp, fuel: 100 }), 100);
  assertEquals(await read(100, { status: "timeout", exitCode: null }), undefined);
});

Deno.test("JobResultReader.end() queues the outcome", async () => {
  const reader = new JobResultReader(10);
  await reader.read(report(FrameKind.Finished, FINISHED));
  await reader.end(TIMES);
  const { outcome } = await collect(reader.queue.drain());
  const { status, exitCode, nondeterminism, usage: { cpuTimeMs } } = outcome;
  assertEquals({ status, exitCode, nondeterminism, cpuTimeMs }, {
    status: "exited",
    exitCode: 0,
    nondeterminism: ["clock", "random"],
    cpuTimeMs: 1,
  });
  assertEquals(reader.reusable, true);
});

Deno.test("JobResultReader.exited() reports the reason of the stop and the last figures", async () => {
  const reader = new JobResultReader(10);
  await reader.read(
    report(FrameKind.Usage, { cpuTimeMs: 5, rssGrowthBytes: 6, nondeterminism: ["poll"] }),
  );
  reader.stop("timeout", "Job stopped: a");
  reader.stop("cancelled", "Job stopped: b");
  reader.exited({ status: "memory", message: "Job stopped: c" });
  await reader.end(TIMES);
  const { outcome } = await collect(reader.queue.drain());
  const { status, message, usage: { cpuTimeMs, memoryPeakBytes } } = outcome;
  assertEquals({ status, message }, { status: "timeout", message: "Job stopped: a" });
  assertEquals({ cpuTimeMs, memoryPeakBytes }, { cpuTimeMs: 5, memoryPeakBytes: 6 });
  assertEquals(outcome.nondeterminism, ["poll"]);
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

Deno.test("JobResultReader.exited() fails the queue when the job has no result", async () => {
  const reader = new JobResultReader(10);
  reader.exited(new PlasmError("executor", "Lost job: d"));
  await reader.end(TIMES);
  assertEquals({ finished: reader.finished, refused: reader.refused }, {
    finished: true,
    refused: false,
  });
  await assertRejects(() => collect(reader.queue.drain()), PlasmError, "Lost job: d");
});

Deno.test("describeExitStatus() blames memory for a SIGKILL only when the process was growing", () => {
  const describe = (
    { signal = null, code = 1, stderr = "", isGrowing = false }: {
      signal?: Deno.Signal | null;
      code?: number;
      stderr?: string;
      isGrowing?: boolean;
    },
  ): string => {
    const reason = describeExitStatus({ success: false, code, signal }, { stderr, isGrowing });
    return reason instanceof PlasmError ? reason.code : reason.status;
  };
  assertEquals(describe({ signal: "SIGKILL" }), "executor");
  assertEquals(describe({ signal: "SIGKILL", isGrowing: true }), "memory");
  assertEquals(describe({ signal: "SIGKILL", stderr: "Fatal JavaScript out of memory" }), "memory");
  assertEquals(describe({ signal: "SIGTRAP", stderr: "Fatal JavaScript out of memory" }), "memory");
  assertEquals(describe({ signal: "SIGXCPU" }), "timeout");
  assertEquals(describe({ signal: "SIGSEGV", isGrowing: true }), "trapped");
  assertEquals(describe({ code: 3, isGrowing: true }), "trapped");
});

Deno.test("GrowthTracker.isGrowing compares the last sample with the start of the period", () => {
  const MB = 2 ** 20;
  const growing = (...samples: [at: number, mb: number][]): boolean => {
    const tracker = new GrowthTracker();
    for (const [at, mb] of samples) tracker.add({ at, bytes: mb * MB });
    return tracker.isGrowing;
  };
  assert(!growing());
  assert(growing([1000, 32]));
  assert(!growing([1000, 31]));
  // Large, but no longer growing.
  assert(!growing([1000, 900], [1100, 900], [1500, 905], [1600, 910], [2000, 910]));
  assert(growing([1000, 900], [1100, 910], [1500, 930], [1650, 945]));
  assert(!growing([1000, 900], [1600, 900], [1700, 400]));
});
