/**
 * Loads the node's identity; replaces a damaged key and logs it, because peers that pinned the old key reject the
 * new one.
 * @module
 */
import type { Logger } from "@logtape/logtape";
import {
  type Identity,
  IDENTITY_FILE,
  loadOrCreateIdentity,
  readStateFile,
  writeStateFile,
} from "../core/mod.ts";
import { PlasmError } from "../core/errors/mod.ts";
import { stateError } from "./store/mod.ts";

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
    // Never over an earlier one: it may be all that is left to restore the key from.
    const movedTo = `${path}.damaged-${crypto.randomUUID()}`;
    try {
      Deno.renameSync(path, movedTo);
    } catch (cause) {
      throw stateError(`put ${path} aside`, cause);
    }
    const identity = await loadOrCreateIdentity(stateDir);
    const hint = `Restore ${path} from a copy and restart to be the node that it was`;
    log.error("identity-damaged", { error: fault, moved_to: movedTo, hint });
    return identity;
  }
}

async function recordedPeerId(path: string): Promise<string | undefined> {
  try {
    const record = await readStateFile(path) as { peer_id?: unknown } | undefined;
    return typeof record?.peer_id === "string" ? record.peer_id : undefined;
  } catch {
    return undefined; // Damaged too: it is written anew.
  }
}

/**
 * Loads the identity of a state directory. Moves a damaged key aside and creates a new one; that, and any
 * other change of the peer id since the last start, is logged as an error.
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
