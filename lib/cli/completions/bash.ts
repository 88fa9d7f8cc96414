/**
 * Completions for bash.
 * @module
 */
import type { CommandSpec } from "../command.ts";

/** The script; needs nothing of the bash-completion package. */
export function bashCompletions(specs: readonly CommandSpec[]): string {
  const names = specs.map(({ name }) => name).join(" ");
  return `# bash completion for plasm
_plasm() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD - 1]} command=\${COMP_WORDS[1]} i
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    COMPREPLY=($(compgen -W '${names} help --help --version' -- "$cur"))
    return
  fi
  # What follows -- is the job's, and anything.
  for ((i = 2; i < COMP_CWORD; i++)); do
    if [[ \${COMP_WORDS[i]} == -- ]]; then
      compopt -o filenames
      mapfile -t COMPREPLY < <(compgen -f -- "$cur")
      return
    fi
  done
  case "$command $prev" in
${specs.flatMap(valueCases).join("\n")}
  esac
  case "$command" in
${specs.map(commandCase).join("\n")}
    help) COMPREPLY=($(compgen -W '${names}' -- "$cur")) ;;
  esac
}
complete -F _plasm plasm
`;
}

const FILES = `compopt -o filenames
      mapfile -t COMPREPLY < <(compgen -f -- "$cur")`;

function words(list: readonly string[]): string {
  return `COMPREPLY=($(compgen -W '${list.join(" ")}' -- "$cur"))`;
}

function valueCases({ name, options }: CommandSpec): string[] {
  return options.filter(({ kind }) => kind !== "flag").map((option) => {
    const { complete } = option;
    const offer = complete === undefined ? ":" : complete === "file" ? FILES : words(complete);
    return `    "${name} --${option.name}")
      ${offer}
      return
      ;;`;
  });
}

function commandCase({ name, options, positionals }: CommandSpec): string {
  const { complete } = positionals;
  const offer = complete === undefined ? ":" : complete === "file" ? FILES : words(complete);
  return `    ${name})
    if [[ $cur == -* ]]; then
      ${words(options.map((option) => `--${option.name}`))}
    else
      ${offer}
    fi
    ;;`;
}
