/**
 * Starts executor processes, confined by the operating system.
 *
 * It loads nothing but the bootstrap, so that a process can be started before the rest of the program is loaded.
 *
 * @module
 */
export { maskFromExecutors } from "./confinement.ts";
export {
  DEFAULT_JOB_BYTES,
  SOCKET_NAME,
  spawnExecutor,
  type SpawnOptions,
  spawnSpeculatively,
} from "./spawn_executor.ts";
