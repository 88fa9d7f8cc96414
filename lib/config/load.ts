/**
 * Loads the configuration from a file, `PLASM_*` variables and flags; later sources win.
 *
 * @module
 */
import { PlasmError } from "../core/errors/mod.ts";
import { configPaths } from "../core/mod.ts";
import { type Config, CONFIG_KEYS, type ConfigEntries, envName } from "./config.ts";
import { checkEntries, nest, parseConfig, parseValue } from "./parse.ts";
import { configEntries } from "./reload.ts";

/** Options of {@linkcode loadConfig}. */
export interface LoadConfigOptions {
  /**
   * The file to read; it must exist.
   * @default {the user's file, else the system's, else none}
   */
  path?: string | undefined;
  /**
   * Keys set on the command line, by dotted name.
   * @default {{}}
   */
  flags?: ConfigEntries | undefined;
  /**
   * Looks up an environment variable.
   * @default {Deno.env.get}
   */
  env?: ((name: string) => string | undefined) | undefined;
}

/** A configuration, and the source of each value. */
export interface LoadedConfig {
  /** The values, including defaults. */
  config: Config;
  /** For each dotted key: `default`, the file's path, the variable's name, or `flag`. */
  sources: Record<string, string>;
  /** The file that was read, if any. */
  file: string | undefined;
}

async function readConfigFile(path: string, required: boolean): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound && !required) return undefined;
    const reason = error instanceof Error ? error.message : String(error);
    throw new PlasmError("bad-config", `Cannot read ${path}: ${reason}`, { cause: error });
  }
}

/** The default configuration. */
export function defaultConfig(): Config {
  const entries = Object.fromEntries(CONFIG_KEYS.map((key) => [key.name, key.default]));
  return nest(structuredClone(entries)) as unknown as Config;
}

/**
 * Loads the configuration from all sources.
 *
 * @throws {PlasmError} `bad-config` if the file cannot be read, a key is unknown or a value is invalid
 */
export async function loadConfig(options: LoadConfigOptions = {}): Promise<LoadedConfig> {
  const env = options.env ?? ((name) => Deno.env.get(name));
  const entries: ConfigEntries = {};
  const sources: Record<string, string> = {};
  const add = (found: ConfigEntries, source: (name: string) => string): void => {
    for (const [name, value] of Object.entries(found)) {
      entries[name] = value;
      sources[name] = source(name);
    }
  };

  for (const key of CONFIG_KEYS) {
    add({ [key.name]: structuredClone(key.default) }, () => "default");
  }

  let file: string | undefined;
  const named = options.path ?? env("PLASM_CONFIG");
  // The user's file replaces the administrator's, which is first in the list.
  for (const path of named === undefined ? configPaths(env).reverse() : [named]) {
    const text = await readConfigFile(path, named !== undefined);
    if (text === undefined) continue;
    add(parseConfig(text, path), () => path);
    file = path;
    break;
  }

  for (const { name } of CONFIG_KEYS) {
    const text = env(envName(name));
    if (text === undefined) continue;
    const found = { [name]: parseValue(name, text, envName(name)) };
    checkEntries(found, envName(name));
    add(found, envName);
  }

  checkEntries(options.flags ?? {}, "flags");
  add(options.flags ?? {}, () => "flag");
  return { config: nest(entries) as unknown as Config, sources, file };
}

/** Formats a table of every key, its value and its source. */
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
