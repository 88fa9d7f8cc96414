/**
 * Paths of files, directories and sockets. Apart from the rest of core, because the early start of an executor needs
 * nothing else of it.
 *
 * @module
 */
export {
  backgroundDir,
  backgroundSocket,
  configPaths,
  type Env,
  listenPath,
  socketPaths,
  stateDir,
  xdgDir,
} from "./paths.ts";
