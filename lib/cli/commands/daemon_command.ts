/**
 * The command `plasm daemon`: runs a node until a signal stops it.
 *
 * @module
 */
import { checkEntries, type ConfigEntries, loadConfig, parseValue } from "../../config/mod.ts";
import { runService } from "../../daemon/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import { escapeText } from "../../util/mod.ts";
import { CONFIG_OPTION } from "../daemon_client.ts";
import type { Command, ParsedArgs } from "../command.ts";

/** Configuration key of each option that sets one. */
const KEY_OPTIONS: Record<string, string> = {
  "state-dir": "state_dir",
  "log-level": "log.level",
  "log-format": "log.format",
  "socket": "socket",
};

/** Configuration keys set on the command line. */
export function configFlags(args: ParsedArgs): ConfigEntries {
  const flags: ConfigEntries = {};
  const set = (key: string, text: string, source: string): void => {
    flags[key] = parseValue(key, text, source);
    checkEntries({ [key]: flags[key] }, source);
  };
  for (const [option, key] of Object.entries(KEY_OPTIONS)) {
    const text = args.string(option);
    if (text !== undefined) set(key, text, `--${option}`);
  }
  for (const pair of args.strings("set")) {
    const at = pair.indexOf("=");
    if (at < 1) {
      throw new PlasmError("usage", `Cannot use --set ${escapeText(pair)}: it is not KEY=VALUE`);
    }
    set(pair.slice(0, at), pair.slice(at + 1), "--set");
  }
  return flags;
}

/** `plasm daemon` */
export const daemon: Command = {
  spec: {
    name: "daemon",
    summary: "Run a node: a queue, a store and an API for jobs",
    usage: "[OPTIONS]",
    description:
      "Runs until SIGTERM or SIGINT. Then it accepts no more jobs, lets running jobs finish within " +
      "shutdown.grace_seconds, and leaves queued jobs for the next start. A second signal exits at " +
      "once. plasm reload and SIGHUP reload the configuration. Logs are written to standard error.",
    options: [
      CONFIG_OPTION,
      {
        name: "state-dir",
        kind: "string",
        placeholder: "DIR",
        complete: "file",
        help:
          "Store identity, jobs and caches in this directory (default the configuration's state_dir)",
      },
      {
        name: "socket",
        kind: "string",
        placeholder: "PATH",
        complete: "file",
        help: "Listen on this Unix socket (default the configuration's socket)",
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
        complete: { words: "keys" },
        repeat: true,
        help: "Set a key of the configuration, such as jobs.concurrency=4",
      },
    ],
    positionals: { min: 0, max: 0 },
    examples: [
      { call: "plasm daemon", does: "Run a node" },
      {
        call: "plasm daemon --state-dir /tmp/node --set jobs.concurrency=1",
        does: "Run a second node, with one job at a time",
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
