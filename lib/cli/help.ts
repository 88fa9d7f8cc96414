/**
 * Formats help texts from the descriptions of commands.
 *
 * @module
 */
import { COMMON_OPTIONS } from "./args.ts";
import type { CommandSpec, OptionSpec } from "./command.ts";
import type { CommandGroup } from "./commands/mod.ts";

/** Headings of `plasm --help`, in order. */
const GROUPS: Record<CommandGroup, string> = {
  run: "Run jobs",
  daemon: "Run a daemon",
  network: "Network",
  receipts: "Receipts",
  other: "Other",
};

/** Widest text, in columns: longer lines are hard to read. */
const MAX_COLUMNS = 100;

/** Wraps a text to a number of columns; each line starts with the indent. */
export function wrap(text: string, columns: number, indent = ""): string {
  const width = Math.max(20, Math.min(columns, MAX_COLUMNS) - indent.length);
  const lines: string[] = [];
  for (const paragraph of text.split("\n")) {
    let line = "";
    for (const word of paragraph.split(" ")) {
      if (line !== "" && line.length + 1 + word.length > width) {
        lines.push(line);
        line = word;
      } else line = line === "" ? word : `${line} ${word}`;
    }
    lines.push(line);
  }
  return lines.map((line) => (line === "" ? "" : indent + line)).join("\n");
}

/** The text of `plasm COMMAND --help`. */
export function commandHelp(spec: CommandSpec, columns: number): string {
  const options = [...spec.options, ...COMMON_OPTIONS];
  const names = options.map(optionUsage);
  const width = Math.max(...names.map((name) => name.length));
  const rows = options.map((option, i) => {
    const text = wrap(option.help, columns - 4 - width).split("\n");
    return [
      `  ${names[i]!.padEnd(width)}  ${text[0]}`,
      ...text.slice(1).map((line) => " ".repeat(width + 4) + line),
    ]
      .join("\n");
  });
  const examples = spec.examples.map(({ call, does }) =>
    `${wrap(does, columns, "  # ")}\n  ${call}`
  );
  return [
    `Usage: plasm ${spec.name} ${spec.usage}`.trimEnd(),
    "",
    wrap(spec.description, columns),
    "",
    "Options:",
    ...rows,
    "",
    "Examples:",
    ...examples,
    "",
  ].join("\n");
}

/** The text of `plasm --help`. */
export function programHelp(
  commands: readonly { name: string; group: CommandGroup; summary: string }[],
  columns: number,
): string {
  const width = Math.max(...commands.map(({ name }) => name.length));
  return [
    "Usage: plasm COMMAND …",
    "",
    wrap(
      "Open, verifiable compute: runs WASI jobs in a sandbox and returns a signed receipt for each run.",
      columns,
    ),
    "",
    ...Object.entries(GROUPS).flatMap(([group, heading]) => [
      `${heading}:`,
      ...commands.filter((command) => command.group === group)
        .map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`),
      "",
    ]),
    "Run plasm COMMAND --help for options and examples.",
    "",
  ].join("\n");
}

function optionUsage(option: OptionSpec): string {
  const letter = option.name === "help" ? "h" : option.short;
  const short = letter === undefined ? "" : `-${letter}, `;
  const value = option.kind === "flag" ? "" : ` ${option.placeholder ?? "VALUE"}`;
  return `${short}--${option.name}${value}${option.repeat ? " …" : ""}`;
}
