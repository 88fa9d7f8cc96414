/**
 * `plasm config`: checks, prints and describes the configuration.
 * @module
 */
import { CONFIG_SCHEMA, configEntries, formatConfig, loadConfig } from "../../config/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import { printable } from "../../util/mod.ts";
import type { Command } from "../command.ts";

const ACTIONS: readonly string[] = ["check", "print", "schema"];

/** The command. */
export const config: Command = {
  spec: {
    name: "config",
    summary: "Check, print or describe the configuration",
    usage: "[OPTIONS] check|print|schema",
    description:
      "check: reads the configuration as the daemon would and says what is wrong with it. print: every " +
      "key, its value and where the value came from (file, environment, default). schema: the JSON " +
      "Schema, for editors.",
    options: [{
      name: "config",
      kind: "string",
      placeholder: "FILE",
      complete: "file",
      help: "Read this file instead of the default ones",
    }],
    positionals: { min: 1, max: 1, complete: ACTIONS },
    examples: [
      { call: "plasm config check --config /etc/plasm/config.jsonc", does: "Before a restart" },
      { call: "plasm config print", does: "What is in effect, and why" },
    ],
  },
  drops: () => ["net", "run", "sys", "write"],
  async run(args, io): Promise<number> {
    const what = args.positionals[0]!;
    if (!ACTIONS.includes(what)) {
      throw new PlasmError("usage", `Unknown argument: ${printable(what)}`, {
        hint: `It is one of ${ACTIONS.join(", ")}`,
      });
    }
    if (what === "schema") {
      await io.write(`${JSON.stringify(CONFIG_SCHEMA, null, 2)}\n`);
      return 0;
    }
    const loaded = await loadConfig({ path: args.string("config"), env: (name) => io.env(name) });
    const { file = null, sources } = loaded;
    if (what === "print") {
      await io.write(
        args.flag("json")
          ? `${JSON.stringify({ file, config: configEntries(loaded.config), sources })}\n`
          : `${formatConfig(loaded)}\n`,
      );
    } else {
      await io.write(
        args.flag("json")
          ? `${JSON.stringify({ ok: true, file })}\n`
          : `${file === null ? "no file; the defaults" : printable(file)}: ok\n`,
      );
    }
    return 0;
  },
};
