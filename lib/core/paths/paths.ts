/**
 * Computes the paths of the state directory, configuration files and sockets, without access to the disk.
 *
 * @module
 */
import { PlasmError } from "../errors/mod.ts";

/** Looks up an environment variable, such as `Deno.env.get`. */
export type Env = (name: string) => string | undefined;

/** Socket of the systemd unit. */
const SYSTEM_SOCKET = "/run/plasm/plasm.sock";

/** The administrator's configuration file. */
const SYSTEM_CONFIG = "/etc/plasm/config.jsonc";

/**
 * The state directory: `$PLASM_STATE_DIR`, else systemd's `$STATE_DIRECTORY`, else
 * `$XDG_STATE_HOME/plasm`, else `~/.local/state/plasm`.
 *
 * @throws {PlasmError} `state` if none of these is set
 */
export function stateDir(env: Env): string {
  const own = env("PLASM_STATE_DIR");
  if (own) return own;
  // A list if the unit names several directories; ours names one.
  const systemd = env("STATE_DIRECTORY")?.split(":")[0];
  if (systemd) return systemd;
  const home = xdgDir(env, "XDG_STATE_HOME", ".local/state");
  if (home !== undefined) return `${home}/plasm`;
  throw new PlasmError(
    "state",
    "Cannot find a state directory: neither PLASM_STATE_DIR nor HOME is set",
    {
      hint: "Set PLASM_STATE_DIR to a directory that you can write to",
    },
  );
}

/**
 * Paths of the configuration files, in increasing precedence: `/etc/plasm/config.jsonc`,
 * then `$XDG_CONFIG_HOME/plasm/config.jsonc` (or under `~/.config`).
 */
export function configPaths(env: Env): string[] {
  const home = xdgDir(env, "XDG_CONFIG_HOME", ".config");
  return home === undefined ? [SYSTEM_CONFIG] : [SYSTEM_CONFIG, `${home}/plasm/config.jsonc`];
}

/**
 * Paths where a client looks for a daemon, in order: only `$PLASM_SOCKET` if it is set,
 * else `/run/plasm/plasm.sock`, then `$XDG_RUNTIME_DIR/plasm/plasm.sock`.
 */
export function socketPaths(env: Env): string[] {
  const own = env("PLASM_SOCKET");
  if (own) return [own];
  const user = absolute(env("XDG_RUNTIME_DIR"));
  return user === undefined ? [SYSTEM_SOCKET] : [SYSTEM_SOCKET, `${user}/plasm/plasm.sock`];
}

/**
 * Path of a daemon's socket: `$PLASM_SOCKET`, else in systemd's `$RUNTIME_DIRECTORY`, else
 * `$XDG_RUNTIME_DIR/plasm/plasm.sock`, else `/run/plasm/plasm.sock`.
 */
export function listenPath(env: Env): string {
  const own = env("PLASM_SOCKET");
  if (own) return own;
  const systemd = env("RUNTIME_DIRECTORY")?.split(":")[0];
  if (systemd) return `${systemd}/plasm.sock`;
  const user = absolute(env("XDG_RUNTIME_DIR"));
  return user === undefined ? SYSTEM_SOCKET : `${user}/plasm/plasm.sock`;
}

/**
 * State directory of the background daemon of `plasm exec`.
 *
 * @throws {PlasmError} as {@linkcode stateDir}
 */
export function backgroundDir(env: Env): string {
  return `${stateDir(env)}/exec`;
}

/**
 * Socket of the background daemon of `plasm exec`.
 *
 * @throws {PlasmError} as {@linkcode stateDir}
 */
export function backgroundSocket(env: Env): string {
  return `${backgroundDir(env)}/plasm.sock`;
}

/** An XDG base directory of the user, or its default below `$HOME`; undefined if neither is set. */
export function xdgDir(env: Env, name: string, fallback: string): string | undefined {
  const given = absolute(env(name));
  if (given !== undefined) return given;
  const home = env("HOME");
  return home ? `${home}/${fallback}` : undefined;
}

/** The XDG base directory specification requires that relative paths are ignored. */
function absolute(path: string | undefined): string | undefined {
  return path?.startsWith("/") ? path : undefined;
}
