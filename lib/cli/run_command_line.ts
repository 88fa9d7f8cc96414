/**
 * From a command line to an exit status.
 * @module
 */
import { PlasmError } from "../core/errors/mod.ts";
import { nearest, printable } from "../util/mod.ts";
import { parseCommandArgs } from "./args.ts";
import { type CommandEntry, COMMANDS } from "./commands/mod.ts";
import { commandHelp, programHelp, wrap } from "./help.ts";
import type { CliIo } from "./io.ts";

/** Runs one command line; every error is printed and becomes the exit status of its code. */
export async function runCommandLine(args: readonly string[], io: CliIo): Promise<number> {
  try {
    return await dispatch(args, io);
  } catch (error) {
    const wrapped = PlasmError.from(error);
    if (isJson(args)) {
      await io.message(`${JSON.stringify({ error: wrapped.toJSON() })}\n`);
    } else {
      await io.message(errorText(wrapped, io));
    }
    return wrapped.exitCode;
  }
}

async function dispatch(args: readonly string[], io: CliIo): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || name === "--help" || name === "-h" || name === "help") {
    const entry = name === "help" && rest[0] !== undefined ? find(rest[0]) : undefined;
    await io.write(
      entry === undefined
        ? programHelp(COMMANDS, io.columns)
        : commandHelp((await entry.load()).spec, io.columns),
    );
    return name === undefined ? 2 : 0;
  }
  const command = await find(name === "--version" ? "version" : name).load();
  const parsed = parseCommandArgs(command.spec, rest);
  if (parsed.flag("help")) {
    await io.write(commandHelp(command.spec, io.columns));
    return 0;
  }
  io.drop(command.drops?.(parsed) ?? []);
  return await command.run(parsed, io);
}

function find(name: string): CommandEntry {
  const entry = COMMANDS.find((command) => command.name === name);
  if (entry !== undefined) return entry;
  const near = nearest(name, COMMANDS.map((command) => command.name));
  throw new PlasmError("usage", `Unknown command: ${printable(name)}`, {
    hint: near === undefined ? "Run plasm --help" : `Did you mean plasm ${near}?`,
  });
}

/** Longest message printed: two hashes and a path fit; a remote node cannot fill the screen. */
const MAX_MESSAGE = 1000;

/** Errors are JSON where the output is; what follows `--` is the job's. */
function isJson(args: readonly string[]): boolean {
  const end = args.indexOf("--");
  return (end < 0 ? args : args.slice(0, end)).includes("--json");
}

function errorText(error: PlasmError, io: CliIo): string {
  const label = io.color ? "\x1b[31merror\x1b[0m" : "error";
  const lines = [`${label}: ${printable(error.message, MAX_MESSAGE)}`];
  if (error.hint !== undefined) lines.push(`hint: ${printable(error.hint, MAX_MESSAGE)}`);
  return wrap(lines.join("\n"), io.stderrIsTerminal ? io.columns : Infinity) + "\n";
}
