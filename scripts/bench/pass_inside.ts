/**
 * What a guest reads and writes on its way through the inside of an executor: its worker, the rings, and
 * the main thread that fills one and makes frames of the other. Here they are in the bench's process, so
 * that nothing crosses a process's boundary.
 *
 * @module
 */
import { DEFAULT_RESOURCES } from "../../lib/core/manifest.ts";
import { compileModule } from "../../lib/sandbox/child/compile_module.ts";
import { startGuestWorker, WorkerControl } from "../../lib/sandbox/child/worker_control.ts";
import {
  FRAME_HEADER_BYTES,
  FrameKind,
  MAX_STREAM_BYTES,
  parseFrameHeader,
} from "../../lib/sandbox/ipc/protocol.ts";
import { DEFAULT_CEILINGS, limitsOf } from "../../lib/sandbox/limits.ts";

/** Options of {@linkcode passInside}. */
export interface PassInsideOptions {
  /** The module's file: a program that copies its input, and reports on standard error. */
  wasm: string;
  /** Bytes of its input. */
  bytes: number;
}

/** Passes so many bytes through a guest; gives what it reports. */
export async function passInside({ wasm, bytes }: PassInsideOptions): Promise<string> {
  const compiled = await compileModule(await Deno.readFile(wasm));
  if (!("module" in compiled)) throw new Error(compiled.message);
  const { module } = compiled;
  const guest = startGuestWorker();
  const worker = new WorkerControl(guest);
  try {
    await worker.ready;
    const limits = limitsOf({ ...DEFAULT_RESOURCES, timeout_seconds: 600 }, DEFAULT_CEILINGS);
    const decoder = new TextDecoder();
    let report = "";
    const take = (frame: Uint8Array): Promise<void> => {
      const { kind } = parseFrameHeader(frame);
      if (kind === FrameKind.Stderr) report += decoder.decode(frame.slice(FRAME_HEADER_BYTES));
      return Promise.resolve();
    };
    const job = { args: ["pass"], env: {}, limits, inputs: [] };
    worker.start({ ...job, module, key: null, json: new Uint8Array() });
    const [{ lastOutput }] = await Promise.all([worker.finish(take), feed(worker, bytes)]);
    for (const frame of lastOutput) await take(frame);
    return report;
  } finally {
    guest.worker.terminate();
  }
}

/** Puts bytes where the executor has its socket put them. */
async function feed(worker: WorkerControl, bytes: number): Promise<void> {
  const piece = new Uint8Array(MAX_STREAM_BYTES);
  for (let left = bytes; left > 0;) {
    const room = await worker.reserveStdin();
    if (room === undefined) return;
    const count = Math.min(room.length, piece.length, left);
    room.set(piece.subarray(0, count));
    worker.commitStdin(count);
    left -= count;
  }
  worker.endStdin();
}
