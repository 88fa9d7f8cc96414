/**
 * The configuration as text, for `plasm config print`.
 * @module
 */
import { CONFIG_KEYS } from "./keys.ts";
import type { LoadedConfig } from "./load.ts";
import { configEntries } from "./reload.ts";

/** A table of every key, its value and where the value came from. */
export function formatConfig(loaded: LoadedConfig): string {
  const entries = configEntries(loaded.config);
  const rows = CONFIG_KEYS.map(({ name }) => ({
    name,
    value: JSON.stringify(entries[name]),
    source: loaded.sources[name] ?? "default",
  }));
  const width = (column: "name" | "value"): number =>
    Math.max(...rows.map((row) => row[column].length));
  const [names, values] = [width("name"), width("value")];
  return rows.map(({ name, value, source }) =>
    `${name.padEnd(names)}  ${value.padEnd(values)}  ${source}`
  ).join("\n");
}
