/**
 * Implements WASI preview1 for one job: all functions of the witx over a private in-memory file system.
 *
 * The only access to the host is {@linkcode WasiHost}: three streams and a way to wait. No API of Deno or Node is used,
 * so that it runs in a worker without permissions.
 *
 * @module
 */
import {
  DIRECTORY_RIGHTS,
  ERRNO,
  INHERITABLE_RIGHTS,
  STDIN_RIGHTS,
  STDOUT_RIGHTS,
} from "../abi.ts";
import type { Preopen } from "../fs/inputs.ts";
import {
  type CollectedOutputs,
  collectOutputs,
  type CollectOutputsOptions,
} from "../fs/outputs.ts";
import { createJobSystem, type WasiOptions } from "../job_system.ts";
import type { HostException } from "../wasi_host.ts";
import {
  type WasiContext,
  WasiExit,
  type WasiFunction,
  type WasiFunctions,
} from "./call_context.ts";
import { fdDir, fdFile, fdMeta } from "./fd_calls.ts";
import { fdIo } from "./fd_io.ts";
import { FdTable } from "./fd_table.ts";
import { GuestMemory } from "./guest_memory.ts";
import { pathChange, pathOpen, pathStat } from "./path_calls.ts";
import { poll } from "./poll.ts";
import { argsEnv, clock, proc, sock } from "./process_calls.ts";

/** WASI instance of a job. */
export interface Wasi {
  /** Imports for the module name `wasi_snapshot_preview1`. */
  readonly imports: WebAssembly.ModuleImports;
  /** Sets the guest's memory. Until then every pointer is out of bounds (EFAULT). */
  attach(memory: WebAssembly.Memory): void;
  /** Current use of the file system, in bytes. */
  readonly fsBytes: number;
  /** Peak use of the file system in addition to the content of the inputs, in bytes. */
  readonly fsPeakBytes: number;
  /** Writes the job's output files as an archive, after the guest has ended. */
  collectOutputs(options: CollectOutputsOptions): CollectedOutputs;
}

/**
 * Creates the WASI instance of a job. Descriptor 3 is the root "/", followed by a preopen per input directory.
 *
 * @throws {PlasmError} `bad-input` or `over-limit` if the inputs cannot be created.
 */
export function createWasi(options: WasiOptions): Wasi {
  const { deterministic } = options;
  const { system, preopens, raised, inputBytes } = createJobSystem(options);
  const { fs, host } = system;
  const context: WasiContext = {
    ...system,
    memory: new GuestMemory(),
    fds: new FdTable(options.limits.openFds),
  };
  openInitial(context, preopens);
  const families: WasiFunctions[] = [
    argsEnv(context, options),
    clock(context),
    fdIo(context),
    fdMeta(context),
    fdFile(context),
    fdDir(context),
    pathOpen(context),
    pathStat(context),
    pathChange(context),
    poll(context),
    proc(context),
    sock(context),
  ];
  const onRangeError = deterministic === undefined
    ? () => ERRNO.NOMEM
    : ({ message }: RangeError) => host.exhausted(`V8 is out of memory or stack: ${message}`);
  const imports: Record<string, WasiFunction> = {};
  for (const family of families) {
    for (const name of Object.keys(family)) {
      imports[name] = guard(family[name]!, { raised, beforeCall: host.beforeCall, onRangeError });
    }
  }
  return {
    imports: imports as WebAssembly.ModuleImports,
    attach: (memory) => context.memory.attach(memory),
    get fsBytes() {
      return fs.bytes;
    },
    get fsPeakBytes() {
      return fs.peakBytes - inputBytes;
    },
    collectOutputs: (collecting) => collectOutputs(fs, collecting),
  };
}

function openInitial({ fds }: WasiContext, preopens: readonly Preopen[]): void {
  const stream = { inheriting: 0, flags: 0 };
  fds.add({ kind: "stdin", rights: STDIN_RIGHTS, ...stream });
  fds.add({ kind: "stdout", rights: STDOUT_RIGHTS, ...stream });
  fds.add({ kind: "stderr", rights: STDOUT_RIGHTS, ...stream });
  const encoder = new TextEncoder();
  for (const { name, directory } of preopens) {
    fds.add({
      kind: "directory",
      inode: directory,
      rights: DIRECTORY_RIGHTS,
      inheriting: INHERITABLE_RIGHTS,
      flags: 0,
      preopen: encoder.encode(name),
    });
  }
}

/** Options of {@linkcode guard}. */
interface GuardOptions {
  /** Last exception of the host. */
  raised: HostException;
  /** See {@linkcode WasiHost.beforeCall}. */
  beforeCall: (() => void) | undefined;
  /** Handles a failed allocation or an exhausted stack of V8; returns an errno. */
  onRangeError: (error: RangeError) => number;
}

/**
 * Last line of defence: converts JavaScript exceptions to an errno, so that the guest can neither catch them nor trap
 * with a host message. Only the guest's exit and exceptions of the host pass through.
 */
function guard(fn: WasiFunction, { raised, beforeCall, onRangeError }: GuardOptions): WasiFunction {
  return (...args) => {
    beforeCall?.();
    try {
      return fn(...args);
    } catch (error) {
      if (error instanceof WasiExit || (error !== undefined && error === raised.thrown)) {
        throw error;
      }
      // Anything but a RangeError is a bug here, reported as an I/O error.
      return error instanceof RangeError ? onRangeError(error) : ERRNO.IO;
    }
  };
}
