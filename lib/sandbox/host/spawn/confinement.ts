/**
 * Confines an executor process before it starts: resource limits, namespaces, no privileges, masked directories.
 *
 * It uses tools of util-linux and bash, each of which executes the next one and finally the program.
 *
 * @module
 */
/** Tools of util-linux, which like bash is an essential package in Debian. */
const SETPRIV = "/usr/bin/setpriv";
const CHRT = "/usr/bin/chrt";
const CHOOM = "/usr/bin/choom";
const PRLIMIT = "/usr/bin/prlimit";
const UNSHARE = "/usr/bin/unshare";
const BASH = "/usr/bin/bash";

/** mount(8), a required package in Debian. */
const MOUNT = "/usr/bin/mount";

/** Command for a trial: a systemd unit that allows the tools may not allow others such as true(1). */
const TRIAL = [SETPRIV, "--version"];

/** Data size of the engine and one warm worker, in bytes: measured 1.1 GB of VmData. */
const DATA_BASE_BYTES = 3 * 2 ** 30;

/** Maximum number of file descriptors: V8 and tokio use about 20, and none is opened after the start. */
const MAX_DESCRIPTORS = 64;

/** Maximum `cpu_seconds` of a manifest: ends a process that is not monitored any more. In seconds. */
const MAX_CPU_SECONDS = 88_473_600;

/** Maximum number of threads and processes in the user namespace; an executor has about 15. */
const MAX_THREADS = 256;

/** Maximum score: when memory runs out, the kernel kills an executor instead of the node. */
const OOM_SCORE = 1000;

/** Disables the gain of privileges and ends the process with its parent. */
const NO_PRIVILEGES = [SETPRIV, "--no-new-privs", "--pdeathsig=KILL", "--"];

/**
 * Schedules the process as SCHED_BATCH (see sched(7)), so that it does not preempt its parent when it is woken. With
 * the default policy an executor is woken by the first half of a write and again by the second, which adds half to
 * its CPU time for piped bytes.
 */
const BATCH = [CHRT, "--batch", "0"];

/** Schedules the process as SCHED_IDLE: it runs only when no other process needs the processor. */
const IDLE = [CHRT, "--idle", "0"];

/**
 * Closes inherited file descriptors without close-on-exec. The environment is cleared again because bash adds
 * variables to it.
 */
const CLOSE_DESCRIPTORS =
  'for fd in /proc/$$/fd/*; do fd=${fd##*/}; ((fd > 2)) && exec {fd}>&-; done; exec -c "$@"';

/** Namespaces with only a loopback interface that is down, without System V IPC and POSIX queues of others. */
const UNSHARE_ALL = [UNSHARE, "--user", "--net", "--ipc"];

/** What the system allows; see {@linkcode probeConfinement}. */
export interface Confinement {
  /** Whether inherited file descriptors are closed. */
  closes: boolean;
  /** Whether the process has its own user, network and IPC namespaces. */
  namespaces: boolean;
}

/** Everything that can be confined. */
export const FULL_CONFINEMENT: Readonly<Confinement> = { closes: true, namespaces: true };

let probed: Confinement | undefined | null = null;

/**
 * Determines by trial, once, what the system allows: containers, system call filters and units deny namespaces in
 * many ways. Takes about 10 ms.
 *
 * @returns `undefined` if util-linux is missing
 */
export function probeConfinement(): Confinement | undefined {
  if (probed !== null) return probed;
  const attempts = [
    FULL_CONFINEMENT,
    { closes: true, namespaces: false },
    { closes: false, namespaces: true },
    { closes: false, namespaces: false },
  ];
  return probed = attempts.find((attempt) =>
    succeeds([...confineCommand(attempt, { dataBytes: 0 }), ...TRIAL])
  );
}

let hasBatchScheduling: boolean | undefined;

/** Determines by trial, once, whether a process can be scheduled as SCHED_BATCH or SCHED_IDLE. Takes about 3 ms. */
export function canUseBatchScheduling(): boolean {
  return hasBatchScheduling ??= succeeds([...NO_PRIVILEGES, ...BATCH, ...TRIAL]);
}

/** Options of {@linkcode confineCommand}. */
export interface ConfineOptions {
  /** Maximum memory of a job, in bytes. */
  dataBytes: number;
  /**
   * Whether to preserve the user's id in the namespace, by which Deno locates its cache when it runs from source.
   * Root then has capabilities over the namespace, but none over the system.
   * @default {false}
   */
  keepUser?: boolean;
  /** Whether the process is scheduled as SCHED_BATCH. @default {false} */
  isBatch?: boolean;
  /** Whether the process is scheduled as SCHED_IDLE instead. @default {false} */
  isIdle?: boolean;
}

/** Builds the beginning of a command line that confines a process; the command to execute is appended to it. */
export function confineCommand(
  { closes, namespaces }: Confinement,
  options: ConfineOptions,
): string[] {
  const { dataBytes, keepUser = false, isBatch = false, isIdle = false } = options;
  // A process without an id in its user namespace has no capabilities and cannot create a nested namespace, in
  // which it would have all of them and could reach parts of the kernel that are reserved to root.
  const identity = keepUser ? ["--map-current-user"] : [];
  const bytes = DATA_BASE_BYTES + dataBytes;
  // Without a user namespace the limit would count all processes of the user, including the node.
  const threads = namespaces ? MAX_THREADS : undefined;
  return [
    ...NO_PRIVILEGES,
    ...(isIdle ? IDLE : isBatch ? BATCH : []),
    ...(namespaces ? [...UNSHARE_ALL, ...identity, "--"] : []),
    ...(closes ? limitAndClose(bytes, threads) : limit(bytes, threads)),
  ];
}

/** Sets limits and closes descriptors in one program: each program takes a millisecond to start. */
function limitAndClose(bytes: number, threads: number | undefined): string[] {
  const limits = [
    `-c 0 -n ${MAX_DESCRIPTORS} -t ${MAX_CPU_SECONDS} -d ${Math.ceil(bytes / 1024)}`,
    ...(threads === undefined ? [] : [`-u ${threads}`]),
  ];
  const script = `ulimit ${limits.join(" ")} && echo ${OOM_SCORE} >/proc/$$/oom_score_adj || ` +
    `exit 126; ${CLOSE_DESCRIPTORS}`;
  return [BASH, "-c", script, "bash"];
}

/** Sets limits without bash, and leaves inherited descriptors open. */
function limit(bytes: number, threads: number | undefined): string[] {
  return [
    ...[CHOOM, `--adjust=${OOM_SCORE}`, "--"],
    PRLIMIT,
    "--core=0",
    `--nofile=${MAX_DESCRIPTORS}`,
    `--cpu=${MAX_CPU_SECONDS}`,
    `--data=${bytes}`,
    ...(threads === undefined ? [] : [`--nproc=${threads}`]),
    "--",
  ];
}

/** Whether a command can be executed and exits with 0. */
function succeeds([path, ...args]: string[]): boolean {
  try {
    return new Deno.Command(path!, {
      args,
      clearEnv: true,
      cwd: "/",
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).outputSync().success;
  } catch {
    return false;
  }
}

/** Mount point of the one directory that is exposed to an executor; it exists in every Debian system. */
export const EXPOSED_DIR = "/mnt";

/**
 * Binds its first argument, unless empty, to {@linkcode EXPOSED_DIR}, mounts an empty unreadable directory over
 * each path before "--", and executes the command after it. This needs root of the mount namespace, which could
 * also undo it, so the command must enter a nested user namespace in which it is not root.
 */
const SCRIPT = `if [[ $1 ]]; then ${MOUNT} --bind "$1" ${EXPOSED_DIR} ` +
  "</dev/null >/dev/null 2>&1 || exit 126; fi; shift; while [[ $1 != -- ]]; do " +
  `${MOUNT} -t tmpfs -o ro,mode=0,size=4k none "$1" </dev/null >/dev/null 2>&1 || exit 126; shift; ` +
  'done; shift; exec -c "$@"';

/**
 * A guest that escapes its sandbox has the node's user id: unless they are masked, it could read the node's key in
 * the state directory and connect to the daemon's socket.
 */
const MASK = [
  ...NO_PRIVILEGES,
  ...[UNSHARE, "--user", "--map-root-user", "--mount", "--"],
  ...[BASH, "-c", SCRIPT, "bash"],
];

/** Command for a trial of masking: enters a nested user namespace, as an executor does. */
const NESTED_TRIAL = [...UNSHARE_ALL, "--", ...TRIAL];

/**
 * Builds the beginning of a command line that masks directories; the command to execute is appended to it.
 *
 * @param exposed A directory to expose at {@linkcode EXPOSED_DIR}, which may lie in a masked one
 */
export function maskCommand(paths: readonly string[], exposed: string = ""): string[] {
  return paths.length === 0 ? [] : [...MASK, exposed, ...paths, "--"];
}

/** Returns the paths that exist, do not lie in another one and do not contain the required path. */
export function maskablePaths(paths: readonly string[], required: string): string[] {
  const real = paths.map(realPath).filter((path) => path !== undefined);
  const isIn = (path: string, dir: string): boolean => path === dir || path.startsWith(`${dir}/`);
  return [...new Set(real)].filter((path) =>
    path !== "/" && !isIn(required, path) &&
    !real.some((other) => other !== path && isIn(path, other) && !isIn(required, other))
  );
}

let masked: string[] = [];
let canExpose = true;

/**
 * Masks directories from all executors that this process starts afterwards.
 *
 * Nothing is masked where the system does not allow it, as in some containers and units. Nothing is masked from
 * source either: the runtime locates its cache by the user's id, which masking does not preserve.
 */
export function maskFromExecutors(paths: readonly string[]): void {
  masked = [];
  canExpose = true;
  if (!Deno.build.standalone) return;
  const program = Deno.execPath();
  const maskable = maskablePaths(paths, program);
  if (maskable.length === 0) return;
  canExpose = !program.startsWith(`${EXPOSED_DIR}/`) &&
    succeeds([...maskCommand(maskable, maskable[0]), ...NESTED_TRIAL]);
  if (canExpose || succeeds([...maskCommand(maskable), ...NESTED_TRIAL])) masked = maskable;
  else canExpose = true;
}

/** Whether one directory can be exposed to an executor although it is masked. */
export function canExposeDir(): boolean {
  return canExpose;
}

/** Directories that {@linkcode maskFromExecutors} masks. */
export function maskedDirs(): readonly string[] {
  return masked;
}

function realPath(path: string): string | undefined {
  try {
    return Deno.realPathSync(path);
  } catch {
    return undefined;
  }
}
