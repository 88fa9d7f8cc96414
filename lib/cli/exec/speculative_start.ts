/**
 * Starts the executor of `plasm exec` before the program that reads the command line is loaded: the
 * process takes longer to start than all else that comes before the job.
 * @module
 */
import { DEFAULT_RESOURCES } from "../../core/mod.ts";
import { DEFAULT_CEILINGS } from "../../sandbox/mod.ts";
import { spawnExecutor } from "../../sandbox/host/spawn/mod.ts";

/** Options of a command line whose job may need another executor, or none. */
const OTHERWISE = ["--help", "-h", "--daemon", "--pipe", "--remote", "--manifest", "--memory-mb"];

/** What the job of a command line without any of those may use, in bytes. */
export const EARLY_MEMORY_BYTES: number = DEFAULT_RESOURCES.memory_mb * 2 ** 20 +
  DEFAULT_CEILINGS.fs_bytes;

let started: Deno.ChildProcess | undefined;

/** Starts the process, where it is plain from the arguments of `exec` that it will be used. */
export function startEarly(args: readonly string[]): void {
  const end = args.indexOf("--");
  const own = end < 0 ? args : args.slice(0, end);
  if (own.some((arg) => OTHERWISE.some((name) => arg === name || arg.startsWith(`${name}=`)))) {
    return;
  }
  try {
    started = spawnExecutor({
      maxMemoryBytes: EARLY_MEMORY_BYTES,
      assumesConfinement: true,
    });
  } catch {
    // Whoever needs an executor tries again, and tells why there is none.
  }
}

/** The process, for who ends it; undefined where none was started or somebody has it. */
export function takeEarly(): Deno.ChildProcess | undefined {
  const process = started;
  started = undefined;
  return process;
}

/** Ends the process if nobody has taken it: the command line was refused. */
export async function endEarly(): Promise<void> {
  const process = takeEarly();
  if (process === undefined) return;
  process.kill("SIGKILL");
  await process.status;
  await Promise.allSettled([
    process.stdin.close(),
    process.stdout.cancel(),
    process.stderr.cancel(),
  ]);
}
