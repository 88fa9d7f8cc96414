/**
 * The Web Worker in which a guest runs: no permissions, no imports but the WASI shim. A job comes as a
 * message, or, where its module has come before, through shared memory on which the thread then waits.
 * @module
 */
import { createWasi, type Wasi } from "../../wasi/mod.ts";
import {
  type MailboxBuffers,
  MailboxReceiver,
  OutputRingWriter,
  type RingBuffers,
  RingReader,
} from "../ipc/mod.ts";
import { createWorkerHost } from "./worker_host.ts";
import { type ErrorCode, PlasmError } from "../../core/errors/mod.ts";
import type { FileInput, SandboxLimits } from "../job_types.ts";

/** A job that is run. */
interface GuestJob {
  module: WebAssembly.Module;
  args: string[];
  env: Record<string, string>;
  inputs: FileInput[];
  limits: SandboxLimits;
  stdin: RingBuffers;
  output: RingBuffers;
}

/** What the worker is sent for a job. */
export interface WorkerJob extends GuestJob {
  /** By what the module is kept for jobs in shared memory; null: it is not. */
  key: string | null;
  /** Keys of modules to let go of. */
  forget: readonly string[];
  slot: MailboxBuffers;
}

/** What a job in shared memory says, as JSON: of the parent's `JobHeader` what concerns the guest. */
interface SlotJob extends Pick<GuestJob, "args" | "env" | "limits"> {
  module: { key: string };
}

/** How the guest ended. */
export type WorkerEnd =
  | { type: "exited"; exitCode: number }
  | { type: "trapped"; reason: string }
  | { type: "output" }
  | { type: "memory"; reason: string }
  | { type: "refused"; code: ErrorCode; reason: string };

/** How a job in the worker ended. */
export interface WorkerResult {
  end: WorkerEnd;
  memoryPeakBytes: number;
}

/** The one message from the worker: that it is there. */
export type WorkerMessage = { type: "ready" };

/** argv[0]: the same everywhere, for a path would tell of the host and change what is proved. */
const PROGRAM_NAME = "main.wasm";

const scope = globalThis as unknown as {
  onmessage: ((event: MessageEvent<WorkerJob>) => void) | null;
  postMessage(message: WorkerMessage): void;
};

// See trapReason().
Error.stackTraceLimit = 1;

const modules = new Map<string, WebAssembly.Module>();
const decoder = new TextDecoder();
let taker: MailboxReceiver | undefined;

scope.onmessage = ({ data: job }) => {
  for (const key of job.forget) modules.delete(key);
  if (job.key !== null) modules.set(job.key, job.module);
  const { stdin, output, slot } = job;
  taker ??= new MailboxReceiver(slot);
  run(job, taker);
  // The files of a job are held by its message, as long as this function runs.
  if (job.inputs.length > 0) return;
  for (let bytes = taker.take(); bytes !== undefined; bytes = taker.take()) {
    const { module: { key }, args, env, limits }: SlotJob = JSON.parse(decoder.decode(bytes));
    const module = modules.get(key)!; // only what was sent before is given so
    run({ args, env, limits, module, inputs: [], stdin, output }, taker);
  }
};
scope.postMessage({ type: "ready" });

function run(job: GuestJob, taker: MailboxReceiver): void {
  const output = new OutputRingWriter(job.output, job.limits.outputBytes);
  taker.putEnd(runGuest(job, output));
  output.close();
  taker.tell();
}

function runGuest(job: GuestJob, output: OutputRingWriter): WorkerResult {
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
 * Ends the guest for good. What JavaScript throws a guest can catch (`catch_all` of the exception handling
 * proposal); a trap it cannot, so this one traps.
 */
const stop = new WebAssembly.Instance(STOP).exports.stop as () => never;

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
