/**
 * What a command of the CLI is; from this one description come parsing, help and completions.
 * @module
 */
import type { CliIo, DroppablePermission } from "./io.ts";

/** One option of a command. */
export interface OptionSpec {
  /** Long name, without dashes. */
  name: string;
  /** A flag takes no value; an integer is checked to be one. */
  kind: "flag" | "string" | "integer";
  /** What stands for the value in help. @default {"VALUE"} */
  placeholder?: string;
  /** What it does, in a few words, with its default. */
  help: string;
  /** Whether it may be given several times. @default {false} */
  repeat?: boolean;
  /** What completions offer for the value. @default {nothing} */
  complete?: "file" | readonly string[];
}

/** How a command is called. */
export interface CommandSpec {
  name: string;
  /** What it does, as a short phrase. */
  summary: string;
  /** What follows the command's name. */
  usage: string;
  /** A paragraph or two for `--help`. */
  description: string;
  options: readonly OptionSpec[];
  /** Least and most positional arguments, and what completions offer for them. */
  positionals: { min: number; max: number; complete?: "file" | readonly string[] };
  /** Whether arguments after `--` mean something. @default {false} */
  takesRest?: boolean;
  /** Calls that work, with what they do. */
  examples: readonly { call: string; does: string }[];
}

/** Arguments after parsing; each getter knows that they follow the description. */
export class ParsedArgs {
  readonly #values: ReadonlyMap<string, readonly string[]>;
  /** Arguments that are not options. */
  readonly positionals: readonly string[];
  /** Arguments after `--`; undefined where there is no `--`. */
  readonly rest: readonly string[] | undefined;

  constructor(
    values: ReadonlyMap<string, readonly string[]>,
    positionals: readonly string[],
    rest: readonly string[] | undefined,
  ) {
    this.#values = values;
    this.positionals = positionals;
    this.rest = rest;
  }

  /** Whether a flag was given. */
  flag(name: string): boolean {
    return this.#values.has(name);
  }

  /** The value of an option. */
  string(name: string): string | undefined {
    return this.#values.get(name)?.[0];
  }

  /** The values of an option that may be repeated. */
  strings(name: string): readonly string[] {
    return this.#values.get(name) ?? [];
  }

  /** The value of an integer option. */
  integer(name: string): number | undefined {
    const value = this.string(name);
    return value === undefined ? undefined : Number(value);
  }
}

/** A command: how it is called and what it does. */
export interface Command {
  spec: CommandSpec;
  /**
   * Permissions that it does not need when called so; the process gives them up before it runs.
   * @default {none}
   */
  drops?(args: ParsedArgs): readonly DroppablePermission[];
  /**
   * Runs it; resolves to the exit status.
   *
   * @throws {PlasmError} What went wrong; main.ts prints it and exits with its code.
   */
  run(args: ParsedArgs, io: CliIo): Promise<number>;
}
