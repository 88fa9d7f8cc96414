/**
 * Web Worker in which a guest runs, without permissions.
 *
 * A job arrives as a message, or in the mailbox if the worker has its module stored. The worker blocks on the
 * mailbox between jobs.
 *
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { createWasi, type Wasi, type WasiHost } from "../../wasi/mod.ts";
import {
  type GuestExit,
  type MailboxJob,
  MailboxReceiver,
  OutputRingWriter,
  RingReader,
  type WorkerJob,
  type WorkerResult,
} from "../ipc/mod.ts";

/** Message to the main thread when the worker is loaded. */
export type ReadyMessage = { type: "ready" };

/** What of a job its guest depends on. */
type GuestJob = Omit<WorkerJob, "key" | "evict" | "mailbox">;

/** The guest's argv[0]: the same on every node, because it is visible to the guest and can affect its output. */
const PROGRAM_NAME = "main.wasm";

const scope = globalThis as unknown as {
  onmessage: ((event: MessageEvent<WorkerJob>) => void) | null;
  postMessage(message: ReadyMessage): void;
};

// trapReason() needs the innermost frame only.
Error.stackTraceLimit = 1;

const modules = new Map<string, WebAssembly.Module>();
const decoder = new TextDecoder();
let receiver: MailboxReceiver | undefined;

scope.onmessage = ({ data: job }) => {
  for (const key of job.evict) modules.delete(key);
  if (job.key !== null) modules.set(job.key, job.module);
  const { stdin, output, mailbox } = job;
  receiver ??= new MailboxReceiver(mailbox);
  run(job, receiver);
  // The message retains the files of its job until this function returns.
  if (job.inputs.length > 0) return;
  let bytes: Uint8Array | undefined;
  while ((bytes = receiver.receive()) !== undefined) {
    const { module: { key }, args, env, limits }: MailboxJob = JSON.parse(decoder.decode(bytes));
    const module = modules.get(key)!; // the main thread uses the mailbox for stored modules only
    run({ args, env, limits, module, inputs: [], stdin, output }, receiver);
  }
};
scope.postMessage({ type: "ready" });

function run(job: GuestJob, receiver: MailboxReceiver): void {
  const output = new OutputRingWriter(job.output, job.limits.outputBytes);
  receiver.writeResult(runGuest(job, output));
  output.close();
  receiver.publishResult();
}

function runGuest(job: GuestJob, output: OutputRingWriter): WorkerResult {
  let memory: WebAssembly.Memory | undefined;
  let wasi: Wasi | undefined;
  let exit: GuestExit | undefined;
  try {
    wasi = createWasi({
      args: [PROGRAM_NAME, ...job.args],
      env: job.env,
      inputs: job.inputs,
      limits: job.limits,
      host: createWorkerHost(new RingReader(job.stdin), output),
    });
    const proc_exit = (code: number) => {
      exit ??= { type: "exited", exitCode: code >>> 0 };
      trap();
    };
    output.onLimit = () => {
      exit ??= { type: "output" };
      trap();
    };
    const instance = new WebAssembly.Instance(job.module, {
      wasi_snapshot_preview1: { ...wasi.imports, proc_exit },
    });
    memory = instance.exports.memory as WebAssembly.Memory;
    wasi.attach(memory);
    (instance.exports._start as () => void)();
    exit ??= { type: "exited", exitCode: 0 };
  } catch (error) {
    exit ??= exitOf(error);
  }
  return {
    exit,
    memoryPeakBytes: (memory?.buffer.byteLength ?? 0) + (wasi?.fsPeakBytes ?? 0),
  };
}

/** Implements the host functions of WASI on rings shared with the main thread. */
function createWorkerHost(stdin: RingReader, output: OutputRingWriter): WasiHost {
  // Waiting on a word that is never notified sleeps without using CPU.
  const sleepWord = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  return {
    readStdin(buffer: Uint8Array): number {
      stdin.waitSync(Infinity);
      return stdin.readSome(buffer);
    },
    stdinReady(): { bytes: number; ended: boolean } {
      // Read the flag before the fill: bytes written just before the close must be counted.
      const ended = stdin.closed;
      return { bytes: stdin.fill, ended };
    },
    wait(ms: number, watchStdin: boolean): boolean {
      if (watchStdin) return stdin.waitSync(ms);
      Atomics.wait(sleepWord, 0, 0, ms);
      return false;
    },
    write: (stream, data): void => output.write(stream, data),
  };
}

// (module (func (export "trap") unreachable))
const TRAP = new WebAssembly.Module(Uint8Array.from(
  "\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x08\x01\x04trap\0\0\x0a\x05\x01\x03\0\0\x0b",
  (char) => char.charCodeAt(0),
));

/**
 * Ends the guest by a trap, which it cannot catch. It could catch a JavaScript exception with `catch_all` of the
 * exception handling proposal.
 */
const trap = new WebAssembly.Instance(TRAP).exports.trap as () => never;

function exitOf(error: unknown): GuestExit {
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
    // V8 throws a RangeError both for stack exhaustion and for a failed memory allocation.
    return /call stack/i.test(error.message)
      ? { type: "trapped", reason: "call stack exhausted" }
      : { type: "memory", reason: error.message };
  }
  return { type: "trapped", reason: error instanceof Error ? error.message : "uncaught exception" };
}

/**
 * V8's message and the innermost guest frame by index. Function names in the stack come from the module and may
 * contain anything, so the frame is parsed from the end of the only line.
 */
function trapReason(error: WebAssembly.RuntimeError): string {
  const frame = /(wasm-function\[\d+\]:0x[0-9a-f]+)\)?$/.exec(error.stack ?? "")?.[1];
  return frame === undefined ? error.message : `${error.message} at ${frame}`;
}
