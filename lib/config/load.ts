/**
 * Loads the configuration from a file, `PLASM_*` variables and flags, of which the later ones take precedence, and
 * computes which changes a reload applies.
 *
 * @module
 */
import { PlasmError } from "../core/errors/mod.ts";
import { configPaths } from "../core/mod.ts";
import {
  type Config,
  CONFIG_KEYS,
  type ConfigEntries,
  type ConfigValue,
  envName,
} from "./config.ts";
import { checkEntries, decodeConfig, nest, parseConfig, parseValue } from "./parse.ts";

/** Options of {@linkcode loadConfig}. */
export interface LoadConfigOptions {
  /**
   * The file to read; it must exist.
   * @default {the user's file, else the system's, else none}
   */
  path?: string | undefined;
  /**
   * Whether the system's file is read: it is the daemon's, and clients must work without it.
   * @default {true}
   */
  system?: boolean | undefined;
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
  let bytes: Uint8Array;
  try {
    bytes = await Deno.readFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound && !required) return undefined;
    const text = error instanceof Error ? error.message : String(error);
    const reason = text.replace(/ \(os error \d+\).*$/s, "");
    throw new PlasmError("bad-config", `Cannot read ${path}: ${reason}`, { cause: error });
  }
  return decodeConfig(bytes, path);
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
  // The user's file replaces the system's, which is first in the list.
  const known = configPaths(env).slice(options.system === false ? 1 : 0).reverse();
  for (const path of named === undefined ? known : [named]) {
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

/** Every key, its value and its source, as the rows of a table. */
export function configRows(loaded: LoadedConfig): string[][] {
  const entries = configEntries(loaded.config);
  return CONFIG_KEYS.map(({ name }) => [
    name,
    JSON.stringify(entries[name]),
    loaded.sources[name] ?? "default",
  ]);
}

/** Changes that a reload applies, and those that need a restart. */
export interface ReloadPlan {
  /** The new configuration: the current one with the live changes. */
  config: Config;
  /** Keys whose new value applies now. */
  applied: string[];
  /** Keys whose new value needs a restart. */
  ignored: string[];
}

function readKey(config: Config, name: string): ConfigValue {
  let node: unknown = config;
  for (const part of name.split(".")) node = (node as Record<string, unknown>)[part];
  return node as ConfigValue;
}

function writeKey(config: Config, name: string, value: ConfigValue): void {
  const path = name.split(".");
  const last = path.pop() ?? name;
  let node = config as unknown as Record<string, unknown>;
  for (const part of path) node = node[part] as Record<string, unknown>;
  node[last] = value;
}

/** Converts a configuration to dotted keys, in the schema's order. */
export function configEntries(config: Config): ConfigEntries {
  return Object.fromEntries(CONFIG_KEYS.map(({ name }) => [name, readKey(config, name)]));
}

/** Converts dotted keys to a configuration; missing keys have their default values. */
export function configOf(entries: ConfigEntries): Config {
  return nest({ ...configEntries(defaultConfig()), ...entries }) as unknown as Config;
}

/** Divides the changes between two configurations into those that apply now and those that need a restart. */
export function planReload(current: Config, next: Config): ReloadPlan {
  const config = structuredClone(current);
  const applied: string[] = [];
  const ignored: string[] = [];
  for (const { name, live } of CONFIG_KEYS) {
    const value = readKey(next, name);
    if (JSON.stringify(value) === JSON.stringify(readKey(current, name))) continue;
    if (live) writeKey(config, name, value);
    (live ? applied : ignored).push(name);
  }
  return { config, applied, ignored };
}
