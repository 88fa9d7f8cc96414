/**
 * Entry point of the program: the command line, or an executor process.
 *
 * @module
 */
import { bootstrapExecutor, EXECUTOR_COMMAND } from "./lib/sandbox/bootstrap/mod.ts";

/** Runs one command line. Resolves to the exit status. */
async function main(args: string[]): Promise<number> {
  if (args[0] === EXECUTOR_COMMAND) {
    // Without the path of a socket the parent is connected through standard input and output.
    const initialRead = args[1] === undefined ? bootstrapExecutor() : undefined;
    const { runExecutor } = await import("./lib/sandbox/child/mod.ts");
    return await runExecutor({ socket: args[1], initialRead });
  }
  const speculation = args[0] === "exec"
    ? await import("./lib/cli/exec/speculative_start.ts")
    : undefined;
  speculation?.startSpeculatively(args);
  const { processIo, runCommandLine } = await import("./lib/cli/mod.ts");
  const status = await runCommandLine(args, processIo());
  await speculation?.stopSpeculativeProcess();
  return status;
}

// Exit although a read of standard input or a signal listener may be pending.
if (import.meta.main) Deno.exit(await main(Deno.args));
