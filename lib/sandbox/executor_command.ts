/**
 * How an executor process is started: the same program again, with nothing that it does not need.
 * @module
 */

/** The subcommand by which a compiled program becomes an executor. */
export const EXECUTOR_COMMAND = "__executor";

/** Room for the engine's reservations and one warm worker, in bytes: measured 1.1 GB of VmData. */
const DATA_BASE_BYTES = 3 * 2 ** 30;

/** Descriptors an executor may open: it opens none after its start; V8 and tokio hold about 20. */
const MAX_DESCRIPTORS = 64;

/** setpriv(1), choom(1) and prlimit(1) are of util-linux, which Debian marks essential. */
const SETPRIV = "/usr/bin/setpriv";
const PRLIMIT = "/usr/bin/prlimit";
const CHOOM = "/usr/bin/choom";

/** When memory runs out the kernel is to take a job, never the node: the most that it knows. */
const OOM_SCORE = 1000;

/** Options of {@linkcode executorCommand}. */
export interface ExecutorCommandOptions {
  /** Memory that jobs of this executor may use at most, in bytes. */
  maxMemoryBytes: number;
}

/**
 * The command that becomes an executor. Wrapped, where util-linux is there, so that the process can
 * gain no privileges, dies with its parent, leaves no core file, has a ceiling on its data, and is
 * the first to go when the machine's memory runs out.
 */
export function executorCommand(options: ExecutorCommandOptions): string[] {
  const self = Deno.build.standalone ? [EXECUTOR_COMMAND] : sourceArguments();
  if (!hasUtilLinux()) return ["/proc/self/exe", ...self];
  return [
    SETPRIV,
    "--no-new-privs",
    "--pdeathsig=KILL",
    "--",
    CHOOM,
    `--adjust=${OOM_SCORE}`,
    "--",
    PRLIMIT,
    "--core=0",
    `--nofile=${MAX_DESCRIPTORS}`,
    `--data=${DATA_BASE_BYTES + options.maxMemoryBytes}`,
    "--",
    ownProgram(),
    ...self,
  ];
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

function sourceArguments(): string[] {
  // The worker's modules are loaded at run time, which takes read permission; dropped afterwards.
  const lib = new URL("../", import.meta.url);
  return [
    "run",
    "--quiet",
    "--no-prompt",
    "--no-lock",
    "--no-config",
    "--unstable-worker-options",
    // The optimizing compiler at once: V8 cannot replace a running function (on-stack replacement),
    // so a hot main would stay in baseline code for ever. The compiled binary has the flag baked in.
    "--v8-flags=--no-liftoff",
    ...(lib.protocol === "file:" ? [`--allow-read=${decodeURIComponent(lib.pathname)}`] : []),
    new URL("./executor_main.ts", import.meta.url).href,
  ];
}

let utilLinux: boolean | undefined;

function hasUtilLinux(): boolean {
  utilLinux ??= [SETPRIV, CHOOM, PRLIMIT].every((path) => {
    try {
      return Deno.statSync(path).isFile;
    } catch {
      return false;
    }
  });
  return utilLinux;
}
