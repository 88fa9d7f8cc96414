/**
 * Command line arguments, held to a command's description.
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { PlasmError } from "../core/errors/mod.ts";
import { nearest, printable } from "../util/mod.ts";
import { type CommandSpec, type OptionSpec, ParsedArgs } from "./command.ts";

/** Options that every command has. */
export const COMMON_OPTIONS: readonly OptionSpec[] = [
  { name: "json", kind: "flag", help: "Print JSON, also errors" },
  { name: "help", kind: "flag", help: "Print this help" },
];

/**
 * Parses the arguments of a command.
 *
 * @throws {PlasmError} `usage` on anything that the description does not name.
 */
export function parseCommandArgs(spec: CommandSpec, args: readonly string[]): ParsedArgs {
  refuseReplaced(args);
  const known = [...spec.options, ...COMMON_OPTIONS];
  const flags = known.filter(({ kind }) => kind === "flag").map(({ name }) => name);
  const valued = known.filter(({ kind }) => kind !== "flag").map(({ name }) => name);
  const parsed = parseArgs([...args], {
    boolean: flags,
    string: [...valued, "_"],
    collect: valued,
    alias: { h: "help" },
    "--": true,
    unknown: (arg, key) => {
      if (key !== undefined) throw unknownOption(spec, arg, known);
      return true;
    },
  });
  const values = new Map<string, readonly string[]>();
  for (const name of flags) if (parsed[name] === true) values.set(name, []);
  for (const option of known) {
    const given = parsed[option.name];
    if (option.kind !== "flag" && Array.isArray(given) && given.length > 0) {
      values.set(option.name, checkValues(spec, option, given.map(String)));
    }
  }
  const hasRest = args.includes("--");
  const result = new ParsedArgs(
    values,
    parsed._.map(String),
    hasRest ? (parsed["--"] ?? []).map(String) : undefined,
  );
  if (!result.flag("help")) checkPositionals(spec, result);
  return result;
}

function checkValues(spec: CommandSpec, option: OptionSpec, values: string[]): string[] {
  if (values.includes("")) throw usage(spec, `Option needs a value: --${option.name}`);
  if (values.length > 1 && option.repeat !== true) {
    throw usage(spec, `Option may be given once: --${option.name}`);
  }
  if (option.kind === "integer") {
    for (const value of values) {
      if (!/^\d{1,15}$/.test(value)) {
        throw usage(spec, `Option --${option.name} takes a whole number: ${printable(value)}`);
      }
    }
  }
  return values;
}

function checkPositionals(spec: CommandSpec, { positionals, rest }: ParsedArgs): void {
  const { min, max } = spec.positionals;
  if (positionals.length < min) throw usage(spec, `Missing argument: ${spec.usage}`);
  if (positionals.length > max) {
    throw usage(spec, `Unexpected argument: ${printable(positionals[max]!)}`);
  }
  if (rest !== undefined && rest.length > 0 && spec.takesRest !== true) {
    throw usage(spec, `Unexpected argument: ${printable(rest[0]!)}`);
  }
}

/**
 * Deno replaces what is not UTF-8 in an argument by U+FFFD before we see it: the job would get
 * something else than was asked.
 */
function refuseReplaced(args: readonly string[]): void {
  const at = args.findIndex((arg) => arg.includes("\uFFFD"));
  if (at >= 0) {
    throw new PlasmError("usage", `Cannot use argument ${at + 1}: it is not valid UTF-8`, {
      hint: "Give the job such bytes in a file with --input or on stdin",
    });
  }
}

function unknownOption(spec: CommandSpec, arg: string, known: readonly OptionSpec[]): PlasmError {
  const name = arg.replace(/^-+/, "").replace(/=.*$/s, "");
  const near = nearest(name, known.map((option) => option.name));
  const error = usage(spec, `Unknown option: ${printable(arg.replace(/=.*$/s, ""))}`);
  return near === undefined
    ? error
    : new PlasmError("usage", error.message, { hint: `Did you mean --${near}?` });
}

function usage(spec: CommandSpec, message: string): PlasmError {
  return new PlasmError("usage", message, { hint: `Run plasm ${spec.name} --help` });
}
