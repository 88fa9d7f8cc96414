/**
 * Connects commands to the daemon, and formats what it returns as tables.
 *
 * @module
 */
import type { DaemonClient } from "../client/mod.ts";
import type { OptionSpec, ParsedArgs } from "./command.ts";
import type { CliIo } from "./io.ts";

/** Option of commands that read a configuration file. */
export const CONFIG_OPTION: OptionSpec = {
  name: "config",
  kind: "string",
  placeholder: "FILE",
  complete: "file",
  help: "Read this configuration file (default the user's, else the system's)",
};

/** Option of every command that uses the daemon. */
export const SOCKET_OPTION: OptionSpec = {
  name: "socket",
  kind: "string",
  placeholder: "PATH",
  complete: "file",
  help: "Connect to this socket (default $PLASM_SOCKET, else the system's or the user's)",
};

/**
 * Creates a client of the daemon that the command line names. The client's modules are loaded here: a command that
 * may run without a daemon must not wait for them.
 *
 * @throws {PlasmError} `no-daemon`
 */
export async function createClient(args: ParsedArgs, io: CliIo): Promise<DaemonClient> {
  const { connectDaemon } = await import("../client/mod.ts");
  return connectDaemon({ socket: args.string("socket"), env: (name) => io.env(name) });
}

/** Formats rows as columns. The last column is not padded. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, at) =>
    Math.max(...rows.map((row) => (row[at] ?? "").length))
  );
  return rows.map((row) =>
    `${
      row.map((cell, at) => at === row.length - 1 ? cell : cell.padEnd(widths[at] ?? 0)).join("  ")
    }\n`
  ).join("");
}

/** Option of commands that print a table. */
export const NO_TRUNC_OPTION: OptionSpec = {
  name: "no-trunc",
  kind: "flag",
  help: "Print full columns, also where they exceed the terminal's width",
};

/** Least width to which a column is shortened. */
const MIN_COLUMN = 8;

/** Formats a table that fits the terminal, if standard output is one; `--no-trunc` prints all of it. */
export function fittedTable(
  rows: readonly (readonly string[])[],
  { args, io }: { args: ParsedArgs; io: Pick<CliIo, "columns" | "stdoutIsTerminal"> },
): string {
  const isFull = args.flag("no-trunc") || !io.stdoutIsTerminal;
  return table(isFull ? rows : shorten(rows, io.columns));
}

/** Shortens the widest columns until the rows fit. */
function shorten(rows: readonly (readonly string[])[], columns: number): string[][] {
  const widths = (rows[0] ?? []).map((_, at) => Math.max(...rows.map((row) => row[at]!.length)));
  const gaps = 2 * (widths.length - 1);
  for (let excess = widths.reduce((a, b) => a + b, gaps) - columns; excess > 0; excess--) {
    const widest = Math.max(...widths);
    if (widest <= MIN_COLUMN) break;
    widths[widths.indexOf(widest)] = widest - 1;
  }
  return rows.map((row) => row.map((cell, at) => clipMiddle(cell, widths[at]!)));
}

/** Replaces the middle by …: ids differ at the end. */
function clipMiddle(text: string, width: number): string {
  if (text.length <= width) return text;
  const end = Math.floor((width - 1) / 2);
  return `${text.slice(0, width - 1 - end)}…${end === 0 ? "" : text.slice(-end)}`;
}

/** Formats the time since a date, in the largest unit that fits. */
export function ago(time: string, now: number = Date.now()): string {
  const seconds = Math.max(0, Math.round((now - Date.parse(time)) / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}
