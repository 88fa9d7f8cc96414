/**
 * Completions for fish.
 * @module
 */
import type { CommandSpec, OptionSpec } from "../command.ts";

/** The script. */
export function fishCompletions(specs: readonly CommandSpec[]): string {
  const names = specs.map(({ name }) => name);
  return [
    "# fish completion for plasm",
    "complete -c plasm -f",
    ...specs.map(({ name, summary }) =>
      `complete -c plasm -n __fish_use_subcommand -a ${name} -d ${quote(summary)}`
    ),
    "complete -c plasm -n __fish_use_subcommand -a help -d 'Print help'",
    `complete -c plasm -n '__fish_seen_subcommand_from help' -a '${names.join(" ")}'`,
    ...specs.flatMap(commandLines),
    "",
  ].join("\n");
}

function commandLines({ name, options, positionals, takesRest }: CommandSpec): string[] {
  const start = `complete -c plasm -n '__fish_seen_subcommand_from ${name}'`;
  const lines = options.map((option) =>
    `${start} -l ${option.name}${value(option)} -d ${quote(option.help)}`
  );
  const { complete } = positionals;
  if (complete === "file" || takesRest) lines.push(`${start} -F`);
  else if (complete !== undefined) lines.push(`${start} -a '${complete.join(" ")}'`);
  return lines;
}

function value({ kind, complete }: OptionSpec): string {
  if (kind === "flag") return "";
  if (complete === undefined) return " -x";
  return complete === "file" ? " -r -F" : ` -x -a '${complete.join(" ")}'`;
}

function quote(text: string): string {
  return `'${text.replace(/[\\']/g, "\\$&")}'`;
}
