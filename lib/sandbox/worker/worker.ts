/**
 * Runs guests in a Web Worker without permissions.
 *
 * A job arrives as a message, or in the mailbox if the worker has its module stored. The worker blocks on the
 * mailbox between jobs.
 *
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { fromHex } from "../../util/mod.ts";
import type { NondeterminismSource } from "../../core/mod.ts";
import type { SharedTreePart, WasiHost } from "../../wasi/mod.ts";
import { parseArguments } from "../../wasm/invocation/mod.ts";
import { AbiError } from "../../wasm/component/runtime/mod.ts";
import {
  CAPTURED_FRAMES,
  type GuestCode,
  type GuestExit,
  type MailboxJob,
  MailboxReceiver,
  OutputRingWriter,
  RingReader,
  type WorkerJob,
  type WorkerResult,
} from "../ipc/mod.ts";
import type { CallLocation } from "../job_types.ts";
import { FuelGauge } from "./fuel_gauge.ts";
import { CommandGuest, ComponentGuest, type Guest, type GuestOptions } from "./guest.ts";

/** Message to the main thread: the worker is loaded, or memory in which a guest's files are. */
export type WorkerMessage = { type: "ready" } | {
  type: "files";
  job: number;
  part: SharedTreePart;
};

/** What of a job its guest depends on. */
type GuestJob = Omit<WorkerJob, "key" | "evict" | "mailbox">;

const scope = globalThis as unknown as {
  onmessage: ((event: MessageEvent<WorkerJob>) => void) | null;
  postMessage(message: WorkerMessage): void;
};

Error.stackTraceLimit = CAPTURED_FRAMES;

const modules = new Map<string, GuestCode>();
const decoder = new TextDecoder();
let receiver: MailboxReceiver | undefined;

/** Number of jobs so far. */
let jobs = 0;

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
    const { module: { key }, ...job }: MailboxJob = JSON.parse(decoder.decode(bytes));
    const { argv0, args, invocation, env, limits, outputs, deterministic } = job;
    const module = modules.get(key)!; // the main thread uses the mailbox for stored modules only
    const guest = { argv0, args, invocation, env, limits, outputs, deterministic };
    run({ ...guest, module, inputs: [], stdin, output }, receiver);
  }
};
scope.postMessage({ type: "ready" });

function run(job: GuestJob, receiver: MailboxReceiver): void {
  jobs++;
  const output = new OutputRingWriter(job.output, job.limits.outputBytes);
  receiver.writeResult(runGuest(job, { output, receiver }));
  output.close();
  receiver.publishResult();
}

/** What the guest communicates through. */
interface GuestChannels {
  output: OutputRingWriter;
  receiver: MailboxReceiver;
}

function runGuest(job: GuestJob, { output, receiver }: GuestChannels): WorkerResult {
  const { deterministic } = job;
  const kind = {
    isDeterministic: deterministic !== null,
    isComponent: !(job.module instanceof WebAssembly.Module),
  };
  let guest: Guest | undefined;
  let exit: GuestExit | undefined;
  const fuel = job.limits.fuel === undefined ? undefined : new FuelGauge(job.limits.fuel);
  let isReproducible = true;
  try {
    // Only a job with output files is stopped at a call: they must be collected.
    const isStoppable = job.outputs.length > 0;
    const beforeCall = () => {
      if (fuel !== undefined && fuel.left() < 0n) trap();
      if (!isStoppable || !receiver.isStopRequested) return;
      exit ??= { type: "stopped" };
      trap();
    };
    const end = (reached: GuestExit): never => {
      exit ??= reached;
      return trap();
    };
    const options = {
      args: [job.argv0, ...job.args],
      call: job.invocation === null
        ? undefined
        : { ...job.invocation, values: parseArguments(job.invocation, job.args) },
      env: job.env,
      inputs: job.inputs,
      limits: job.limits,
      deterministic: deterministic === null ? undefined : {
        seed: fromHex(deterministic.seed),
        epochMs: deterministic.epochMs,
      },
      host: createWorkerHost(new RingReader(job.stdin), {
        output,
        receiver,
        beforeCall: isStoppable || job.limits.fuel !== undefined ? beforeCall : undefined,
        exhausted: (reason) => end({ type: "memory", reason }),
      }),
      // A guest that computes at its time limit cannot collect its files itself.
      onSharedTree: isStoppable
        ? (part: SharedTreePart) => scope.postMessage({ type: "files", job: jobs, part })
        : undefined,
      onNondeterminism: (source: NondeterminismSource) => receiver.recordSource(source),
      exit: (code: number): never => {
        if (fuel !== undefined && fuel.left() < 0n) trap();
        return end({ type: "exited", exitCode: code >>> 0 });
      },
      fail: (error: unknown): never => {
        // A trap, which the guest cannot catch.
        if (error instanceof WebAssembly.RuntimeError) throw error;
        isReproducible &&= !(error instanceof RangeError);
        return end(exitOf(error, kind));
      },
      fuel,
    } satisfies GuestOptions;
    output.onLimit = () => end({ type: "output" });
    guest = job.module instanceof WebAssembly.Module
      ? new CommandGuest(job.module, options)
      : new ComponentGuest(job.module, options);
    exit = { type: "exited", exitCode: guest.run() };
  } catch (error) {
    // Where a stack or memory is exhausted depends on the machine.
    isReproducible &&= !(error instanceof RangeError);
    exit ??= exitOf(error, kind);
  }
  if ((exit.type === "exited" || exit.type === "trapped") && (fuel?.left() ?? 0n) < 0n) {
    exit = { type: "fuel" };
  }
  const used = isReproducible && exit.type !== "stopped" && exit.type !== "memory"
    ? usedFuel(fuel, job.limits.fuel)
    : undefined;
  const memoryPeakBytes = guest?.memoryPeakBytes ?? 0;
  const { outputs, limits } = job;
  if (exit.type === "refused" || guest === undefined) {
    return { exit, memoryPeakBytes };
  }
  if (outputs.length > 0) output.beginFiles();
  const { leftBehind, problem, wasFull } = guest.collectOutputs({
    outputs,
    maxBytes: limits.outputFilesBytes,
    write: (data) => output.writeFiles(data),
  });
  if (problem !== undefined) exit = { type: "output-files", reason: problem };
  return { exit, memoryPeakBytes, leftBehind, fuel: used, wasFull };
}

/** Fuel that a guest used, which is the limit at most. */
function usedFuel(fuel: FuelGauge | undefined, limit = 0): number | undefined {
  if (fuel === undefined) return undefined;
  return limit - Math.max(0, Number(fuel.left()));
}

/** Options of {@linkcode createWorkerHost}. */
interface WorkerHostOptions extends GuestChannels, Pick<WasiHost, "exhausted"> {
  beforeCall: (() => void) | undefined;
}

/** Implements the host functions of WASI on rings shared with the main thread. */
function createWorkerHost(
  stdin: RingReader,
  { output, receiver, beforeCall, exhausted }: WorkerHostOptions,
): WasiHost {
  return {
    beforeCall,
    exhausted,
    readStdin(buffer: Uint8Array): number {
      stdin.waitSync(Infinity);
      // A stop ends the input: the guest must not see an end that its source did not have.
      beforeCall?.();
      return stdin.readSome(buffer);
    },
    stdinReady(): { bytes: number; ended: boolean } {
      // Read the flag before the fill: bytes written just before the close must be counted.
      const ended = stdin.closed;
      return { bytes: stdin.fill, ended };
    },
    wait(ms: number, watchStdin: boolean): boolean {
      const isReadable = watchStdin && stdin.waitSync(ms);
      if (!watchStdin) receiver.sleep(ms);
      beforeCall?.();
      return isReadable;
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

/** What of a guest the description of its end depends on. */
interface GuestKind {
  isDeterministic: boolean;
  isComponent: boolean;
}

function exitOf(error: unknown, kind: GuestKind): GuestExit {
  if (error instanceof PlasmError) {
    return { type: "refused", code: error.code, reason: error.message };
  }
  if (error instanceof AbiError) {
    return {
      type: "trapped",
      reason: `component error: ${error.message}`,
      trace: guestTrace(error, kind),
    };
  }
  if (error instanceof WebAssembly.LinkError) {
    return { type: "refused", code: "bad-module", reason: `Cannot link module: ${error.message}` };
  }
  if (error instanceof WebAssembly.RuntimeError) {
    return { type: "trapped", reason: error.message, trace: guestTrace(error, kind) };
  }
  if (error instanceof RangeError) {
    // V8 throws a RangeError both for stack exhaustion and for a failed memory allocation.
    if (!/call stack/i.test(error.message)) {
      return { type: "memory", reason: allocationFailed(error) };
    }
    // The depth at which it happens depends on the machine, while a deterministic job's trap is its own.
    const reason = "call stack exhausted";
    return kind.isDeterministic
      ? { type: "memory", reason }
      : { type: "trapped", reason, trace: guestTrace(error, kind) };
  }
  return { type: "trapped", reason: error instanceof Error ? error.message : "uncaught exception" };
}

function allocationFailed({ message }: RangeError): string {
  return `memory allocation failed: ${message}`;
}

/** A frame of V8's structured stack trace. */
interface CallSite {
  /** URL of the code; those of WebAssembly begin with `wasm:`. */
  getScriptNameOrSourceURL(): string | null;
  /** For WebAssembly the offset in the module, counted from 1. */
  getColumnNumber(): number | null;
}

/** V8's hook that replaces the text of a stack when it is first read. */
const errors = Error as unknown as {
  prepareStackTrace?: ((error: Error, sites: readonly CallSite[]) => unknown) | undefined;
};

/** Name of the code of a core module in a component: `numberSection()` names each by its number. */
const NUMBERED_CODE = /^wasm:\/\/wasm\/(\d+)-[0-9a-f]+$/;

/**
 * The guest's frames in the compiled core modules, innermost first. The text of the stack is not parsed: names in it
 * come from the module and may contain anything.
 */
function guestTrace(error: Error, { isComponent }: GuestKind): CallLocation[] {
  errors.prepareStackTrace = (_, sites) =>
    sites.flatMap((site): CallLocation[] => {
      const code = site.getScriptNameOrSourceURL();
      if (!code?.startsWith("wasm:")) return [];
      const module = isComponent ? NUMBERED_CODE.exec(code)?.[1] : "0";
      return module === undefined
        ? []
        : [{ module: Number(module), offset: (site.getColumnNumber() ?? 0) - 1 }];
    });
  try {
    const trace: unknown = error.stack;
    return Array.isArray(trace) ? trace : [];
  } finally {
    errors.prepareStackTrace = undefined;
  }
}
