/**
 * How a command line names a daemon.
 * @module
 */
import type { OptionSpec } from "./command.ts";

/** Option of every command that talks to a daemon. */
export const SOCKET_OPTION: OptionSpec = {
  name: "socket",
  kind: "string",
  placeholder: "PATH",
  complete: "file",
  help: "Connect to this socket (default $PLASM_SOCKET, else the system's or the user's)",
};
