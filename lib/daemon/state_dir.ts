/**
 * Locks the state directory and deletes stale temporary files of killed processes.
 * @module
 */
import { PlasmError } from "../core/errors/mod.ts";
import { stateError } from "./store/mod.ts";

/** Minimum age of stale files, in milliseconds; younger ones may be in use. */
const OLD_MS = 60_000;

/** Names of files that are being written in a state directory. */
export const STALE_STATE_FILES = /^[a-z]+\.(key|json|token)\.[0-9a-f-]{16,36}\.tmp$/;

/** Names of directories in which a socket is being made. */
export const STALE_SOCKET_FILES = /^\.plasm-\w+$/;

function list(dir: string): string[] {
  try {
    return [...Deno.readDirSync(dir)].map(({ name }) => name);
  } catch {
    return []; // One that may be entered but not read.
  }
}

/**
 * Deletes stale files with a matching name; returns their number. Skips files that cannot be deleted.
 */
export function removeStaleFiles(dir: string, names: RegExp): number {
  let removed = 0;
  for (const name of list(dir)) {
    if (!names.test(name)) continue;
    try {
      const changed = Deno.lstatSync(`${dir}/${name}`).mtime?.getTime() ?? 0;
      // Either way: the clock may have been set back since.
      if (Math.abs(Date.now() - changed) < OLD_MS) continue;
      Deno.removeSync(`${dir}/${name}`, { recursive: true });
      removed++;
    } catch { /* gone meanwhile, or not ours */ }
  }
  return removed;
}

/**
 * Locks a state directory with flock: the kernel releases it when the process ends, and a leftover file is harmless.
 *
 * @throws {PlasmError} `busy` when another process holds it, `state` when the directory cannot be used
 */
export function lockStateDir(dir: string): Disposable {
  let file: Deno.FsFile;
  try {
    file = Deno.openSync(`${dir}/daemon.lock`, { create: true, write: true, mode: 0o600 });
  } catch (error) {
    throw stateError(`use state directory ${dir}`, error);
  }
  if (!file.tryLockSync(true)) {
    file.close();
    throw new PlasmError("busy", `Cannot use state directory ${dir}: another daemon runs on it`, {
      hint: "Stop the other daemon or give this one its own --state-dir",
      details: { state_dir: dir },
    });
  }
  return { [Symbol.dispose]: () => file.close() };
}
