/**
 * What is baked into the binary: flags of the engine and the permissions of the program.
 * @module
 */

/** Environment variables that are read; others are as if they were not set. */
const ENVIRONMENT = [
  "PLASM_*",
  "HOME",
  "NO_COLOR",
  "NOTIFY_SOCKET",
  "RUNTIME_DIRECTORY",
  "STATE_DIRECTORY",
  "XDG_CONFIG_HOME",
  "XDG_RUNTIME_DIR",
  "XDG_STATE_HOME",
];

/** Programs that are started: itself, and util-linux to confine it. */
const PROGRAMS = ["/proc/self/exe", "/usr/bin/setpriv", "/usr/bin/systemd-notify"];

/** What of the system libp2p asks for: the addresses to listen on. */
const SYSTEM = ["networkInterfaces"];

/**
 * The program's permissions. Files and network cannot be narrowed when it is compiled: modules,
 * inputs, state and peers are wherever its user says. There is no ffi, no import of code from
 * elsewhere, and the executor gives up all of them before it takes a job.
 */
export const PERMISSION_FLAGS: readonly string[] = [
  "--no-prompt",
  "--allow-read",
  "--allow-write",
  "--allow-net",
  `--allow-env=${ENVIRONMENT.join(",")}`,
  `--allow-sys=${SYSTEM.join(",")}`,
  `--allow-run=${PROGRAMS.join(",")}`,
  "--deny-ffi",
  "--deny-import",
];

/**
 * Flags of the runtime. `--no-liftoff`: V8 cannot replace a function while it runs, so what starts
 * in the baseline compiler stays there; a job's hot main would run six times slower.
 */
export const RUNTIME_FLAGS: readonly string[] = [
  "--unstable-worker-options",
  "--unstable-net",
  "--v8-flags=--no-liftoff",
];
