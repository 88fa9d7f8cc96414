/**
 * `plasm daemon`: runs a node until told to stop.
 * @module
 */
import { type ConfigEntries, loadConfig, parseValue } from "../../config/mod.ts";
import { runService } from "../../daemon/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import type { Command, ParsedArgs } from "../command.ts";

/** Options that set a key of the configuration each. */
const KEY_OPTIONS: Record<string, string> = {
  "state-dir": "state_dir",
  "log-level": "log.level",
  "log-format": "log.format",
  "socket": "socket",
};

/** What the command line says about the configuration. */
export function configFlags(args: ParsedArgs): ConfigEntries {
  const flags: ConfigEntries = {};
  for (const [option, key] of Object.entries(KEY_OPTIONS)) {
    const text = args.string(option);
    if (text !== undefined) flags[key] = parseValue(key, text, `--${option}`);
  }
  for (const pair of args.strings("set")) {
    const at = pair.indexOf("=");
    if (at < 1) throw new PlasmError("usage", `Cannot use --set: it is not KEY=VALUE: ${pair}`);
    flags[pair.slice(0, at)] = parseValue(pair.slice(0, at), pair.slice(at + 1), "--set");
  }
  return flags;
}

/** The command. */
export const daemon: Command = {
  spec: {
    name: "daemon",
    summary: "Run a node: a queue, a store and an API for jobs",
    usage: "[OPTIONS]",
    description:
      "Runs until SIGTERM or SIGINT: then no more jobs are taken, running ones get the grace of " +
      "shutdown.grace_seconds, and waiting ones stay for the next start. A second signal exits at " +
      "once. SIGHUP reads the configuration again. Log lines go to standard error.",
    options: [
      {
        name: "config",
        kind: "string",
        placeholder: "FILE",
        complete: "file",
        help: "Read this configuration file",
      },
      {
        name: "state-dir",
        kind: "string",
        placeholder: "DIR",
        complete: "file",
        help: "Store identity, jobs and caches in this directory",
      },
      {
        name: "socket",
        kind: "string",
        placeholder: "PATH",
        complete: "file",
        help: "Listen on this unix socket",
      },
      {
        name: "log-level",
        kind: "string",
        placeholder: "LEVEL",
        complete: ["debug", "info", "warning", "error"],
        help: "Log events of this severity and above (default info)",
      },
      {
        name: "log-format",
        kind: "string",
        placeholder: "FORMAT",
        complete: ["auto", "json", "human"],
        help: "Format log lines as auto, json or human (default auto)",
      },
      {
        name: "set",
        kind: "string",
        placeholder: "KEY=VALUE",
        repeat: true,
        help: "Set any key of the configuration, such as jobs.concurrency=4",
      },
    ],
    positionals: { min: 0, max: 0 },
    examples: [
      { call: "plasm daemon", does: "Run a node for yourself" },
      {
        call: "plasm daemon --state-dir /tmp/node --set jobs.concurrency=1",
        does: "Run one beside it, one job at a time",
      },
    ],
  },
  async run(args, io): Promise<number> {
    const flags = configFlags(args);
    const env = (name: string): string | undefined => io.env(name);
    return await runService({
      env,
      load: () => loadConfig({ path: args.string("config"), flags, env }),
    });
  },
};
