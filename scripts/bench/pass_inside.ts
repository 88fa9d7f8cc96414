/**
 * Measures a guest's reads and writes inside an executor: the worker, the ring buffers, and the main thread that
 * fills one and encodes frames from the other. All run in the bench's process, so that no data crosses a process
 * boundary.
 *
 * @module
 */
import { DEFAULT_RESOURCES } from "../../lib/core/manifest.ts";
import { compileModule } from "../../lib/sandbox/child/module_compiler.ts";
import { startGuestWorker, WorkerControl } from "../../lib/sandbox/child/worker_control.ts";
import { FrameKind, MAX_STREAM_BYTES } from "../../lib/sandbox/ipc/protocol.ts";
import { DEFAULT_CEILINGS, limitsOf } from "../../lib/sandbox/limits.ts";
import { FRAME_HEADER_BYTES, parseFrameHeader } from "../../lib/util/mod.ts";

/** Options of {@linkcode passInside}. */
export interface PassInsideOptions {
  /** Module that copies its input and reports on standard error. */
  wasm: string;
  /** Input size in bytes. */
  bytes: number;
}

/** Passes input through a guest and returns its report. */
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
    const receive = (frame: Uint8Array): Promise<void> => {
      const { kind } = parseFrameHeader(frame);
      if (kind === FrameKind.Stderr) report += decoder.decode(frame.slice(FRAME_HEADER_BYTES));
      return Promise.resolve();
    };
    const job = {
      argv0: "main.wasm",
      args: ["pass"],
      invocation: null,
      env: {},
      limits,
      inputs: [],
    };
    worker.start({
      ...job,
      module,
      key: null,
      json: new Uint8Array(),
      onFiles: () => {},
      outputs: [],
      deterministic: null,
    });
    const [{ lastOutput }] = await Promise.all([worker.finish(receive), feed(worker, bytes)]);
    for (const frame of lastOutput) await receive(frame);
    return report;
  } finally {
    guest.worker.terminate();
  }
}

/** Copies bytes to where the child's socket reader would put them. */
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
