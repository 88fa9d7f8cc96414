/**
 * Stores evidence in the state directory.
 *
 * @module
 */
import { type Receipt, writeStateFile } from "../core/mod.ts";
import type { Evidence } from "./evidence.ts";

/** Directory of evidence, below the state directory. */
const EVIDENCE_DIR = "evidence";

/** Evidence files that are stored; the oldest are deleted. */
const MAX_FILES = 100;

/** Digits of the manifest's hash in a name. */
const HASH_DIGITS = 12;

/**
 * Writes evidence to a new file. Returns its path.
 *
 * @throws {Error} if the directory cannot be used
 */
export async function saveEvidence(stateDir: string, evidence: Evidence): Promise<string> {
  const dir = `${stateDir}/${EVIDENCE_DIR}`;
  await Deno.mkdir(dir, { recursive: true, mode: 0o700 });
  const names = await Array.fromAsync(Deno.readDir(dir), ({ name }) => name);
  for (const name of names.sort().slice(0, Math.max(0, names.length - MAX_FILES + 1))) {
    await Deno.remove(`${dir}/${name}`);
  }
  const [{ claim }] = evidence.receipts as unknown as [Receipt];
  const time = new Date().toISOString().replaceAll(/[^\dTZ]/g, "");
  const job = claim.manifest_hash.replace("sha256:", "").slice(0, HASH_DIGITS);
  const path = `${dir}/${time}-${job}.json`;
  await writeStateFile(path, evidence);
  return path;
}
