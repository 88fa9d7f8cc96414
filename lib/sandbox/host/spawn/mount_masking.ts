/**
 * Hides directories from executors: the daemon's state, with the node's key in it, and its socket. What
 * breaks out of the engine is the node's user to the kernel, and could read one and speak to the other.
 * @module
 */

const SETPRIV = "/usr/bin/setpriv";
const UNSHARE = "/usr/bin/unshare";
const BASH = "/usr/bin/bash";

/** mount(8) is required in Debian. */
const MOUNT = "/usr/bin/mount";

/** Where an executor finds the one directory that it is to see of those hidden: always there in Debian. */
export const KEPT_DIR = "/mnt";

/**
 * Shows a directory at another place, if one is given first; then lays an empty directory that nobody may
 * read over each path before "--", then becomes what follows. Root of this namespace alone is able to, and
 * to take it away again: the program has to go on into a namespace below, in which it is nobody.
 */
const SCRIPT = `if [[ $1 ]]; then ${MOUNT} --bind "$1" ${KEPT_DIR} ` +
  "</dev/null >/dev/null 2>&1 || exit 126; fi; shift; while [[ $1 != -- ]]; do " +
  `${MOUNT} -t tmpfs -o ro,mode=0,size=4k none "$1" </dev/null >/dev/null 2>&1 || exit 126; shift; ` +
  'done; shift; exec -c "$@"';

const HIDE = [
  ...[SETPRIV, "--no-new-privs", "--pdeathsig=KILL", "--"],
  ...[UNSHARE, "--user", "--map-root-user", "--mount", "--"],
  ...[BASH, "-c", SCRIPT, "bash"],
];

/** As the executor goes on: into a namespace in which it is nobody. */
const TRIAL = [UNSHARE, "--user", "--net", "--ipc", "--", SETPRIV, "--version"];

/**
 * The command that becomes, with these directories hidden, the command that is appended to it.
 *
 * @param kept A directory that is found at {@linkcode KEPT_DIR}, also if it lies in one of the hidden.
 */
export function hide(paths: readonly string[], kept: string = ""): string[] {
  return paths.length === 0 ? [] : [...HIDE, kept, ...paths, "--"];
}

/** Of several paths those that exist and lie in none of the others, and lead to nothing that is needed. */
export function hideable(paths: readonly string[], needed: string): string[] {
  const real = paths.map(realPath).filter((path) => path !== undefined);
  const isIn = (path: string, dir: string): boolean => path === dir || path.startsWith(`${dir}/`);
  return [...new Set(real)].filter((path) =>
    path !== "/" && !isIn(needed, path) &&
    !real.some((other) => other !== path && isIn(path, other) && !isIn(needed, other))
  );
}

let hidden: string[] = [];
let keeps = true;

/**
 * Hides directories from all executors that this process starts from now on, where the system lets it:
 * containers and units may refuse, and then nothing is hidden. From source nothing is either: the runtime
 * finds its cache by the user's id, which does not come through.
 */
export function maskFromExecutors(paths: readonly string[]): void {
  hidden = [];
  keeps = true;
  if (!Deno.build.standalone) return;
  const program = Deno.execPath();
  const wanted = hideable(paths, program);
  if (wanted.length === 0) return;
  keeps = !program.startsWith(`${KEPT_DIR}/`) && succeeds([...hide(wanted, wanted[0]), ...TRIAL]);
  if (keeps || succeeds([...hide(wanted), ...TRIAL])) hidden = wanted;
  else keeps = true;
}

/** Whether an executor can be shown one directory of those that are hidden. */
export function canKeep(): boolean {
  return keeps;
}

/** What {@linkcode maskFromExecutors} has found to hide. */
export function hiddenFromExecutors(): readonly string[] {
  return hidden;
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
