/**
 * Calls to an exported function of plain numbers: finds the function, parses its arguments and formats its results.
 *
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { badModule, quoteName } from "../reader.ts";

/** Smallest and largest integer of each type; core integers have no sign of their own. */
const INTEGERS: Readonly<Record<string, readonly [min: bigint, max: bigint]>> = {
  s8: [-(2n ** 7n), 2n ** 7n - 1n],
  u8: [0n, 2n ** 8n - 1n],
  s16: [-(2n ** 15n), 2n ** 15n - 1n],
  u16: [0n, 2n ** 16n - 1n],
  s32: [-(2n ** 31n), 2n ** 31n - 1n],
  u32: [0n, 2n ** 32n - 1n],
  s64: [-(2n ** 63n), 2n ** 63n - 1n],
  u64: [0n, 2n ** 64n - 1n],
  i32: [-(2n ** 31n), 2n ** 32n - 1n],
  i64: [-(2n ** 63n), 2n ** 64n - 1n],
};

const WIDE: ReadonlySet<string> = new Set(["s64", "u64", "i64"]);

const FLOATS: ReadonlySet<string> = new Set(["f32", "f64"]);

/** A call that a job asks for. */
export interface InvocationRequest {
  /** Name of the export. */
  name: string;
  /** Arguments as text. */
  args: readonly string[];
}

/** A function to call instead of the command. */
export interface Invocation {
  /** Name of the export; a function of an exported instance has its name, `#` and its own. */
  name: string;
  /** Types of the parameters. */
  parameters: readonly string[];
  /** Types of the results. */
  results: readonly string[];
}

/** A function that a module exports, with its type as text. */
export interface ExportedFunction extends Invocation {
  /** The type, for messages. */
  text: string;
}

function isNumber(type: string): boolean {
  return Object.hasOwn(INTEGERS, type) || FLOATS.has(type);
}

/** Whether a function has numbers only. */
function isPlain({ parameters, results }: Invocation): boolean {
  return [...parameters, ...results].every(isNumber);
}

/** Number of functions that a message lists. */
const LISTED_FUNCTIONS = 5;

/** Lists the functions of numbers that a module exports, as the end of a message; empty if there are none. */
export function describeFunctions(functions: readonly ExportedFunction[]): string {
  const callable = functions.filter(isPlain);
  return callable.length === 0 ? "" : `; its functions of numbers are ${listFunctions(callable)}`;
}

/** First function that can be called, as the start of a hint; undefined if there is none. */
export function hintForFunctions(functions: readonly ExportedFunction[]): string | undefined {
  const first = functions.find(isPlain);
  return first && `Call a function with --invoke ${quoteName(first.name).slice(1, -1)}`;
}

/** Lists functions for a message. */
function listFunctions(functions: readonly Pick<ExportedFunction, "name">[]): string {
  const listed = functions.slice(0, LISTED_FUNCTIONS).map(({ name }) => quoteName(name));
  const rest = functions.length - listed.length;
  if (listed.length === 0) return "none";
  return `${listed.join(", ")}${rest > 0 ? ` and ${rest} more` : ""}`;
}

/**
 * Finds the function of a call and checks the arguments.
 *
 * @throws {PlasmError} `bad-module` if there is none, or it has other types than numbers; `bad-input` for arguments that
 * it does not take
 */
export function findInvocation(
  functions: readonly ExportedFunction[],
  { name, args }: InvocationRequest,
): Invocation {
  const found = functions.find((one) => one.name === name);
  if (found === undefined) {
    throw badModule(
      `it exports no function ${quoteName(name)}, its functions are ${
        listFunctions(functions.filter(isPlain))
      }`,
      { hint: "Name one of them with --invoke" },
    );
  }
  if (!isPlain(found)) {
    throw badModule(
      `its function ${quoteName(name)} has type ${found.text.slice(0, 120)}, ` +
        "only functions of numbers can be called",
      { hint: "Export a command that reads its arguments and writes its results" },
    );
  }
  const { parameters, results } = found;
  parseArguments(found, args);
  return { name, parameters, results };
}

/**
 * Parses the arguments of a call.
 *
 * @throws {PlasmError} `bad-input` for a wrong number of arguments, or one that is no number of its type
 */
export function parseArguments(
  { name, parameters }: Invocation,
  args: readonly string[],
): (number | bigint)[] {
  if (args.length !== parameters.length) {
    throw new PlasmError(
      "bad-input",
      `Cannot call ${quoteName(name)}: it takes (${
        parameters.join(", ")
      }), found ${args.length} arguments`,
      { details: { asked: args.length, wanted: parameters.length } },
    );
  }
  return args.map((text, index) => parseNumber(parameters[index]!, text));
}

function parseNumber(type: string, text: string): number | bigint {
  const range = INTEGERS[type];
  if (range !== undefined) {
    const value = /^[+-]?(?:\d+|0x[0-9a-fA-F]+)$/.test(text)
      ? BigInt(text.replace(/^[+-]/, "")) * (text.startsWith("-") ? -1n : 1n)
      : undefined;
    if (value !== undefined && value >= range[0] && value <= range[1]) {
      return WIDE.has(type) ? value : Number(value);
    }
  } else {
    const special = /^([+-]?)(?:(inf)|nan)$/.exec(text);
    if (special !== null) {
      return special[2] === undefined ? NaN : special[1] === "-" ? -Infinity : Infinity;
    }
    if (/^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/.test(text)) return Number(text);
  }
  throw new PlasmError("bad-input", `Cannot use argument ${quoteName(text)}: expected ${type}`);
}

/** Formats the results of a call, one a line. */
export function formatResults(
  { results }: Invocation,
  values: readonly (number | bigint)[],
): string {
  return values.map((value, index) => `${formatNumber(results[index]!, value)}\n`).join("");
}

function formatNumber(type: string, value: number | bigint): string {
  if (!FLOATS.has(type)) return String(value);
  if (Number.isNaN(value)) return "nan";
  return String(value).replace("Infinity", "inf");
}
