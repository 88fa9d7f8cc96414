/**
 * Masks directories from executors: the daemon's state directory with the node's key, and its socket.
 *
 * A guest that escapes its sandbox has the node's user id, and could read the key or connect to the socket.
 *
 * @module
 */

const SETPRIV = "/usr/bin/setpriv";
const UNSHARE = "/usr/bin/unshare";
const BASH = "/usr/bin/bash";

/** mount(8), a required package in Debian. */
const MOUNT = "/usr/bin/mount";

/** Mount point of the one directory that is exposed to an executor; it exists in every Debian system. */
export const EXPOSED_DIR = "/mnt";

/**
 * Binds its first argument, unless empty, to {@linkcode EXPOSED_DIR}, mounts an empty unreadable directory over
 * each path before "--", and executes the command after it. This needs root of the mount namespace, which could
 * also undo it, so the command must enter a nested user namespace in which it is not root.
 */
const SCRIPT = `if [[ $1 ]]; then ${MOUNT} --bind "$1" ${EXPOSED_DIR} ` +
  "</dev/null >/dev/null 2>&1 || exit 126; fi; shift; while [[ $1 != -- ]]; do " +
  `${MOUNT} -t tmpfs -o ro,mode=0,size=4k none "$1" </dev/null >/dev/null 2>&1 || exit 126; shift; ` +
  'done; shift; exec -c "$@"';

const MASK = [
  ...[SETPRIV, "--no-new-privs", "--pdeathsig=KILL", "--"],
  ...[UNSHARE, "--user", "--map-root-user", "--mount", "--"],
  ...[BASH, "-c", SCRIPT, "bash"],
];

/** Command for a trial: enters a nested user namespace, as an executor does. */
const TRIAL = [UNSHARE, "--user", "--net", "--ipc", "--", SETPRIV, "--version"];

/**
 * Builds the beginning of a command line that masks directories; the command to execute is appended to it.
 *
 * @param exposed A directory to expose at {@linkcode EXPOSED_DIR}, which may lie in a masked one
 */
export function maskCommand(paths: readonly string[], exposed: string = ""): string[] {
  return paths.length === 0 ? [] : [...MASK, exposed, ...paths, "--"];
}

/** Returns the paths that exist, do not lie in another one and do not contain the required path. */
export function maskablePaths(paths: readonly string[], required: string): string[] {
  const real = paths.map(realPath).filter((path) => path !== undefined);
  const isIn = (path: string, dir: string): boolean => path === dir || path.startsWith(`${dir}/`);
  return [...new Set(real)].filter((path) =>
    path !== "/" && !isIn(required, path) &&
    !real.some((other) => other !== path && isIn(path, other) && !isIn(required, other))
  );
}

let masked: string[] = [];
let canExpose = true;

/**
 * Masks directories from all executors that this process starts afterwards.
 *
 * Nothing is masked where the system does not allow it, as in some containers and units. Nothing is masked from
 * source either: the runtime locates its cache by the user's id, which masking does not preserve.
 */
export function maskFromExecutors(paths: readonly string[]): void {
  masked = [];
  canExpose = true;
  if (!Deno.build.standalone) return;
  const program = Deno.execPath();
  const maskable = maskablePaths(paths, program);
  if (maskable.length === 0) return;
  canExpose = !program.startsWith(`${EXPOSED_DIR}/`) &&
    succeeds([...maskCommand(maskable, maskable[0]), ...TRIAL]);
  if (canExpose || succeeds([...maskCommand(maskable), ...TRIAL])) masked = maskable;
  else canExpose = true;
}

/** Whether one directory can be exposed to an executor although it is masked. */
export function canExposeDir(): boolean {
  return canExpose;
}

/** Directories that {@linkcode maskFromExecutors} masks. */
export function maskedDirs(): readonly string[] {
  return masked;
}

function realPath(path: string): string | undefined {
  try {
    return Deno.realPathSync(path);
  } catch {
    return undefined;
  }
}

function succeeds([path, ...args]: string[]): boolean {
  try {
    const options = { args, clearEnv: true, cwd: "/" } as const;
    return new Deno.Command(path!, { ...options, stdin: "null", stdout: "null", stderr: "null" })
      .outputSync().success;
  } catch {
    return false;
  }
}
