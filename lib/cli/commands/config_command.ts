/**
 * The command `plasm config`: checks, prints and describes the configuration.
 *
 * @module
 */
import { CONFIG_SCHEMA, configEntries, configRows, loadConfig } from "../../config/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import { escapeText } from "../../util/mod.ts";
import type { Command } from "../command.ts";
import { CONFIG_OPTION, fittedTable, NO_TRUNC_OPTION } from "../daemon_client.ts";

const ACTIONS: readonly string[] = ["check", "print", "schema"];

/** `plasm config` */
export const config: Command = {
  spec: {
    name: "config",
    summary: "Check, print or describe the configuration",
    usage: "[OPTIONS] check|print|schema",
    description:
      "check: validates the configuration that the daemon would use. print: lists every key, its value " +
      "and the source of the value (file, environment or default). schema: prints the JSON Schema, for " +
      "editors.",
    options: [{ ...CONFIG_OPTION, actions: ["check", "print"] }, NO_TRUNC_OPTION],
    positionals: { min: 1, max: 1, complete: ACTIONS },
    examples: [
      {
        call: "plasm config check --config /etc/plasm/config.jsonc",
        does: "Check before a restart",
      },
      { call: "plasm config print", does: "Print the effective values and their sources" },
    ],
  },
  drops: () => ["net", "run", "sys", "write"],
  async run(args, io): Promise<number> {
    const what = args.positionals[0]!;
    if (!ACTIONS.includes(what)) {
      throw new PlasmError("usage", `Unknown argument: ${escapeText(what)}`, {
        hint: `Use one of ${ACTIONS.join(", ")}`,
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
          : fittedTable(configRows(loaded), { args, io }),
      );
    } else {
      await io.write(
        args.flag("json")
          ? `${JSON.stringify({ ok: true, file })}\n`
          : `${file === null ? "no file, default values" : escapeText(file)}: ok\n`,
      );
    }
    return 0;
  },
};
