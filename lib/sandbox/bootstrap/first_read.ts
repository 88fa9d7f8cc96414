/**
 * The first that an executor does, before the rest of it is loaded. All that starts loads this too, so it
 * imports nothing large.
 * @module
 */
import { FrameKind } from "./frame_kind.ts";

/** A frame without a payload. */
const ALIVE = Uint8Array.of(FrameKind.Alive, 0, 0, 0, 0);

/** Bytes that are read at once: what a pipe holds, and so all of a small job. */
const AHEAD_BYTES = 64 * 1024;

/** The first read of a pipe. */
export interface InitialRead {
  /** Where it goes. */
  bytes: Uint8Array;
  /** How many bytes came; null when the parent has gone. */
  count: Promise<number | null>;
}

/** Tells the parent by the pipe that there is a process, and begins to read what it may have sent by then. */
export function bootstrapExecutor(): InitialRead {
  Deno.stdout.writeSync(ALIVE);
  const bytes = new Uint8Array(AHEAD_BYTES);
  return { bytes, count: Deno.stdin.read(bytes) };
}
