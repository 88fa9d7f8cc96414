/**
 * Fetches modules by reference and keeps them in a cache.
 *
 * @module
 */
export {
  type FetchedModule,
  fetchModule,
  type FetchModuleOptions,
  fetchReference,
  type ReferenceCache,
} from "./fetch_module.ts";
export { type CachedModule, moduleCacheDir, ModuleStore } from "./module_store.ts";
export { type ModuleReference, parseReference, programName } from "./reference.ts";
