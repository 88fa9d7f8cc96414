import { assertEquals, assertRejects } from "@std/assert";
import { PlasmError } from "../../core/errors/errors.ts";
import { ExecutorStart } from "./executor_start.ts";
import { type Frame, FrameKind } from "../ipc/frames.ts";

/** What a process says that sends frames of these kinds, then ends. */
function startOf(...kinds: number[]): ExecutorStart {
  async function* frames(): AsyncGenerator<Frame, void, void> {
    for (const kind of kinds) yield { kind, payload: new Uint8Array() } as Frame;
  }
  return new ExecutorStart({
    frames: frames(),
    end: () => {},
    reason: () => Promise.resolve("it said so"),
  });
}

Deno.test("ExecutorStart.alive() tells whether the process is ready too", async () => {
  const both = startOf(FrameKind.Alive, FrameKind.Ready);
  assertEquals(await both.alive(), false);
  await both.ready();
  const atOnce = startOf(FrameKind.Ready);
  assertEquals(await atOnce.alive(), true);
  await atOnce.ready();
});

Deno.test("ExecutorStart.ready() may be asked for any number of times", async () => {
  const start = startOf(FrameKind.Alive, FrameKind.Ready);
  await Promise.all([start.ready(), start.ready(), start.alive()]);
  await start.ready();
});

Deno.test("ExecutorStart.ready() rejects what is no start", async () => {
  for (
    const kinds of [
      [],
      [FrameKind.Alive],
      [FrameKind.Alive, FrameKind.Alive],
      [FrameKind.Stdout],
      [FrameKind.Finished],
      [FrameKind.Alive, FrameKind.Finished],
    ]
  ) {
    const error = await assertRejects(
      () => startOf(...kinds).ready(),
      PlasmError,
      "Cannot start executor: it said so",
    );
    assertEquals(error.code, "executor", `${kinds}`);
  }
});
