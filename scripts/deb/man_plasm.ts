/**
 * Generates plasm(1) from the command descriptions and the table of error codes.
 * @module
 */
import type { CommandSpec, OptionSpec } from "../../lib/cli/command.ts";
import { ERROR_CODES } from "../../lib/core/errors/error_codes.ts";
import { VERSION } from "../../lib/core/mod.ts";
import {
  bold,
  example,
  italic,
  item,
  type PageOptions,
  roff,
  section,
  subsection,
  title,
} from "./roff.ts";

/** Exit statuses of `plasm exec` for jobs that did not exit normally. */
const JOB_STATUS: readonly [number, string][] = [
  [77, "the job was rejected"],
  [124, "the job exceeded its wall-clock or CPU limit"],
  [130, "the job was cancelled"],
  [134, "the job trapped"],
  [137, "the job exceeded its memory or output limit"],
];

const FILES: readonly [string, string][] = [
  ["/etc/plasm/config.jsonc", "System-wide configuration; see plasm.jsonc(5)."],
  ["$XDG_CONFIG_HOME/plasm/config.jsonc", "Per-user configuration; replaces the system-wide file."],
  ["/run/plasm/plasm.sock", "Socket of the system daemon, accessible to the group plasm."],
  [
    "/var/lib/plasm",
    "State of the system daemon: identity, jobs, cached modules. Readable only by the user plasm.",
  ],
  ["$XDG_STATE_HOME/plasm", "State of a plasm run by a user."],
  ["$XDG_CACHE_HOME/plasm", "Modules downloaded by a user; see plasm modules."],
];

const ENVIRONMENT: readonly [string, string][] = [
  ["PLASM_SOCKET", "Socket of the daemon; replaces the default search."],
  ["PLASM_STATE_DIR", "State directory."],
  ["PLASM_CONFIG", "Configuration file."],
  ["PLASM_KEY", "Any key of plasm.jsonc(5), in upper case, with underscores for dots."],
  ["SSL_CERT_FILE", "Authorities to trust when downloading modules, instead of the system's."],
  ["DOCKER_CONFIG", "Directory of config.json with the credentials of registries."],
  ["NO_COLOR", "Disables colours if set to any value."],
];

/** Generates the man page. */
export function plasmPage(specs: readonly CommandSpec[], { date }: PageOptions): string {
  return [
    title("plasm", 1, { date, of: `plasm ${VERSION}`, title: "User Commands" }),
    section("name", "plasm \\- open, verifiable compute"),
    section("synopsis", `${bold("plasm")} ${italic("COMMAND")} [${italic("OPTION")}]...`),
    section(
      "description",
      roff(
        "Runs WASI jobs in a sandbox, locally or on other nodes of a peer-to-peer network, and " +
          "proves each run with a signed receipt. One binary is daemon, command line and executor.",
      ),
    ),
    section("commands", ...specs.map(command)),
    section(
      "exit status",
      roff("plasm exec exits with the job's own status, except:"),
      ...JOB_STATUS.map(([status, text]) => item(bold(String(status)), roff(text))),
      ".PP",
      roff(
        "All other commands exit with 0 or with one of the following; with --json the error includes the code:",
      ),
      ...errorItems(),
      item(bold("1"), roff("plasm doctor: a check failed")),
      item(bold("143"), roff("plasm daemon: a second signal stopped it before its jobs ended")),
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
