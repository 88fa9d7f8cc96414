/**
 * How an executor process is started: the same program again, with nothing that it does not need.
 * @module
 */
import { canBatch, confine, confinement, FULL_CONFINEMENT } from "./confinement.ts";
import { SOCKET_NAME } from "../ipc_listener.ts";
import { EXECUTOR_COMMAND } from "../../bootstrap/mod.ts";
import { canKeep, hiddenFromExecutors, hide, KEPT_DIR } from "./mount_masking.ts";

/**
 * V8 flag of the child process, baked into the compiled binary: the first 32 functions of a module that are not
 * imported are compiled by the optimizing compiler on first call, one per bit of the mask, and the others by
 * the baseline compiler. `lib/wasm/reorder` moves the hot functions there (docs/adr/0002).
 */
export const TIER_MASK_FLAG = "--wasm-tier-mask-for-testing=-1";

/** Options of {@linkcode executorCommand}. */
export interface ExecutorCommandOptions {
  /** Memory that jobs of this executor may use at most, in bytes. */
  maxMemoryBytes: number;
  /** The directory of the socket on which the parent waits. @default {the process's pipes} */
  doorDir?: string | undefined;
  /** Whether to take for granted that the system allows all of it. @default {false} */
  assumesConfinement?: boolean | undefined;
}

/** The command that becomes an executor, confined as far as the system allows. */
export function executorCommand(options: ExecutorCommandOptions): string[] {
  const { doorDir } = options;
  const possible = options.assumesConfinement ? FULL_CONFINEMENT : confinement();
  if (possible === undefined) return ["/proc/self/exe", ...ownArguments(doorDir)];
  // Another user namespace may not look at this process, so there the program goes by name; one
  // whose file an upgrade has replaced has no name any more.
  const namespaces = possible.namespaces && isFile(Deno.execPath());
  const hidden = namespaces ? hiddenFromExecutors() : [];
  const isHidden = hidden.length > 0;
  return [
    ...hide(hidden, canKeep() ? doorDir : undefined),
    ...confine({ ...possible, namespaces }, {
      dataBytes: options.maxMemoryBytes,
      keepUser: !Deno.build.standalone,
      // One that is waited for, as without a socket, saves the millisecond that it takes.
      isBatch: doorDir !== undefined && canBatch(),
    }),
    namespaces ? Deno.execPath() : ownProgram(),
    ...ownArguments(isHidden && doorDir !== undefined ? keptDir() : doorDir),
  ];
}

/** Where the executor finds the directory of the socket behind those that are hidden. */
function keptDir(): string | undefined {
  return canKeep() ? KEPT_DIR : undefined;
}

function ownArguments(doorDir: string | undefined): string[] {
  const door = doorDir === undefined ? [] : [`${doorDir}/${SOCKET_NAME}`];
  return [...(Deno.build.standalone ? [EXECUTOR_COMMAND] : sourceArguments(door)), ...door];
}

let own: string | undefined;

/**
 * This program, as another process can start it: in setpriv /proc/self/exe would be setpriv. By pid
 * it outlives an upgrade of the file, but under an emulator that is the emulator; then it is by name.
 */
function ownProgram(): string {
  return own ??= isEmulated() ? Deno.execPath() : `/proc/${Deno.pid}/exe`;
}

/** From source, and where the runtime refuses to look into /proc, the answer is no. */
function isEmulated(): boolean {
  if (!Deno.build.standalone) return false;
  try {
    const running = Deno.statSync(`/proc/${Deno.pid}/exe`);
    const named = Deno.statSync(Deno.execPath());
    return running.ino !== named.ino || running.dev !== named.dev;
  } catch {
    return false;
  }
}

function sourceArguments(door: string[]): string[] {
  // The worker's modules are loaded at run time, which takes read permission; dropped afterwards.
  const lib = new URL("../../../", import.meta.url);
  return [
    "run",
    "--quiet",
    "--no-prompt",
    "--no-lock",
    "--no-config",
    "--unstable-worker-options",
    // The compiled binary has them baked in.
    `--v8-flags=${TIER_MASK_FLAG}`,
    ...(lib.protocol === "file:" ? [`--allow-read=${decodeURIComponent(lib.pathname)}`] : []),
    ...door.flatMap((path) => [`--allow-read=${path}`, `--allow-write=${path}`]),
    ...door.filter(() => asksForNet()).map((path) => `--allow-net=unix:${path}`),
    new URL("../../child/executor_main.ts", import.meta.url).href,
  ];
}

/** Whether this Deno asks for network permission too before it opens a unix socket, as it does since 2.9. */
function asksForNet(): boolean {
  const [major, minor] = Deno.version.deno.split(".").map(Number);
  return major! > 2 || minor! >= 9;
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}
