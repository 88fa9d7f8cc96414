/**
 * Starts the process of an executor. By itself, for who wants it under way before the rest is loaded.
 * @module
 */
import { executorCommand, type ExecutorCommandOptions } from "./executor_command.ts";

/**
 * Starts a process that becomes an executor, confined.
 *
 * @throws {Error} when the system gives no process
 */
export function spawnExecutor(options: ExecutorCommandOptions): Deno.ChildProcess {
  const [path, ...args] = executorCommand(options);
  return new Deno.Command(path!, {
    args,
    clearEnv: true,
    cwd: "/",
    // A session of its own: Ctrl-C in the terminal is the parent's to hear, not the job's.
    detached: true,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}
