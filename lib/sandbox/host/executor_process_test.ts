import { assertEquals, assertRejects } from "@std/assert";
import { PlasmError } from "../../core/errors/errors.ts";
import { FrameKind, type IpcFrame } from "../ipc/protocol.ts";
import { StartHandshake } from "./executor_process.ts";

/** Handshake with a process that sends frames of these kinds and ends. */
function handshake(...kinds: number[]): StartHandshake {
  const frames = kinds.map((kind): IpcFrame => ({ kind, payload: new Uint8Array() }));
  return new StartHandshake({
    next: () => Promise.resolve(frames.shift()),
    kill: () => {},
    reason: () => Promise.resolve("reason"),
  });
}

Deno.test("StartHandshake.alive() resolves to whether the process is ready too", async () => {
  const both = handshake(FrameKind.Alive, FrameKind.Ready);
  assertEquals(await both.alive(), false);
  await both.ready();
  const atOnce = handshake(FrameKind.Ready);
  assertEquals(await atOnce.alive(), true);
  await atOnce.ready();
});

Deno.test("StartHandshake.ready() resolves when called several times", async () => {
  const start = handshake(FrameKind.Alive, FrameKind.Ready);
  await Promise.all([start.ready(), start.ready(), start.alive()]);
  await start.ready();
});

Deno.test("StartHandshake.ready() rejects when the process sends other frames", async () => {
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
      () => handshake(...kinds).ready(),
      PlasmError,
      "Cannot start executor: reason",
    );
    assertEquals(error.code, "executor", `${kinds}`);
  }
});
