/**
 * Completions for zsh.
 * @module
 */
import type { CommandSpec, OptionSpec } from "../command.ts";

/** The script: a function to be autoloaded as `_plasm`, or evaluated. */
export function zshCompletions(specs: readonly CommandSpec[]): string {
  return `#compdef plasm
_plasm() {
  local -a commands=(
${specs.map(({ name, summary }) => `    ${quote(`${name}:${escapeColons(summary)}`)}`).join("\n")}
    'help:Print help'
  )
  if ((CURRENT == 2)); then
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  ((CURRENT--))
  case $command in
${specs.map(commandCase).join("\n")}
    help) _arguments '1:command:(${specs.map(({ name }) => name).join(" ")})' ;;
  esac
}
if [[ $funcstack[1] == _plasm ]]; then
  _plasm "$@"
else
  compdef _plasm plasm
fi
`;
}

function commandCase({ name, options, positionals, takesRest }: CommandSpec): string {
  const lines = options.map(optionLine);
  if (positionals.complete !== undefined) {
    lines.push(quote(`1:argument:${action(positionals.complete)}`));
  }
  if (takesRest) lines.push(quote("*:argument:_files"));
  return `    ${name})
      _arguments \\
${lines.map((line) => `        ${line}`).join(" \\\n")}
      ;;`;
}

function optionLine(option: OptionSpec): string {
  const repeat = option.repeat ? "*" : "";
  const help = `[${option.help.replace(/[\\[\]:]/g, "\\$&")}]`;
  if (option.kind === "flag") return quote(`${repeat}--${option.name}${help}`);
  const what = escapeColons(option.placeholder ?? "VALUE").replace(/[[\]]/g, "\\$&");
  return quote(`${repeat}--${option.name}=${help}:${what}:${action(option.complete)}`);
}

function action(complete: OptionSpec["complete"]): string {
  if (complete === undefined) return "";
  return complete === "file" ? "_files" : `(${complete.join(" ")})`;
}

function escapeColons(text: string): string {
  return text.replaceAll(":", "\\:");
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
