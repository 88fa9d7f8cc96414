import { assertThrows } from "@std/assert";
import { PlasmError } from "../../core/errors/errors.ts";
import { checkIpcHeader, CHILD_FRAMES, FrameKind, PARENT_FRAMES } from "./protocol.ts";

Deno.test("checkIpcHeader() rejects a frame above its maximum", () => {
  checkIpcHeader({ kind: FrameKind.Usage, length: 65_536 }, CHILD_FRAMES);
  assertThrows(
    () => checkIpcHeader({ kind: FrameKind.Usage, length: 65_537 }, CHILD_FRAMES),
    PlasmError,
    "Cannot read frame: kind 19 of 65537 bytes, allowed are 65536",
  );
});

Deno.test("checkIpcHeader() rejects a kind that is unknown or belongs to the other side", () => {
  for (const kind of [99, FrameKind.Job]) {
    assertThrows(
      () => checkIpcHeader({ kind, length: 0 }, CHILD_FRAMES),
      PlasmError,
      `kind ${kind} of 0 bytes, allowed are none`,
    );
  }
  assertThrows(() => checkIpcHeader({ kind: FrameKind.Ready, length: 0 }, PARENT_FRAMES));
});
