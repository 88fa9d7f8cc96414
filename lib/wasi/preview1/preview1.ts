/**
 * WASI preview1 for one job: all functions of the witx over a private in-memory tree.
 *
 * Nothing of the host is behind it but what {@linkcode WasiHost} says: three streams and a way to
 * wait. It uses no API of Deno or Node, so that it runs in a worker without permissions.
 * @module
 */
import { Clocks, type TimeSource } from "../clock.ts";
import { ERRNO } from "../errno.ts";
import { FileSystem, type FileSystemLimits } from "../fs/file_system.ts";
import { type FileInput, placeInputs, type Preopen } from "../fs/inputs.ts";
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

/** Caps of {@linkcode createWasi}. */
export interface WasiLimits extends FileSystemLimits {
  /** Descriptors open at once, streams and preopens included. */
  openFds: number;
}

/** Options of {@linkcode createWasi}. */
export interface WasiOptions {
  /** Arguments, argv[0] included. */
  args: readonly string[];
  /** The whole environment. */
  env: Readonly<Record<string, string>>;
  /** Files and directories in the job's tree; see {@linkcode FileInput}. */
  inputs: readonly FileInput[];
  /**
   * Whether the root is a preopen ("/", the first). Without it only input directories are.
   * @default {true}
   */
  preopenRoot?: boolean | undefined;
  /** Caps. */
  limits: WasiLimits;
  /** The worker around. */
  host: WasiHost;
  /**
   * Where time comes from.
   * @default {the system's clocks}
   */
  now?: TimeSource | undefined;
}

/** A job's WASI. */
export interface Wasi {
  /** What to import as `wasi_snapshot_preview1`. */
  readonly imports: WebAssembly.ModuleImports;
  /** Sets the guest's memory; until then every pointer is outside (EFAULT). */
  attach(memory: WebAssembly.Memory): void;
  /** What the tree takes of its cap now, in bytes. */
  readonly fsBytes: number;
  /** The most it took at once, in bytes. */
  readonly fsPeakBytes: number;
}

/**
 * Makes the WASI of one job. The root "/" is descriptor 3; each input directory is a further preopen.
 *
 * @throws {PlasmError} `bad-input` or `over-limit` if the inputs cannot be placed.
 */
export function createWasi(options: WasiOptions): Wasi {
  const clocks = new Clocks(options.now);
  const fs = new FileSystem(options.limits, () => clocks.now());
  const { host, trap } = watchHost(options.host);
  const context: WasiContext = {
    memory: new GuestMemory(),
    fds: new FdTable(options.limits.openFds),
    fs,
    lookup: new PathLookup(),
    clocks,
    host,
  };
  const root: Preopen[] = options.preopenRoot === false ? [] : [{ name: "/", directory: fs.root }];
  openInitial(context, [...root, ...placeInputs(fs, options.inputs)]);
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
    for (const name of Object.keys(family)) imports[name] = guard(family[name]!, trap);
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

/** Tells what the host threw, and so wants to reach the worker, from faults of the shim itself. */
interface HostTrap {
  thrown: unknown;
}

function watchHost(inner: WasiHost): { host: WasiHost; trap: HostTrap } {
  const trap: HostTrap = { thrown: undefined };
  const pass = <T>(call: () => T): T => {
    try {
      return call();
    } catch (error) {
      trap.thrown = error;
      throw error;
    }
  };
  const host: WasiHost = {
    readStdin: (buffer) => pass(() => inner.readStdin(buffer)),
    stdinReady: () => pass(() => inner.stdinReady()),
    wait: (ms, watchStdin) => pass(() => inner.wait(ms, watchStdin)),
    write(stream, data) {
      // Not through pass(): this is called a million times a second.
      try {
        inner.write(stream, data);
      } catch (error) {
        trap.thrown = error;
        throw error;
      }
    },
  };
  return { host, trap };
}

/**
 * The last line of defence: no exception of JavaScript may reach the guest as an exception or a
 * trap with the host's words. Only an exit and what the host threw pass.
 */
function guard(fn: WasiFunction, trap: HostTrap): WasiFunction {
  return (...args) => {
    try {
      return fn(...args);
    } catch (error) {
      if (error instanceof WasiExit || (error !== undefined && error === trap.thrown)) throw error;
      // An allocation that V8 refused; anything else is a fault here, and told as one of I/O.
      return error instanceof RangeError ? ERRNO.NOMEM : ERRNO.IO;
    }
  };
}
