/**
 * Prepares the state directory: locks it, deletes stale files of killed processes and loads the node's identity.
 * @module
 */
import type { Logger } from "@logtape/logtape";
import { PlasmError } from "../core/errors/mod.ts";
import {
  type Identity,
  IDENTITY_FILE,
  loadOrCreateIdentity,
  readStateFile,
  writeStateFile,
} from "../core/mod.ts";
import { refusePipes, stateError } from "./store/mod.ts";

/** Minimum age of stale files, in milliseconds; younger ones may be in use. */
const OLD_MS = 60_000;

/** Names of temporary files in a state directory. */
export const STALE_STATE_FILES = /^[a-z]+\.(key|json|token)\.[0-9a-f-]{16,36}\.tmp$/;

/** Names of temporary directories in which sockets are created. */
export const STALE_SOCKET_FILES = /^\.plasm-\w+$/;

function list(dir: string): string[] {
  try {
    return [...Deno.readDirSync(dir)].map(({ name }) => name);
  } catch {
    return []; // without read permission
  }
}

/** Deletes stale files with a matching name; returns their number. Skips files that cannot be deleted. */
export function removeStaleFiles(dir: string, names: RegExp): number {
  let removed = 0;
  for (const name of list(dir)) {
    if (!names.test(name)) continue;
    try {
      const changed = Deno.lstatSync(`${dir}/${name}`).mtime?.getTime() ?? 0;
      // In both directions: the clock may have been set back since.
      if (Math.abs(Date.now() - changed) < OLD_MS) continue;
      Deno.removeSync(`${dir}/${name}`, { recursive: true });
      removed++;
    } catch { /* already deleted, or not permitted */ }
  }
  return removed;
}

/**
 * Locks a state directory with flock: the kernel releases it when the process ends, and a leftover file is harmless.
 *
 * @throws {PlasmError} `busy` if another process holds the lock; `state` if the directory cannot be used
 */
export function lockStateDir(dir: string): Disposable {
  refusePipes(dir);
  let file: Deno.FsFile;
  try {
    file = Deno.openSync(`${dir}/daemon.lock`, { create: true, write: true, mode: 0o600 });
  } catch (error) {
    throw stateError(`use state directory ${dir}`, error);
  }
  if (!file.tryLockSync(true)) {
    file.close();
    throw new PlasmError("busy", `Cannot use state directory ${dir}: another daemon runs on it`, {
      hint: "Stop the other daemon or choose another --state-dir",
      details: { state_dir: dir },
    });
  }
  return { [Symbol.dispose]: () => file.close() };
}

/** Records the peer id: a key with one altered character may still be a valid key. */
const RECORD_FILE = "identity.json";

/** Options of {@linkcode loadNodeIdentity}. */
export interface LoadNodeIdentityOptions {
  stateDir: string;
  log: Logger;
}

async function loadOrReplace({ stateDir, log }: LoadNodeIdentityOptions): Promise<Identity> {
  try {
    return await loadOrCreateIdentity(stateDir);
  } catch (error) {
    const fault = PlasmError.from(error);
    if (fault.details["damaged"] !== true) throw fault;
    const path = `${stateDir}/${IDENTITY_FILE}`;
    // Never overwrite an earlier one: it may be the only copy of the key.
    const movedTo = `${path}.damaged-${crypto.randomUUID()}`;
    try {
      Deno.renameSync(path, movedTo);
    } catch (cause) {
      throw stateError(`rename ${path}`, cause);
    }
    const identity = await loadOrCreateIdentity(stateDir);
    const hint = `Restore ${path} from a backup and restart to keep the node's peer id`;
    log.error("identity-damaged", { error: fault, moved_to: movedTo, hint });
    return identity;
  }
}

async function recordedPeerId(path: string): Promise<string | undefined> {
  try {
    const record = await readStateFile(path) as { peer_id?: unknown } | undefined;
    return typeof record?.peer_id === "string" ? record.peer_id : undefined;
  } catch {
    return undefined; // damaged: rewritten below
  }
}

/**
 * Loads the identity of a state directory. Renames a damaged key and creates a new one. Logs that, and any other change
 * of the peer id since the last start, as an error: peers that pinned the old key reject the new one.
 *
 * @throws {PlasmError} as `loadOrCreateIdentity()`, except for damage
 */
export async function loadNodeIdentity(options: LoadNodeIdentityOptions): Promise<Identity> {
  const { stateDir, log } = options;
  const identity = await loadOrReplace(options);
  const path = `${stateDir}/${RECORD_FILE}`;
  const before = await recordedPeerId(path);
  if (before === identity.peerId) return identity;
  if (before !== undefined) {
    log.error("identity-changed", { peer_id: identity.peerId, former_peer_id: before });
  }
  try {
    await writeStateFile(path, { version: 1, peer_id: identity.peerId });
  } catch (error) {
    throw stateError(`write ${path}`, error);
  }
  return identity;
}
