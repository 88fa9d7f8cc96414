/**
 * plasm(1), from the commands' descriptions and the table of error codes.
 * @module
 */
import type { CommandSpec, OptionSpec } from "../../lib/cli/command.ts";
import { ERROR_CODES } from "../../lib/core/errors/error_codes.ts";
import { VERSION } from "../../lib/core/version.ts";
import { bold, example, italic, item, roff, section, subsection, title } from "./roff.ts";

/** What a job's end makes of the exit status where the job did not exit by itself. */
const JOB_STATUS: readonly [number, string][] = [
  [77, "the job was rejected"],
  [124, "the job ran out of wall or CPU time"],
  [130, "the job was cancelled"],
  [134, "the job trapped"],
  [137, "the job ran out of memory or output"],
];

const FILES: readonly [string, string][] = [
  ["/etc/plasm/config.jsonc", "The administrator's configuration, see plasm.jsonc(5)."],
  ["$XDG_CONFIG_HOME/plasm/config.jsonc", "A user's own, read in place of the administrator's."],
  ["/run/plasm/plasm.sock", "The socket of the system's daemon, open to the group plasm."],
  [
    "/var/lib/plasm",
    "The daemon's state: identity, jobs, cached modules. Only the user plasm may read it.",
  ],
  ["$XDG_STATE_HOME/plasm", "The state of plasm run by a user."],
];

const ENVIRONMENT: readonly [string, string][] = [
  ["PLASM_SOCKET", "The daemon's socket, in place of those that are looked for."],
  ["PLASM_STATE_DIR", "The state directory."],
  ["PLASM_CONFIG", "The configuration file."],
  ["PLASM_KEY", "Any key of plasm.jsonc(5), in capitals and with underscores for dots."],
  ["NO_COLOR", "Set to anything: no colours."],
];

/** The page. */
export function plasmPage(specs: readonly CommandSpec[]): string {
  return [
    title("plasm", 1, { of: `plasm ${VERSION}`, title: "User Commands" }),
    section("name", "plasm \\- open, verifiable compute"),
    section("synopsis", `${bold("plasm")} ${italic("COMMAND")} [${italic("OPTION")}]...`),
    section(
      "description",
      roff(
        "Runs WASI jobs in a sandbox, here or on other nodes of a peer-to-peer network, and proves " +
          "each run by a signed receipt. It is daemon, command line and executor in one.",
      ),
    ),
    section("commands", ...specs.map(command)),
    section(
      "exit status",
      roff("plasm exec exits as the job did, unless:"),
      ...JOB_STATUS.map(([status, text]) => item(bold(String(status)), roff(text))),
      ".PP",
      roff("Otherwise 0, or what went wrong; with --json the code stands in the error:"),
      ...errorItems(),
    ),
    section("environment", ...ENVIRONMENT.map(([name, text]) => item(bold(name), roff(text)))),
    section("files", ...FILES.map(([name, text]) => item(italic(name), roff(text)))),
    section("see also", ".BR plasm.jsonc (5),\n.BR systemctl (1),\n.BR journalctl (1)"),
    "",
  ].join("\n");
}

function command({ name, usage, description, options, examples }: CommandSpec): string {
  return subsection(
    `plasm ${name} ${usage}`.trimEnd(),
    description.split("\n").filter((line) => line !== "").map(roff).join("\n.PP\n"),
    ...options.map((option) => item(optionTerm(option), roff(option.help))),
    ...examples.map(({ does, call }) => example(does, call)),
  );
}

function optionTerm({ name, kind, placeholder = "VALUE", repeat }: OptionSpec): string {
  const value = kind === "flag" ? "" : ` ${italic(placeholder)}`;
  const short = name === "help" ? `${bold("-h")}, ` : "";
  return `${short}${bold(`--${name}`)}${value}${repeat ? " ..." : ""}`;
}

function errorItems(): string[] {
  const byStatus = Map.groupBy(Object.entries(ERROR_CODES), ([, { exit }]) => exit);
  return [...byStatus].sort(([a], [b]) => a - b).map(([status, codes]) =>
    item(
      bold(String(status)),
      codes.map(([code, { meaning }]) => `${bold(code)}: ${roff(meaning)}`).join("\n.br\n"),
    )
  );
}
