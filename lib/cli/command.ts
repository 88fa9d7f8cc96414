/**
 * Types of a command: its description, from which parsing, help and completions follow, and its arguments.
 *
 * @module
 */
import type { CliIo, DroppablePermission } from "./io.ts";

/** Words that only a running plasm knows: `plasm completions jobs`, `peers` or `keys` prints them. */
export type DynamicWords = "jobs" | "peers" | "keys";

/** Completions of a value: files, fixed words, or words that plasm prints. */
export type Completion = "file" | readonly string[] | { words: DynamicWords };

/** One option of a command. */
export interface OptionSpec {
  /** Long name, without dashes. */
  name: string;
  /** One letter that is the same option, without a dash. @default {none} */
  short?: string;
  /** Type of the value; a flag has none. */
  kind: "flag" | "string" | "integer";
  /** Name of the value in help. @default {"VALUE"} */
  placeholder?: string;
  /** Value if it is given without one, of an integer. @default {the option needs a value} */
  withoutValue?: string;
  /** What it does, with unit and default. */
  help: string;
  /** Whether it can be repeated. @default {false} */
  repeat?: boolean;
  /** Least and greatest value of an integer. @default {from 0} */
  range?: readonly [min: number, max: number];
  /** Converts the value; throws a usage error if it cannot be used. @default {no conversion} */
  parse?: (text: string) => string;
  /** Completions of the value. @default {none} */
  complete?: Completion;
  /** Actions, the command's first argument, that use it. @default {all} */
  actions?: readonly string[];
}

/** Description of a command. */
export interface CommandSpec {
  name: string;
  /** What it does, as a short phrase. */
  summary: string;
  /** Usage after the command's name. */
  usage: string;
  /** A paragraph or two for `--help`. */
  description: string;
  options: readonly OptionSpec[];
  /** Number of positional arguments, and their completions. `actions` are those of the first, if they differ. */
  positionals: { min: number; max: number; actions?: readonly string[]; complete?: Completion };
  /** Whether arguments after `--` are allowed. @default {false} */
  takesRest?: boolean;
  /** Whether `:::` or `::::` and everything after it are items. @default {false} */
  takesItems?: boolean;
  /** Examples of calls, with what they do. */
  examples: readonly { call: string; does: string }[];
}

/** Words of a command line that are not options, for {@linkcode ParsedArgs}. */
export interface ParsedWords {
  /** Arguments before `--`. @default {[]} */
  positionals?: readonly string[] | undefined;
  /** Arguments after `--`. @default {there is no --} */
  rest?: readonly string[] | undefined;
  /** `:::` or `::::` and the arguments after it. @default {there is neither} */
  items?: readonly string[] | undefined;
}

/** Parsed arguments, which match the command's description. */
export class ParsedArgs {
  readonly #values: ReadonlyMap<string, readonly string[]>;
  /** Arguments that are not options. */
  readonly positionals: readonly string[];
  /** Arguments after `--`; undefined without `--`. */
  readonly rest: readonly string[] | undefined;
  /** `:::` or `::::` and the arguments after it; undefined without one. */
  readonly items: readonly string[] | undefined;

  constructor(
    values: ReadonlyMap<string, readonly string[]>,
    { positionals = [], rest, items }: ParsedWords = {},
  ) {
    this.#values = values;
    this.positionals = positionals;
    this.rest = rest;
    this.items = items;
  }

  /** The same options with other arguments. */
  withPositionals(positionals: readonly string[]): ParsedArgs {
    return new ParsedArgs(this.#values, { positionals, rest: this.rest, items: this.items });
  }

  /** Reports whether an option is set. */
  flag(name: string): boolean {
    return this.#values.has(name);
  }

  /** The value of an option. */
  string(name: string): string | undefined {
    return this.#values.get(name)?.[0];
  }

  /** The values of an option that can be repeated. */
  strings(name: string): readonly string[] {
    return this.#values.get(name) ?? [];
  }

  /** The value of an integer option. */
  integer(name: string): number | undefined {
    const value = this.string(name);
    return value === undefined ? undefined : Number(value);
  }
}

/** A command. */
export interface Command {
  spec: CommandSpec;
  /**
   * Permissions that the command does not need with these arguments; they are revoked before it runs.
   * @default {none}
   */
  drops?(args: ParsedArgs): readonly DroppablePermission[];
  /**
   * Runs the command. Resolves to the exit status.
   *
   * @throws {PlasmError} Printed by `runCommandLine`, which returns the exit status of its code
   */
  run(args: ParsedArgs, io: CliIo): Promise<number>;
}
