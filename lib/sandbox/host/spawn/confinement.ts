/**
 * What takes from an executor process, before it begins, what the system lets it do: tools of
 * util-linux and bash, each of which replaces itself by the next and in the end by the program.
 * @module
 */

/** setpriv(1), unshare(1), choom(1), prlimit(1), chrt(1): util-linux, which like bash is essential in Debian. */
const SETPRIV = "/usr/bin/setpriv";
const CHRT = "/usr/bin/chrt";
const CHOOM = "/usr/bin/choom";
const PRLIMIT = "/usr/bin/prlimit";
const UNSHARE = "/usr/bin/unshare";
const BASH = "/usr/bin/bash";

/** What is tried to become: a unit that lets the tools be started lets nothing like true(1). */
const TRIAL = [SETPRIV, "--version"];

/** Room for the engine's reservations and one warm worker, in bytes: measured 1.1 GB of VmData. */
const DATA_BASE_BYTES = 3 * 2 ** 30;

/** Descriptors an executor may open: it opens none after its start; V8 and tokio hold about 20. */
const MAX_DESCRIPTORS = 64;

/** The most `cpu_seconds` that a manifest can say: what ends a process nobody watches any more. */
const MAX_CPU_SECONDS = 88_473_600;

/** Threads and processes: an executor has about 15. Counted for each user namespace by itself. */
const MAX_THREADS = 256;

/** When memory runs out the kernel is to take a job, never the node: the most that it knows. */
const OOM_SCORE = 1000;

/** Gains no privileges, dies with its parent. */
const NO_PRIVILEGES = [SETPRIV, "--no-new-privs", "--pdeathsig=KILL", "--"];

/**
 * Waits until a core is free or its turn comes (SCHED_BATCH, see sched(7)), where a woken process would stop
 * the one that wakes it: an executor is woken by the first half of what its parent writes, and again by the
 * second. Left so, bytes that are piped through it cost it half as much again.
 */
const AS_BATCH = [CHRT, "--batch", "0"];

/**
 * Closes what this program inherited without close-on-exec: its children would inherit it too. Bash
 * adds to the environment, so it is emptied again.
 */
const CLOSE_DESCRIPTORS =
  'for fd in /proc/$$/fd/*; do fd=${fd##*/}; ((fd > 2)) && exec {fd}>&-; done; exec -c "$@"';

/** No network but a loopback that is down, no System V IPC or POSIX queue of others. */
const UNSHARE_ALL = [UNSHARE, "--user", "--net", "--ipc"];

/** What the system allows; see {@linkcode confinement}. */
export interface Confinement {
  /** Descriptors that were inherited are closed. */
  closes: boolean;
  /** The process has namespaces of its own: user, network, IPC. */
  namespaces: boolean;
}

/** All that can be taken from a process. */
export const FULL_CONFINEMENT: Readonly<Confinement> = { closes: true, namespaces: true };

let found: Confinement | undefined | null = null;

/**
 * Finds out by trying, once, what can be taken from a process here: containers, system call filters
 * and units refuse namespaces in many ways. Costs about 10 ms; undefined where no util-linux is.
 */
export function confinement(): Confinement | undefined {
  if (found !== null) return found;
  const attempts = [
    FULL_CONFINEMENT,
    { closes: true, namespaces: false },
    { closes: false, namespaces: true },
    { closes: false, namespaces: false },
  ];
  return found = attempts.find((attempt) => succeeds(confine(attempt, { dataBytes: 0 })));
}

let batch: boolean | undefined;

/**
 * Finds out by trying, once, whether a process can be made one that stops no other when it is woken. Costs
 * about 3 ms.
 */
export function canBatch(): boolean {
  return batch ??= succeeds([...NO_PRIVILEGES, ...AS_BATCH]);
}

/** Options of {@linkcode confine}. */
export interface ConfineOptions {
  /** Memory that jobs may use at most, in bytes. */
  dataBytes: number;
  /**
   * Keeps the user's id in the namespace, by which Deno finds its cache when it runs from source. A
   * root then keeps capabilities over the namespace, none over the system.
   * @default {false}
   */
  keepUser?: boolean;
  /**
   * Whether the process stops no other when it is woken; see {@linkcode canBatch}.
   * @default {false: one program less to start}
   */
  isBatch?: boolean;
}

/** The command that becomes, confined, the command that is appended to it. */
export function confine({ closes, namespaces }: Confinement, options: ConfineOptions): string[] {
  const { dataBytes, keepUser = false, isBatch = false } = options;
  // Who has no id in a user namespace has no capabilities there and can make none below it, where it
  // would have all of them, and with them the parts of the kernel that only root is meant to reach.
  const identity = keepUser ? ["--map-current-user"] : [];
  const bytes = DATA_BASE_BYTES + dataBytes;
  // Without a namespace it would count all processes of the user, the node's own among them.
  const threads = namespaces ? MAX_THREADS : undefined;
  return [
    ...NO_PRIVILEGES,
    ...(isBatch ? AS_BATCH : []),
    ...(namespaces ? [...UNSHARE_ALL, ...identity, "--"] : []),
    ...(closes ? limitAndClose(bytes, threads) : limit(bytes, threads)),
  ];
}

/** All in one program, for each that is started costs a millisecond. */
function limitAndClose(bytes: number, threads: number | undefined): string[] {
  const limits = [
    `-c 0 -n ${MAX_DESCRIPTORS} -t ${MAX_CPU_SECONDS} -d ${Math.ceil(bytes / 1024)}`,
    ...(threads === undefined ? [] : [`-u ${threads}`]),
  ];
  const script = `ulimit ${limits.join(" ")} && echo ${OOM_SCORE} >/proc/$$/oom_score_adj || ` +
    `exit 126; ${CLOSE_DESCRIPTORS}`;
  return [BASH, "-c", script, "bash"];
}

/** The same but for what was inherited, where bash cannot be had. */
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

function succeeds([path, ...args]: string[]): boolean {
  try {
    return new Deno.Command(path!, {
      args: [...args, ...TRIAL],
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
