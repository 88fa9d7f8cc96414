/**
 * One daemon for each state directory.
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { stateError } from "./faults.ts";

/**
 * Takes the lock of a state directory. It is the kernel's (flock): it ends with the process, however
 * that ends, and a file left behind means nothing.
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
