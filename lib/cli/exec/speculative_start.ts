/**
 * Starts the executor process of `plasm exec` before the command line is parsed (docs/adr/0008).
 *
 * It loads nothing but what starts the process, which takes longer than everything else before the job runs.
 *
 * @module
 */
import { DEFAULT_JOB_BYTES, spawnSpeculatively } from "../../sandbox/host/spawn/mod.ts";
import { hasBackgroundSocket } from "./background_socket.ts";

/** Options with which the job needs another executor, or none. */
const EXCLUDING_OPTIONS = [
  "--help",
  "-h",
  "--daemon",
  "--pipe",
  "--remote",
  "--manifest",
  "--memory-mb",
];

let started: Deno.ChildProcess | undefined;

/**
 * Starts a process for a job with the default memory, unless an argument of `exec` excludes it or a background daemon
 * is there to run the job.
 */
export function startSpeculatively(args: readonly string[]): void {
  const end = args.indexOf("--");
  const own = end < 0 ? args : args.slice(0, end);
  const excludes = (arg: string): boolean =>
    EXCLUDING_OPTIONS.some((name) => arg === name || arg.startsWith(`${name}=`));
  if (own.some(excludes) || hasBackgroundSocket((name) => Deno.env.get(name))) return;
  try {
    started = spawnSpeculatively(DEFAULT_JOB_BYTES);
  } catch {
    // The command starts a process again, and reports why it cannot.
  }
}

/**
 * Returns the process, which the caller then owns.
 *
 * @returns `undefined` if none was started, or it has been taken already
 */
export function takeSpeculativeProcess(): Deno.ChildProcess | undefined {
  const process = started;
  started = undefined;
  return process;
}

/** Ends the process if it has not been taken, for example because the command line is invalid. */
export async function stopSpeculativeProcess(): Promise<void> {
  const process = takeSpeculativeProcess();
  if (process === undefined) return;
  process.kill("SIGKILL");
  await process.status;
  await Promise.allSettled([
    process.stdin.close(),
    process.stdout.cancel(),
    process.stderr.cancel(),
  ]);
}
