/**
 * Runs a command line: finds and loads the command, and prints its error.
 *
 * @module
 */
import { PlasmError } from "../core/errors/mod.ts";
import { didYouMean, escapeText } from "../util/mod.ts";
import { parseCommandArgs } from "./args.ts";
import { type CommandEntry, COMMANDS } from "./commands/mod.ts";
import { commandHelp, programHelp, wrap } from "./help.ts";
import type { CliIo } from "./io.ts";

/** Runs one command line. Errors are printed, and determine the exit status. */
export async function runCommandLine(args: readonly string[], io: CliIo): Promise<number> {
  try {
    return await dispatch(args, io);
  } catch (error) {
    const wrapped = PlasmError.from(error);
    if (isJson(args)) {
      const message = withoutRuntimeTexts(wrapped.message);
      await io.message(`${JSON.stringify({ error: { ...wrapped.toJSON(), message } })}\n`);
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
  const isVersion = ["--version", "-v", "-V"].includes(name);
  const command = await find(isVersion ? "version" : name).load();
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
  const foreign = Object.hasOwn(FOREIGN_COMMANDS, name)
    ? FOREIGN_COMMANDS[name]
    : /\.(?:wasm|wat)$/.test(name)
    ? `exec ${escapeText(name)}`
    : undefined;
  const near = foreign ?? didYouMean(name, COMMANDS.map((command) => command.name));
  throw new PlasmError("usage", `Unknown command: ${escapeText(name)}`, {
    hint: near === undefined ? "Run plasm --help" : `Did you mean plasm ${near}?`,
  });
}

/** Commands of other tools, and the command that replaces each. */
const FOREIGN_COMMANDS: Readonly<Record<string, string>> = {
  run: "exec",
  invoke: "exec",
  ps: "jobs",
  top: "jobs",
  ls: "jobs",
  list: "jobs",
  queue: "jobs",
  kill: "cancel",
  stop: "cancel",
  rm: "cancel",
  wait: "result",
  attach: "logs --follow",
  log: "logs",
  inspect: "status",
  info: "status",
  pull: "modules pull",
  images: "modules ls",
  start: "daemon",
  up: "daemon",
  node: "daemon",
  restart: "reload",
  serve: "daemon",
  server: "daemon",
  search: "discover",
  nodes: "discover",
  whoami: "id",
  check: "doctor",
  validate: "verify",
};

/** Maximum length of a printed message, in characters: fits two hashes and a path, and limits a remote node's message. */
const MAX_MESSAGE = 1000;

/** Reports whether `--json` is set; arguments after `--` and `:::` belong to jobs. */
function isJson(args: readonly string[]): boolean {
  const end = args.findIndex((arg) => ["--", ":::", "::::"].includes(arg));
  return (end < 0 ? args : args.slice(0, end)).includes("--json");
}

/** Texts of Deno in error messages, and their replacements. */
const RUNTIME_TEXTS: readonly [RegExp, string][] = [
  [/, (?:run again with the|specify the required permissions during compile using) [^;]*/g, ""],
  [/^(?:Download i|I)nterrupted by the caller$/, "Stopped before the end: it was interrupted"],
  [/Requires \w+ access to "([^"]*)"/g, "plasm may not use $1"],
  [/error sending request for url \([^)]*\): (?:client error \([A-Za-z]+\): )?/g, ""],
  [/client error \([A-Za-z]+\): /g, ""],
  [/invalid peer certificate: (?:\w+\()*(\w+)\)*/g, "the server's certificate is not valid ($1)"],
  [/received corrupt message of type InvalidContentType/g, "the server does not speak TLS"],
  [/Fetch failed: Requests to port (\d+) are blocked/g, "port $1 belongs to another protocol"],
  [/dns error: (?:failed to lookup address information: )?.*/g, "its host name is not known"],
  [/error reading a body from connection.*/g, "the connection ended early"],
];

/** Removes what Deno adds to messages: flags of Deno, socket URLs, errno numbers and names of calls. */
export function withoutRuntimeTexts(message: string): string {
  const text = RUNTIME_TEXTS.reduce((text, [found, words]) => text.replace(found, words), message);
  const failedCall = / \(os error \d+\)(?:[:,] \w+ '([^']*)'(?: -> '[^']*')?)?/g;
  return text.replace(
    failedCall,
    (_, path: string | undefined, at: number) =>
      path === undefined || text.slice(0, at).includes(path) ? "" : `: ${path}`,
  );
}

function errorText(error: PlasmError, io: CliIo): string {
  const label = io.color ? "\x1b[31merror\x1b[0m" : "error";
  const lines = [`${label}: ${escapeText(withoutRuntimeTexts(error.message), MAX_MESSAGE)}`];
  if (error.hint !== undefined) lines.push(`hint: ${escapeText(error.hint, MAX_MESSAGE)}`);
  return wrap(lines.join("\n"), io.stderrIsTerminal ? io.columns : Infinity) + "\n";
}
