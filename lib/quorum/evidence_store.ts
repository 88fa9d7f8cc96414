/**
 * Stores evidence in the state directory, and reads it again.
 *
 * @module
 */
import { type Receipt, writeStateFile } from "../core/mod.ts";
import { type Evidence, MAX_EVIDENCE_BYTES, parseEvidence } from "./evidence.ts";

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

/** Name of an evidence file: time, and the beginning of the manifest's hash. */
const FILE_NAME = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(\d{3})Z-[0-9a-f]{12}\.json$/;

/** A stored file of evidence. */
export interface StoredEvidence {
  /** Name in the directory. */
  name: string;
  /** When it was found, in RFC 3339. */
  at: string;
  bytes: number;
}

/**
 * Lists stored evidence, the newest first.
 *
 * @throws {Error} if the directory cannot be read
 */
export async function listEvidence(stateDir: string): Promise<StoredEvidence[]> {
  const dir = `${stateDir}/${EVIDENCE_DIR}`;
  const found: StoredEvidence[] = [];
  try {
    for await (const { name, isFile } of Deno.readDir(dir)) {
      const [, year, month, day, hour, minute, second, ms] = FILE_NAME.exec(name) ?? [];
      if (!isFile || year === undefined) continue;
      const at = `${year}-${month}-${day}T${hour}:${minute}:${second}.${ms}Z`;
      found.push({ name, at, bytes: (await Deno.stat(`${dir}/${name}`)).size });
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return found.sort((a, b) => a.name < b.name ? 1 : -1).slice(0, MAX_FILES);
}

/**
 * Reads stored evidence; undefined if there is no such file.
 *
 * @throws {PlasmError} `bad-receipt` if it was damaged
 */
export async function readEvidence(stateDir: string, name: string): Promise<Evidence | undefined> {
  if (!FILE_NAME.test(name)) return undefined;
  const path = `${stateDir}/${EVIDENCE_DIR}/${name}`;
  try {
    const { isFile, size } = await Deno.stat(path);
    if (!isFile || size > MAX_EVIDENCE_BYTES) return undefined;
    return parseEvidence(await Deno.readFile(path));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
