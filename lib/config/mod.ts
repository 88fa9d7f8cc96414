/**
 * Configuration of a node: keys, sources, validation and reload.
 *
 * @module
 */
export {
  type ApiConfig,
  type Config,
  CONFIG_KEYS,
  CONFIG_SCHEMA,
  type ConfigEntries,
  type ConfigKey,
  type ConfigValue,
  envName,
  type JobCeilings,
  type JobsConfig,
  type NetworkConfig,
  type NetworkPolicyConfig,
} from "./config.ts";
export {
  configEntries,
  configOf,
  configRows,
  defaultConfig,
  loadConfig,
  type LoadConfigOptions,
  type LoadedConfig,
  planReload,
  type ReloadPlan,
} from "./load.ts";
export { checkEntries, parseConfig, parseValue } from "./parse.ts";
