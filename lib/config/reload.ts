/**
 * Computes which configuration changes apply without a restart.
 *
 * @module
 */
import { type Config, CONFIG_KEYS, type ConfigEntries, type ConfigValue } from "./config.ts";

/** Changes that a reload applies, and those that need a restart. */
export interface ReloadPlan {
  /** The new configuration: the current one with the live changes. */
  config: Config;
  /** Keys whose new value applies now. */
  applied: string[];
  /** Keys whose new value needs a restart. */
  ignored: string[];
}

function read(config: Config, name: string): ConfigValue {
  let node: unknown = config;
  for (const part of name.split(".")) node = (node as Record<string, unknown>)[part];
  return node as ConfigValue;
}

function write(config: Config, name: string, value: ConfigValue): void {
  const path = name.split(".");
  const last = path.pop() ?? name;
  let node = config as unknown as Record<string, unknown>;
  for (const part of path) node = node[part] as Record<string, unknown>;
  node[last] = value;
}

/** Converts a configuration to dotted keys, in the schema's order. */
export function configEntries(config: Config): ConfigEntries {
  return Object.fromEntries(CONFIG_KEYS.map(({ name }) => [name, read(config, name)]));
}

/** Divides the changes between two configurations into those that apply now and those that need a restart. */
export function planReload(current: Config, next: Config): ReloadPlan {
  const config = structuredClone(current);
  const applied: string[] = [];
  const ignored: string[] = [];
  for (const { name, live } of CONFIG_KEYS) {
    const value = read(next, name);
    if (JSON.stringify(value) === JSON.stringify(read(current, name))) continue;
    if (live) write(config, name, value);
    (live ? applied : ignored).push(name);
  }
  return { config, applied, ignored };
}
