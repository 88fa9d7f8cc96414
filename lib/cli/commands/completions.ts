/**
 * The command `plasm completions`: generates completion scripts for bash, zsh and fish from the commands' descriptions.
 *
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { escapeText } from "../../util/mod.ts";
import { COMMON_OPTIONS } from "../args.ts";
import type { Command, CommandSpec, Completion, DynamicWords, OptionSpec } from "../command.ts";
import { createClient } from "../daemon_client.ts";
import type { CliIo } from "../io.ts";
import type { ParsedArgs } from "../command.ts";
import { COMMANDS } from "./mod.ts";

/** Generators by shell. */
const SHELLS: Readonly<Record<string, (specs: readonly CommandSpec[]) => string>> = {
  bash: bashCompletions,
  zsh: zshCompletions,
  fish: fishCompletions,
};

/** Number of jobs that completions offer, newest first. */
const MAX_JOBS = 50;

/** Longest wait for the daemon, in milliseconds: the shell waits for the words. */
const WORDS_MS = 2000;

/** Words that the scripts request while they complete. */
const WORDS: Readonly<Record<DynamicWords, (args: ParsedArgs, io: CliIo) => Promise<string[]>>> = {
  jobs: async (args, io) => {
    using client = await createClient(args, io);
    const signal = AbortSignal.any([io.signal, AbortSignal.timeout(WORDS_MS)]);
    const { jobs } = await client.jobs({ limit: MAX_JOBS, signal });
    return jobs.map(({ id }) => id);
  },
  peers: async (args, io) => {
    using client = await createClient(args, io);
    const signal = AbortSignal.any([io.signal, AbortSignal.timeout(WORDS_MS)]);
    const { peers } = await client.peers({ signal });
    return peers.map(({ peer_id }) => peer_id);
  },
  keys: async () => (await import("../../config/mod.ts")).CONFIG_KEYS.map(({ name }) => `${name}=`),
};

/** `plasm completions` */
export const completions: Command = {
  spec: {
    name: "completions",
    summary: "Print the completion script of a shell",
    usage: "SHELL",
    description:
      "Prints a script that completes commands, options and values of plasm in bash, zsh or fish. The " +
      "Debian package installs the scripts.",
    options: [],
    positionals: { min: 1, max: 1, complete: Object.keys(SHELLS) },
    examples: [
      { call: 'eval "$(plasm completions bash)"', does: "Complete in the current bash" },
      {
        call: "plasm completions fish > ~/.config/fish/completions/plasm.fish",
        does: "Complete in every fish",
      },
    ],
  },
  async run(args, io): Promise<number> {
    const shell = args.positionals[0]!;
    if (Object.hasOwn(WORDS, shell)) {
      // The shell shows no error: without a daemon there are no words.
      const words = await WORDS[shell as DynamicWords](args, io).catch(() => []);
      await io.write(words.map((word) => `${word}\n`).join(""));
      return 0;
    }
    const generate = Object.hasOwn(SHELLS, shell) ? SHELLS[shell] : undefined;
    if (generate === undefined) {
      throw new PlasmError("usage", `Unknown shell: ${escapeText(shell)}`, {
        hint: `Use one of ${Object.keys(SHELLS).join(", ")}`,
      });
    }
    await io.write(generate(await allSpecs()));
    return 0;
  },
};

/** Loads the descriptions of all commands, including the common options. */
export async function allSpecs(): Promise<CommandSpec[]> {
  const commands = await Promise.all(COMMANDS.map(({ load }) => load()));
  return commands.map(({ spec }) => ({ ...spec, options: [...spec.options, ...COMMON_OPTIONS] }));
}

/** Generates a script for bash. It does not need the bash-completion package. */
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
  # Arguments after -- belong to the job.
  for ((i = 2; i < COMP_CWORD; i++)); do
    if [[ \${COMP_WORDS[i]} == -- ]]; then
      compopt -o filenames
      mapfile -t COMPREPLY < <(compgen -f -- "$cur")
      return
    fi
  done
  case "$command $prev" in
${specs.flatMap(bashValueCases).join("\n")}
  esac
  case "$command" in
${specs.map(bashCommandCase).join("\n")}
    help) COMPREPLY=($(compgen -W '${names}' -- "$cur")) ;;
  esac
}
complete -F _plasm plasm
`;
}

const BASH_FILES = `compopt -o filenames
      mapfile -t COMPREPLY < <(compgen -f -- "$cur")`;

function bashWords(list: readonly string[]): string {
  return `COMPREPLY=($(compgen -W '${list.join(" ")}' -- "$cur"))`;
}

function bashOffer(complete: Completion | undefined): string {
  if (complete === undefined) return ":";
  if (complete === "file") return BASH_FILES;
  if ("words" in complete) {
    return `COMPREPLY=($(compgen -W "$(${wordsCall(complete)})" -- "$cur"))`;
  }
  return bashWords(complete);
}

/** Shell command that prints the words. */
function wordsCall({ words }: { words: DynamicWords }): string {
  return `plasm completions ${words} 2>/dev/null`;
}

function bashValueCases({ name, options }: CommandSpec): string[] {
  return options.filter(({ kind }) => kind !== "flag").map((option) => {
    const { complete } = option;
    const offer = bashOffer(complete);
    return `    "${name} --${option.name}")
      ${offer}
      return
      ;;`;
  });
}

function bashCommandCase({ name, options, positionals }: CommandSpec): string {
  const { actions, complete } = positionals;
  const offer = bashOffer(complete);
  const elseAction = actions === undefined ? "" : `
    elif [[ ! " \${COMP_WORDS[*]:2:COMP_CWORD-2} " =~ \\ (${actions.join("|")})\\  ]]; then
      ${bashWords(actions)}`;
  return `    ${name})
    if [[ $cur == -* ]]; then
      ${bashWords(options.map((option) => `--${option.name}`))}${elseAction}
    else
      ${offer}
    fi
    ;;`;
}

/** Generates a script for zsh, which autoloads it as `_plasm` or evaluates it. */
export function zshCompletions(specs: readonly CommandSpec[]): string {
  return `#compdef plasm
_plasm() {
  local -a commands=(
${
    specs.map(({ name, summary }) => `    ${zshQuote(`${name}:${escapeColons(summary)}`)}`).join(
      "\n",
    )
  }
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
${specs.map(zshCommandCase).join("\n")}
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

function zshCommandCase({ name, options, positionals, takesRest }: CommandSpec): string {
  const lines = options.map(zshOption);
  const { actions, complete } = positionals;
  if (actions !== undefined) lines.push(zshQuote(`1:action:${zshAction(actions)}`));
  if (complete !== undefined) {
    lines.push(zshQuote(`${actions === undefined ? 1 : "*"}:argument:${zshAction(complete)}`));
  }
  if (takesRest) lines.push(zshQuote("*:argument:_files"));
  return `    ${name})
      _arguments \\
${lines.map((line) => `        ${line}`).join(" \\\n")}
      ;;`;
}

function zshOption(option: OptionSpec): string {
  const repeat = option.repeat ? "*" : "";
  const help = `[${option.help.replace(/[\\[\]:]/g, "\\$&")}]`;
  if (option.kind === "flag") return zshQuote(`${repeat}--${option.name}${help}`);
  const what = escapeColons(option.placeholder ?? "VALUE").replace(/[[\]]/g, "\\$&");
  return zshQuote(`${repeat}--${option.name}=${help}:${what}:${zshAction(option.complete)}`);
}

function zshAction(complete: Completion | undefined): string {
  if (complete === undefined) return "";
  if (typeof complete === "object" && "words" in complete) {
    return `{compadd -- \${(f)"$(${wordsCall(complete)})"}}`;
  }
  return complete === "file" ? "_files" : `(${complete.join(" ")})`;
}

function escapeColons(text: string): string {
  return text.replaceAll(":", "\\:");
}

function zshQuote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** Generates a script for fish. */
export function fishCompletions(specs: readonly CommandSpec[]): string {
  const names = specs.map(({ name }) => name);
  return [
    "# fish completion for plasm",
    "complete -c plasm -f",
    ...specs.map(({ name, summary }) =>
      `complete -c plasm -n __fish_use_subcommand -a ${name} -d ${fishQuote(summary)}`
    ),
    "complete -c plasm -n __fish_use_subcommand -a help -d 'Print help'",
    `complete -c plasm -n '__fish_seen_subcommand_from help' -a '${names.join(" ")}'`,
    ...specs.flatMap(fishCommandLines),
    "",
  ].join("\n");
}

function fishCommandLines({ name, options, positionals, takesRest }: CommandSpec): string[] {
  const seen = `__fish_seen_subcommand_from ${name}`;
  const start = `complete -c plasm -n '${seen}'`;
  const lines = options.map((option) =>
    `${start} -l ${option.name}${fishValue(option)} -d ${fishQuote(option.help)}`
  );
  const { actions, complete } = positionals;
  let others = start;
  if (actions !== undefined) {
    const words = actions.join(" ");
    const isFirst = `not __fish_seen_subcommand_from ${words}`;
    lines.push(`complete -c plasm -n '${seen}; and ${isFirst}' -a '${words}'`);
    others = `complete -c plasm -n '${seen}; and not ${isFirst}'`;
  }
  if (complete === "file" || takesRest) lines.push(`${others} -F`);
  else if (complete !== undefined) lines.push(`${others} -a '${fishWords(complete)}'`);
  return lines;
}

function fishValue({ kind, complete }: OptionSpec): string {
  if (kind === "flag") return "";
  if (complete === undefined) return " -x";
  return complete === "file" ? " -r -F" : ` -x -a '${fishWords(complete)}'`;
}

function fishWords(complete: Exclude<Completion, "file">): string {
  return "words" in complete ? `(${wordsCall(complete)})` : complete.join(" ");
}

function fishQuote(text: string): string {
  return `'${text.replace(/[\\']/g, "\\$&")}'`;
}
