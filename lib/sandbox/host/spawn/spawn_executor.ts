/**
 * Starts an executor process: the same program again, confined as far as the system allows.
 *
 * @module
 */
import { EXECUTOR_COMMAND } from "../../bootstrap/mod.ts";
import {
  canExposeDir,
  canUseBatchScheduling,
  confineCommand,
  type Confinement,
  EXPOSED_DIR,
  FULL_CONFINEMENT,
  maskCommand,
  maskedDirs,
  probeConfinement,
} from "./confinement.ts";

/**
 * V8 flag of the child process, baked into the compiled binary: the first 32 functions of a module that are not
 * imported are compiled by the optimizing compiler on first call, one per bit of the mask, and the others by
 * the baseline compiler. `lib/wasm/reorder` moves the hot functions there (docs/adr/0002).
 */
export const TIER_MASK_FLAG = "--wasm-tier-mask-for-testing=-1";

/**
 * All V8 flags of the child process, baked into the compiled binary. Figures: docs/adr/0016-fuel.md.
 *
 * - V8 limits inlining by the size of functions, which counted instructions enlarge.
 * - With V8's default of 3,000 calls, it spends as much time on optimizing the rewriting of a module as that takes.
 */
export const EXECUTOR_V8_FLAGS: string = "--v8-flags=" + [
  TIER_MASK_FLAG,
  "--wasm-inlining-max-size=800",
  "--wasm-inlining-factor=5",
  "--wasm-inlining-budget=8000",
  "--wasm-inlining-min-budget=80",
  "--invocation-count-for-turbofan=200000",
].join();

/** Name of the socket in a listener's directory. */
export const SOCKET_NAME = "s";

/** Memory of a job with default limits, files included, in bytes. A test compares it with the limits' defaults. */
export const DEFAULT_JOB_BYTES: number = 512 * 2 ** 20;

/** Options of {@linkcode spawnExecutor}. */
export interface SpawnOptions {
  /** Maximum memory of a job in this executor, in bytes. */
  maxMemoryBytes: number;
  /** Directory of the listener's socket. @default {the process uses its pipes} */
  socketDir?: string | undefined;
  /** Whether the process runs only when no other needs the processor, where the system allows it. @default {false} */
  isIdle?: boolean | undefined;
  /** What the system allows to confine. @default {probed} */
  confinement?: Readonly<Confinement> | undefined;
}

/**
 * Starts an executor process.
 *
 * @throws {Error} if the system cannot start a process
 */
export function spawnExecutor(options: SpawnOptions): Deno.ChildProcess {
  const [path, ...args] = executorCommand(options);
  return new Deno.Command(path!, {
    args,
    clearEnv: true,
    cwd: "/",
    // In its own session, so that Ctrl-C in a terminal reaches the parent only.
    detached: true,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/**
 * Starts an executor process for a job that is not known yet (docs/adr/0008). It does not probe what the system
 * allows: where it allows less than full confinement the process fails, and another one must be started.
 *
 * @throws {Error} if the system cannot start a process
 */
export function spawnSpeculatively(maxMemoryBytes: number): Deno.ChildProcess {
  return spawnExecutor({ maxMemoryBytes, confinement: FULL_CONFINEMENT });
}

/** Builds the command line of an executor process. */
export function executorCommand(options: SpawnOptions): string[] {
  const { maxMemoryBytes, socketDir, isIdle = false } = options;
  const possible = options.confinement ?? probeConfinement();
  if (possible === undefined) return ["/proc/self/exe", ...programArguments(socketDir)];
  // A process in another user namespace cannot access /proc of this one, so it needs the program's path, which is
  // missing after an upgrade has replaced the file.
  const namespaces = possible.namespaces && isFile(Deno.execPath());
  const masked = namespaces ? maskedDirs() : [];
  const exposedDir = canExposeDir() ? EXPOSED_DIR : undefined;
  const childDir = masked.length > 0 && socketDir !== undefined ? exposedDir : socketDir;
  return [
    ...maskCommand(masked, canExposeDir() ? socketDir : undefined),
    ...confineCommand({ ...possible, namespaces }, {
      dataBytes: maxMemoryBytes,
      keepUser: !Deno.build.standalone,
      // An executor without a socket is not started in advance: save the millisecond of chrt(1).
      isBatch: socketDir !== undefined && canUseBatchScheduling(),
      isIdle: isIdle && canUseBatchScheduling(),
    }),
    namespaces ? Deno.execPath() : programPath(),
    ...programArguments(childDir),
  ];
}

function programArguments(socketDir: string | undefined): string[] {
  const socket = socketDir === undefined ? [] : [`${socketDir}/${SOCKET_NAME}`];
  return [...(Deno.build.standalone ? [EXECUTOR_COMMAND] : sourceArguments(socket)), ...socket];
}

let program: string | undefined;

/**
 * Path of this program for another process: in setpriv(1), /proc/self/exe would be setpriv. The path by process id
 * is valid after an upgrade has replaced the file, but under an emulator it is the emulator.
 */
function programPath(): string {
  return program ??= isEmulated() ? Deno.execPath() : `/proc/${Deno.pid}/exe`;
}

/** Whether an emulator runs this program; `false` from source and where the runtime denies access to /proc. */
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

function sourceArguments(socket: string[]): string[] {
  // The worker's modules are loaded at run time, which needs read permission; the child drops it afterwards.
  const lib = new URL("../../../", import.meta.url);
  return [
    "run",
    "--quiet",
    "--no-prompt",
    "--no-lock",
    "--no-config",
    "--unstable-worker-options",
    EXECUTOR_V8_FLAGS,
    ...(lib.protocol === "file:" ? [`--allow-read=${decodeURIComponent(lib.pathname)}`] : []),
    ...socket.flatMap((path) => [`--allow-read=${path}`, `--allow-write=${path}`]),
    ...socket.filter(() => needsNetPermission()).map((path) => `--allow-net=unix:${path}`),
    new URL("../../child/executor_main.ts", import.meta.url).href,
  ];
}

/** Whether this version of Deno requires network permission for a Unix socket, as versions since 2.9 do. */
function needsNetPermission(): boolean {
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
