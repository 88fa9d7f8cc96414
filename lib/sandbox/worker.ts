/**
 * The Web Worker in which a guest runs: no permissions, no imports but the WASI shim, one message
 * in and one out for each job.
 * @module
 */
import { createWasi, type Wasi } from "./wasi/wasi.ts";
import { OutputWriter } from "./output_ring.ts";
import { type RingBuffers, RingReader } from "./ring.ts";
import { createWorkerHost } from "./worker_host.ts";
import { type ErrorCode, PlasmError } from "../errors.ts";
import type { SandboxInput, SandboxLimits } from "./types.ts";

/** What the worker is sent for a job. */
export interface WorkerJob {
  module: WebAssembly.Module;
  args: string[];
  env: Record<string, string>;
  inputs: SandboxInput[];
  limits: SandboxLimits;
  stdin: RingBuffers;
  output: RingBuffers;
}

/** How the guest ended. */
export type WorkerEnd =
  | { type: "exited"; exitCode: number }
  | { type: "trapped"; reason: string }
  | { type: "output" }
  | { type: "memory"; reason: string }
  | { type: "refused"; code: ErrorCode; reason: string };

/** What the worker answers: that it is there, then the end of each job. */
export type WorkerMessage =
  | { type: "ready" }
  | { type: "end"; end: WorkerEnd; memoryPeakBytes: number };

/** argv[0]: the same everywhere, for a path would tell of the host and change what is proved. */
const PROGRAM_NAME = "main.wasm";

const scope = globalThis as unknown as {
  onmessage: ((event: MessageEvent<WorkerJob>) => void) | null;
  postMessage(message: WorkerMessage): void;
};

// See trapReason().
Error.stackTraceLimit = 1;

scope.onmessage = ({ data: job }) => {
  const output = new OutputWriter(job.output, job.limits.outputBytes);
  const { end, memoryPeakBytes } = runGuest(job, output);
  output.close();
  scope.postMessage({ type: "end", end, memoryPeakBytes });
};
scope.postMessage({ type: "ready" });

function runGuest(
  job: WorkerJob,
  output: OutputWriter,
): { end: WorkerEnd; memoryPeakBytes: number } {
  let memory: WebAssembly.Memory | undefined;
  let wasi: Wasi | undefined;
  let end: WorkerEnd | undefined;
  try {
    wasi = createWasi({
      args: [PROGRAM_NAME, ...job.args],
      env: job.env,
      inputs: job.inputs,
      limits: job.limits,
      host: createWorkerHost(new RingReader(job.stdin), output),
    });
    const stop = createStop();
    const proc_exit = (code: number) => {
      end ??= { type: "exited", exitCode: code >>> 0 };
      stop();
    };
    output.onLimit = () => {
      end ??= { type: "output" };
      stop();
    };
    const instance = new WebAssembly.Instance(job.module, {
      wasi_snapshot_preview1: { ...wasi.imports, proc_exit },
    });
    memory = instance.exports.memory as WebAssembly.Memory;
    wasi.attach(memory);
    (instance.exports._start as () => void)();
    end ??= { type: "exited", exitCode: 0 };
  } catch (error) {
    end ??= endOf(error);
  }
  return {
    end,
    memoryPeakBytes: (memory?.buffer.byteLength ?? 0) + (wasi?.fsPeakBytes ?? 0),
  };
}

// (module (func (export "stop") unreachable))
const STOP = new WebAssembly.Module(Uint8Array.from(
  "\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x08\x01\x04stop\0\0\x0a\x05\x01\x03\0\0\x0b",
  (char) => char.charCodeAt(0),
));

/**
 * A function that ends the guest for good. What JavaScript throws a guest can catch (`catch_all` of
 * the exception handling proposal); a trap it cannot, so this one traps.
 */
function createStop(): () => never {
  return new WebAssembly.Instance(STOP).exports.stop as () => never;
}

function endOf(error: unknown): WorkerEnd {
  if (error instanceof PlasmError) {
    return { type: "refused", code: error.code, reason: error.message };
  }
  if (error instanceof WebAssembly.LinkError) {
    return { type: "refused", code: "bad-module", reason: `Cannot link module: ${error.message}` };
  }
  if (error instanceof WebAssembly.RuntimeError) {
    return { type: "trapped", reason: trapReason(error) };
  }
  if (error instanceof RangeError) {
    // V8 reports both an exhausted stack and memory it could not get as a RangeError.
    return /call stack/i.test(error.message)
      ? { type: "trapped", reason: "call stack exhausted" }
      : { type: "memory", reason: error.message };
  }
  return { type: "trapped", reason: error instanceof Error ? error.message : "uncaught exception" };
}

/**
 * The engine's words and the innermost guest frame, as an index: names belong to the module. They
 * stand before the index and may hold anything, so it is taken from the very end, of one frame.
 */
function trapReason(error: WebAssembly.RuntimeError): string {
  const frame = /(wasm-function\[\d+\]:0x[0-9a-f]+)\)?$/.exec(error.stack ?? "")?.[1];
  return frame === undefined ? error.message : `${error.message} at ${frame}`;
}
