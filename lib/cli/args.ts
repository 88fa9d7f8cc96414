/**
 * Parses and validates command-line arguments by a command's description.
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { PlasmError } from "../core/errors/mod.ts";
import { didYouMean, escapeText } from "../util/mod.ts";
import { type CommandSpec, type OptionSpec, ParsedArgs } from "./command.ts";

/** Options of every command. */
export const COMMON_OPTIONS: readonly OptionSpec[] = [
  { name: "json", kind: "flag", help: "Print results and errors as JSON" },
  { name: "help", kind: "flag", help: "Print this help" },
];

/** Options of other runtimes and of docker, and what replaces them. */
const FOREIGN_OPTIONS: Readonly<Record<string, string>> = {
  mapdir: "--dir HOST[:GUEST], which copies a directory into the job and back",
  mount: "--dir HOST[:GUEST], which copies a directory into the job and back",
  preopen: "--dir HOST[:GUEST], which copies a directory into the job and back",
  volume: "--dir HOST[:GUEST], which copies a directory into the job and back",
  v: "--dir HOST[:GUEST], which copies a directory into the job and back",
  e: "--env K=V",
  memory: "--memory-mb N",
  m: "--memory-mb N",
  mem: "--memory-mb N",
  "max-memory-size": "--memory-mb N",
  W: "--memory-mb N, --timeout S or --fuel N, which limit a job",
  cpus: "--cpu-seconds N, which limits CPU time",
  "wall-time": "--timeout S",
  host: "--socket PATH",
  H: "--socket PATH",
  i: "--input HOST[:GUEST]",
  o: "--output GUEST[:HOST]",
  f: "--follow",
  n: "--limit N",
  "output-dir": "--output, which names what the job returns and where it is written",
  deadline: "--timeout S",
  status: "--state NAME",
  P: "--jobs N",
  eta: "--bar",
  "data-dir": "--state-dir DIR",
};

/** Options of other tools for a job, and how to do without them. */
const FOREIGN_JOB_OPTIONS: readonly [names: string, hint: string][] = [
  ["d detach background", "plasm submit queues a job in the daemon and prints its id"],
  ["rm", "A job leaves nothing behind but what --output and --receipt name"],
  ["a arg args", "Put the job's arguments after --: plasm exec MODULE -- ARG"],
  ["q quiet v verbose", "Standard error has only the job's own lines and a reason if it fails"],
  [
    "allow-net allow-read allow-write allow-env allow-run A",
    "A job has no access to this machine but copies of --input and --dir",
  ],
  ["wasi wasm O", "plasm finds out which WASI a module needs, and always optimizes it"],
  ["t it interactive tty stdin stdout", "Redirect plasm's own: plasm exec MODULE < FILE > FILE"],
  ["w workdir cwd C", "Paths of a job begin at its root, which --input HOST:/ fills"],
  ["net network p publish tcplisten S", "A job has WASI preview1, without a network"],
  ["entrypoint", "A job runs the module's _start, or a function with --invoke"],
];

/** First arguments of other tools' commands, and how to do without them. */
const FOREIGN_WORDS: readonly [command: string, words: string, hint: string][] = [
  [
    "daemon",
    "start run up",
    "plasm daemon runs until Ctrl-C; systemctl start plasm starts the service",
  ],
  ["daemon", "stop down kill", "Press Ctrl-C where it runs, or run systemctl stop plasm"],
  ["daemon", "restart", "Run systemctl restart plasm, or plasm reload for a new configuration"],
  ["daemon", "status info", "Run plasm status"],
  ["daemon", "logs log", "The log is its standard output: journalctl -u plasm for the service"],
  ["config", "show list ls get dump view", "plasm config print lists every key and its value"],
  ["config", "validate test lint verify", "Run plasm config check"],
  ["config", "set edit", "Edit the file that plasm config check names, then run plasm reload"],
  ["receipt", "verify check", "Run plasm verify RECEIPT"],
  ["receipt", "list ls", "plasm jobs lists jobs; plasm result JOB --receipt FILE stores a receipt"],
  ["jobs", "ls list ps", "plasm jobs lists them without a further word"],
  ["jobs", "cancel rm stop kill delete", "Run plasm cancel JOB"],
  ["jobs", "show get inspect status", "Run plasm status JOB"],
  ["peers", "ls list show", "plasm peers lists them without a further word"],
  ["peers", "add connect", "Add it to network.bootstrap, then run plasm reload"],
  ["id", "show print get", "plasm id prints it without a further word"],
  ["modules", "list", "Run plasm modules ls"],
  ["modules", "delete remove", "Run plasm modules rm sha256:…"],
  ["modules", "add get fetch", "Run plasm modules pull REFERENCE"],
];

/**
 * Parses the arguments of a command.
 *
 * @throws {PlasmError} `usage` if the arguments do not match the description
 */
export function parseCommandArgs(spec: CommandSpec, words: readonly string[]): ParsedArgs {
  rejectInvalidUtf8(words);
  const itemsAt = spec.takesItems === true ? words.findIndex(isItemSeparator) : -1;
  const args = itemsAt < 0 ? words : words.slice(0, itemsAt);
  const known = [...spec.options, ...COMMON_OPTIONS];
  const flags = known.filter(({ kind }) => kind === "flag").map(({ name }) => name);
  const valued = known.filter(({ kind }) => kind !== "flag").map(({ name }) => name);
  let hasModule = false;
  const spelled = withDefaultValues(withAttachedValues(args, known), known);
  const parsed = parseArgs(withNegativeValues(spelled, known), {
    boolean: flags,
    string: [...valued, "_"],
    collect: valued,
    alias: {
      h: "help",
      ...Object.fromEntries(known.flatMap(({ short, name }) => short ? [[short, name]] : [])),
    },
    "--": true,
    unknown: (arg, key) => {
      if (key !== undefined) throw unknownOption(spec, arg, { known, hasModule });
      hasModule = true;
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
  const result = new ParsedArgs(values, {
    positionals: parsed._.map(String),
    rest: hasRest ? (parsed["--"] ?? []).map(String) : undefined,
    items: itemsAt < 0 ? undefined : words.slice(itemsAt),
  });
  if (!result.flag("help")) {
    checkPositionals(spec, result);
    checkActions(spec, result);
  }
  return result;
}

/** Rejects options that have no effect on the action. */
function checkActions({ name, options, positionals }: CommandSpec, args: ParsedArgs): void {
  const { actions, complete } = positionals;
  const action = args.positionals[0] ?? "";
  const known = actions ?? (Array.isArray(complete) ? complete as readonly string[] : []);
  if (!known.includes(action)) return;
  const unused = options.find((option) =>
    args.flag(option.name) && option.actions?.includes(action) === false
  );
  if (unused === undefined) return;
  throw new PlasmError("usage", `Cannot use --${unused.name} with ${action}`, {
    hint: `Use --${unused.name} with plasm ${name} ${unused.actions!.join(" or ")}`,
  });
}

/** Options of GNU parallel and xargs, and how to do without them. */
const FOREIGN_ITEM_OPTIONS: readonly [names: string, hint: string][] = [
  ["a arg-file", "Name the file after the module: plasm map MODULE :::: FILE"],
  [
    "d delimiter C colsep csv",
    "An item is one line, or ends at NUL with --null; link one list for each column: :::: A ::::+ B",
  ],
  ["link xapply", "Link lists with :::+ or ::::+"],
  [
    "n N L l max-args max-replace-args X m xargs",
    "Each job has one item; {2} is of the second list",
  ],
  ["I i replace", "The replacement string is {}"],
  ["P max-procs", "Use -j N"],
  ["progress eta", "Use --bar"],
  ["S sshlogin slf sshloginfile", "Use --remote, or --peer ID of each node"],
  ["retry-failed", "Use --resume-failed with --results DIR"],
  [
    "u ungroup linebuffer line-buffer lb group",
    "Output of a job is printed when it ends; -k orders it",
  ],
  ["tag tagstring", "Use --json, which prints each item with its output"],
  ["pipe pipepart block spreadstdin", "Split the input into files first, and use --stdin {}"],
  ["q quote will-cite shellquote", "Leave it out: there is no shell, items are passed as they are"],
  ["v verbose t", "Use --dry-run, or --joblog FILE"],
  ["wd workdir transferfile trc transfer return cleanup", "Use --input {} and --output NAME"],
];

/** Whether an argument begins the items of a command, as in GNU parallel. */
function isItemSeparator(word: string): boolean {
  return word === ":::" || word === "::::";
}

/** Spells out a letter with its value, such as -j8 or -j200%. */
function withAttachedValues(args: readonly string[], known: readonly OptionSpec[]): string[] {
  const end = args.indexOf("--");
  return args.map((arg, at) => {
    const [, letter, value] = /^-([^-])(.+)$/s.exec(arg) ?? [];
    const option = known.find(({ short, kind }) => short === letter && kind !== "flag");
    const isOption = letter !== undefined && option !== undefined && (end < 0 || at < end);
    return isOption ? `--${option.name}=${value!.replace(/^=/, "")}` : arg;
  });
}

/** Adds the value of options that are given without one. Only digits are the value of such an option. */
function withDefaultValues(args: readonly string[], known: readonly OptionSpec[]): string[] {
  const end = args.indexOf("--");
  return args.map((arg, at) => {
    if (end >= 0 && at >= end) return arg;
    const option = known.find(({ name }) => arg === `--${name}`);
    if (option?.withoutValue === undefined || /^-?\d+$/.test(args[at + 1] ?? "")) return arg;
    return `${arg}=${option.withoutValue}`;
  });
}

/** Joins an option and a negative number, which is its value and no option. */
function withNegativeValues(args: readonly string[], known: readonly OptionSpec[]): string[] {
  const end = args.indexOf("--");
  const valued = known.filter(({ kind }) => kind !== "flag")
    .flatMap(({ name, short }) => [`--${name}`, ...short === undefined ? [] : [`-${short}`]]);
  return args.flatMap((arg, at) => {
    if (end >= 0 && at > end) return [arg];
    if (/^-\d/.test(arg) && valued.includes(args[at - 1] ?? "")) return [];
    const next = args[at + 1] ?? "";
    return valued.includes(arg) && /^-\d/.test(next) ? [`${arg}=${next}`] : [arg];
  });
}

function checkValues(spec: CommandSpec, option: OptionSpec, values: string[]): string[] {
  if (values.includes("")) throw usage(spec, `Option needs a value: --${option.name}`);
  if (values.length > 1 && option.repeat !== true) {
    throw usage(spec, `Option cannot be repeated: --${option.name}`);
  }
  if (option.parse !== undefined) {
    try {
      return values.map(option.parse);
    } catch (error) {
      const { message, hint } = PlasmError.from(error);
      throw new PlasmError("usage", `${message} for --${option.name}`, { hint });
    }
  }
  if (option.kind === "integer") {
    for (const value of values) {
      if (!/^\d{1,16}$/.test(value) || !Number.isSafeInteger(Number(value))) {
        throw new PlasmError(
          "usage",
          `Option --${option.name} needs a whole number: ${escapeText(value)}`,
          { hint: `--${option.name} ${option.placeholder ?? "N"}: ${option.help}` },
        );
      }
      const [min, max] = option.range ?? [0, Infinity];
      if (Number(value) < min || Number(value) > max) {
        throw usage(spec, `Option --${option.name} must be ${min} to ${max}, found ${value}`);
      }
    }
  }
  return values;
}

function checkPositionals(spec: CommandSpec, { positionals, rest }: ParsedArgs): void {
  const { min, max } = spec.positionals;
  const first = positionals[0] ?? "";
  const foreign = FOREIGN_WORDS.find(([command, words]) =>
    command === spec.name && words.split(" ").includes(first)
  );
  if (foreign !== undefined) {
    throw new PlasmError("usage", `Unknown argument: ${first}`, { hint: foreign[2] });
  }
  if (positionals.length < min) {
    throw usage(spec, `Missing argument: ${spec.usage.replace("[OPTIONS] ", "")}`);
  }
  if (positionals.length > max) {
    const error = usage(spec, `Unexpected argument: ${escapeText(positionals[max]!)}`);
    if (spec.takesRest !== true) throw error;
    throw new PlasmError("usage", error.message, {
      hint: `Put the job's arguments after --: plasm ${spec.name} ${
        escapeText(positionals[0] ?? "MODULE")
      } -- ${escapeText(positionals[max]!)}`,
    });
  }
  if (rest !== undefined && rest.length > 0 && spec.takesRest !== true) {
    throw usage(spec, `Unexpected argument: ${escapeText(rest[0]!)}`);
  }
}

/** Rejects arguments in which Deno has replaced invalid UTF-8 by U+FFFD: the job would receive other bytes. */
function rejectInvalidUtf8(args: readonly string[]): void {
  const at = args.findIndex((arg) => arg.includes("\uFFFD"));
  if (at >= 0) {
    throw new PlasmError("usage", `Cannot use argument ${at + 1}: it is not valid UTF-8`, {
      hint: "Pass such bytes in a file with --input or on standard input",
    });
  }
}

function unknownOption(
  spec: CommandSpec,
  arg: string,
  { known, hasModule }: { known: readonly OptionSpec[]; hasModule: boolean },
): PlasmError {
  const name = arg.replace(/^-+/, "").replace(/=.*$/s, "");
  // A letter may be followed by its value, as in -n2.
  const letter = /^-[^-]/.test(arg) ? name[0] : undefined;
  const itemHint = spec.takesItems === true && !hasModule
    ? FOREIGN_ITEM_OPTIONS.find(([names]) =>
      names.split(" ").some((one) => one === name || one === letter)
    )?.[1]
    : undefined;
  if (itemHint !== undefined) {
    return new PlasmError("usage", `Unknown option: ${escapeText(arg.replace(/=.*$/s, ""))}`, {
      hint: itemHint,
    });
  }
  const foreign = Object.hasOwn(FOREIGN_OPTIONS, name) ? FOREIGN_OPTIONS[name] : undefined;
  if (foreign !== undefined && known.some((option) => foreign.startsWith(`--${option.name}`))) {
    return new PlasmError("usage", `Unknown option: ${escapeText(arg.replace(/=.*$/s, ""))}`, {
      hint: `Use ${foreign}`,
    });
  }
  const near = didYouMean(name, known.map((option) => option.name));
  const error = usage(spec, `Unknown option: ${escapeText(arg.replace(/=.*$/s, ""))}`);
  const jobHint = spec.takesRest && !hasModule
    ? FOREIGN_JOB_OPTIONS.find(([names]) => names.split(" ").includes(name))?.[1]
    : undefined;
  const hint = jobHint !== undefined
    ? jobHint
    : near !== undefined
    ? `Did you mean --${near}?`
    : spec.takesRest && hasModule
    ? `Put the job's arguments after --: plasm ${spec.name} MODULE -- ${escapeText(arg)}`
    : error.hint;
  return new PlasmError("usage", error.message, { hint });
}

function usage(spec: CommandSpec, message: string): PlasmError {
  return new PlasmError("usage", message, { hint: `Run plasm ${spec.name} --help` });
}
