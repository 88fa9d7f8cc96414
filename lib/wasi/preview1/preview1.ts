/**
 * WASI preview1 for one job: all functions of the witx over a private in-memory file system.
 *
 * The only access to the host is {@linkcode WasiHost}: three streams and a way to wait. No API of Deno or Node is used,
 * so that it runs in a worker without permissions.
 *
 * @module
 */
import { Clocks, type TimeSource } from "../clock.ts";
import { ERRNO } from "../errno.ts";
import { FileSystem, type FileSystemLimits } from "../fs/file_system.ts";
import { createInputs, type FileInput, type Preopen } from "../fs/inputs.ts";
import { PathLookup } from "../fs/path_lookup.ts";
import { DIRECTORY_RIGHTS, INHERITABLE_RIGHTS, STDIN_RIGHTS, STDOUT_RIGHTS } from "./abi.ts";
import {
  type WasiContext,
  WasiExit,
  type WasiFunction,
  type WasiFunctions,
  type WasiHost,
} from "./call_context.ts";
import { fdDir, fdFile, fdMeta } from "./fd_calls.ts";
import { fdIo } from "./fd_io.ts";
import { FdTable } from "./fd_table.ts";
import { GuestMemory } from "./guest_memory.ts";
import { pathChange, pathOpen, pathStat } from "./path_calls.ts";
import { poll } from "./poll.ts";
import { argsEnv, clock, proc, sock } from "./process_calls.ts";

/** Limits of {@linkcode createWasi}. */
export interface WasiLimits extends FileSystemLimits {
  /** Most open descriptors, including streams and preopens. */
  openFds: number;
}

/** Options of {@linkcode createWasi}. */
export interface WasiOptions {
  /** Arguments, including argv[0]. */
  args: readonly string[];
  /** Environment variables. */
  env: Readonly<Record<string, string>>;
  /** Files and directories that exist when the job starts. */
  inputs: readonly FileInput[];
  /**
   * Whether to preopen the root "/" before the input directories.
   * @default {true}
   */
  preopenRoot?: boolean | undefined;
  /** Limits. */
  limits: WasiLimits;
  /** Host of the job. */
  host: WasiHost;
  /**
   * Source of time.
   * @default {the system's clocks}
   */
  now?: TimeSource | undefined;
}

/** WASI instance of a job. */
export interface Wasi {
  /** Imports for the module name `wasi_snapshot_preview1`. */
  readonly imports: WebAssembly.ModuleImports;
  /** Sets the guest's memory. Until then every pointer is out of bounds (EFAULT). */
  attach(memory: WebAssembly.Memory): void;
  /** Current use of the file system, in bytes. */
  readonly fsBytes: number;
  /** Peak use of the file system, in bytes. */
  readonly fsPeakBytes: number;
}

/**
 * Creates the WASI instance of a job. Descriptor 3 is the root "/", followed by a preopen per input directory.
 *
 * @throws {PlasmError} `bad-input` or `over-limit` if the inputs cannot be created.
 */
export function createWasi(options: WasiOptions): Wasi {
  const clocks = new Clocks(options.now);
  const fs = new FileSystem(options.limits, () => clocks.now());
  const { host, raised } = watchHost(options.host);
  const context: WasiContext = {
    memory: new GuestMemory(),
    fds: new FdTable(options.limits.openFds),
    fs,
    lookup: new PathLookup(),
    clocks,
    host,
  };
  const root: Preopen[] = options.preopenRoot === false ? [] : [{ name: "/", directory: fs.root }];
  openInitial(context, [...root, ...createInputs(fs, options.inputs)]);
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
  const imports: Record<string, WasiFunction> = {};
  for (const family of families) {
    for (const name of Object.keys(family)) imports[name] = guard(family[name]!, raised);
  }
  return {
    imports: imports as WebAssembly.ModuleImports,
    attach: (memory) => context.memory.attach(memory),
    get fsBytes() {
      return fs.bytes;
    },
    get fsPeakBytes() {
      return fs.peakBytes;
    },
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

/** Last exception of the host, which must reach the worker, as opposed to faults in this code. */
interface HostException {
  thrown: unknown;
}

function watchHost(inner: WasiHost): { host: WasiHost; raised: HostException } {
  const raised: HostException = { thrown: undefined };
  const pass = <T>(call: () => T): T => {
    try {
      return call();
    } catch (error) {
      raised.thrown = error;
      throw error;
    }
  };
  const host: WasiHost = {
    readStdin: (buffer) => pass(() => inner.readStdin(buffer)),
    stdinReady: () => pass(() => inner.stdinReady()),
    wait: (ms, watchStdin) => pass(() => inner.wait(ms, watchStdin)),
    write(stream, data) {
      // Written out instead of using pass(): guests may call this a million times a second.
      try {
        inner.write(stream, data);
      } catch (error) {
        raised.thrown = error;
        throw error;
      }
    },
  };
  return { host, raised };
}

/**
 * Last line of defence: converts JavaScript exceptions to an errno, so that the guest can neither catch them nor trap
 * with a host message. Only the guest's exit and exceptions of the host pass through.
 */
function guard(fn: WasiFunction, raised: HostException): WasiFunction {
  return (...args) => {
    try {
      return fn(...args);
    } catch (error) {
      if (error instanceof WasiExit || (error !== undefined && error === raised.thrown)) {
        throw error;
      }
      // RangeError: V8 could not allocate. Anything else is a bug here, reported as an I/O error.
      return error instanceof RangeError ? ERRNO.NOMEM : ERRNO.IO;
    }
  };
}
