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
  defaultConfig,
  formatConfig,
  loadConfig,
  type LoadConfigOptions,
  type LoadedConfig,
} from "./load.ts";
export { checkEntries, parseConfig, parseValue } from "./parse.ts";
export { configEntries, planReload, type ReloadPlan } from "./reload.ts";
