/**
 * The command line's front door: picks a command, imports it, and maps its error to an exit status.
 * @module
 */
import { bootstrapExecutor } from "./lib/sandbox/bootstrap/first_read.ts";
import { EXECUTOR_COMMAND } from "./lib/sandbox/bootstrap/executor_name.ts";

/** Runs one command line to its exit status. */
async function main(args: string[]): Promise<number> {
  if (args[0] === EXECUTOR_COMMAND) {
    // Without the path of a socket it has pipes.
    const first = args[1] === undefined ? bootstrapExecutor() : undefined;
    const { runExecutor } = await import("./lib/sandbox/child/executor_main.ts");
    return await runExecutor({ socket: args[1], first });
  }
  const early = args[0] === "exec"
    ? await import("./lib/cli/exec/speculative_start.ts")
    : undefined;
  early?.startEarly(args);
  const { runCommandLine } = await import("./lib/cli/run_command_line.ts");
  const { processIo } = await import("./lib/cli/io.ts");
  const status = await runCommandLine(args, processIo());
  await early?.endEarly();
  return status;
}

// A reader of stdin or a signal listener may still be there; the command has said that it is done.
if (import.meta.main) Deno.exit(await main(Deno.args));
