/**
 * The command line's front door: picks a command, imports it, and maps its error to an exit status.
 * @module
 */
import { bootstrapExecutor, EXECUTOR_COMMAND } from "./lib/sandbox/bootstrap/mod.ts";

/** Runs one command line to its exit status. */
async function main(args: string[]): Promise<number> {
  if (args[0] === EXECUTOR_COMMAND) {
    // Without the path of a socket the parent is connected by pipes.
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

// A reader of stdin or a signal listener may still be there; the command has said that it is done.
if (import.meta.main) Deno.exit(await main(Deno.args));
