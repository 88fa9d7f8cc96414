/**
 * The configuration of a node: schema, sources, reload.
 * @module
 */
export { CONFIG_KEYS, CONFIG_SCHEMA, type ConfigKey, envName } from "./keys.ts";
export { defaultConfig, loadConfig, type LoadConfigOptions, type LoadedConfig } from "./load.ts";
export { checkEntries, parseConfig, parseValue } from "./parse.ts";
export { formatConfig } from "./print.ts";
export { configEntries, planReload, type ReloadPlan } from "./reload.ts";
export {
  type ApiConfig,
  type Config,
  type ConfigEntries,
  type ConfigValue,
  type JobCeilings,
  type JobsConfig,
  type NetworkConfig,
  type NetworkPolicyConfig,
} from "./config.ts";
