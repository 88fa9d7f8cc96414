/**
 * `plasm completions`.
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { printable } from "../../util/mod.ts";
import { COMMON_OPTIONS } from "../args.ts";
import type { Command, CommandSpec } from "../command.ts";
import { COMMANDS } from "./mod.ts";
import { bashCompletions } from "../completions/bash.ts";
import { fishCompletions } from "../completions/fish.ts";
import { zshCompletions } from "../completions/zsh.ts";

/** The shells and the functions that make a script of all commands' descriptions. */
const SHELLS: Readonly<Record<string, (specs: readonly CommandSpec[]) => string>> = {
  bash: bashCompletions,
  zsh: zshCompletions,
  fish: fishCompletions,
};

/** The command. */
export const completions: Command = {
  spec: {
    name: "completions",
    summary: "Print the completions of a shell",
    usage: "SHELL",
    description:
      "Prints a script that teaches a shell the commands and options of plasm. The shells are bash, " +
      "zsh and fish. A package of plasm installs the scripts itself.",
    options: [],
    positionals: { min: 1, max: 1, complete: Object.keys(SHELLS) },
    examples: [
      { call: 'eval "$(plasm completions bash)"', does: "Completions in this bash" },
      {
        call: "plasm completions fish > ~/.config/fish/completions/plasm.fish",
        does: "Completions in every fish",
      },
    ],
  },
  async run(args, io): Promise<number> {
    const shell = args.positionals[0]!;
    const generate = Object.hasOwn(SHELLS, shell) ? SHELLS[shell] : undefined;
    if (generate === undefined) {
      throw new PlasmError("usage", `Unknown shell: ${printable(shell)}`, {
        hint: `Known are ${Object.keys(SHELLS).join(", ")}`,
      });
    }
    await io.write(generate(await allSpecs()));
    return 0;
  },
};

/** The descriptions of all commands, each with the options that every command has. */
export async function allSpecs(): Promise<CommandSpec[]> {
  const commands = await Promise.all(COMMANDS.map(({ load }) => load()));
  return commands.map(({ spec }) => ({ ...spec, options: [...spec.options, ...COMMON_OPTIONS] }));
}
