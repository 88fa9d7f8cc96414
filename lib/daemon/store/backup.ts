/**
 * Copies a state directory consistently while a daemon uses it.
 * @module
 */
import { backup, DatabaseSync } from "node:sqlite";
import { PlasmError } from "../../core/errors/mod.ts";
import { IDENTITY_FILE, syncFile } from "../../core/mod.ts";
import { refusePipes, stateError } from "./database.ts";

/** Files that are replaced as a whole, so that a copy is consistent. */
const WHOLE_FILES: readonly string[] = [
  IDENTITY_FILE,
  "identity.json",
  "api.token",
  "metrics.token",
  "peers.json",
  "reputation.json",
];

/** Snapshots that are tried until one refers to no file that was deleted meanwhile. */
const MAX_ATTEMPTS = 3;

/** Options of {@linkcode backUp}. */
export interface BackUpOptions {
  /** State directory. */
  from: string;
  /** Directory of the copy; it must be empty or missing. */
  to: string;
  /** Aborts the copy, which is then incomplete. @default {never} */
  signal?: AbortSignal | undefined;
}

/** Content of a copy. */
export interface BackupSummary {
  jobs: number;
  /** Modules and inputs. */
  blobs: number;
  /** Size of all files. */
  bytes: number;
}

interface CopyContext extends BackUpOptions {
  bytes: number;
}

function isMissing(error: unknown): boolean {
  return error instanceof Deno.errors.NotFound;
}

/** Copies a file; returns its size, or `undefined` if it does not exist. */
async function copy(name: string, context: CopyContext): Promise<number | undefined> {
  context.signal?.throwIfAborted();
  const target = `${context.to}/${name}`;
  try {
    await Deno.copyFile(`${context.from}/${name}`, target);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
  await Deno.chmod(target, 0o600);
  await syncFile(target);
  const { size } = await Deno.stat(target);
  context.bytes += size;
  return size;
}

/** Pages of one step of the database's copy: more than it has, so that one read transaction covers all. */
const ALL_PAGES = 2 ** 30;

/** Writes a snapshot of the database in one read transaction, which does not block the daemon. */
async function snapshot({ from, to }: CopyContext): Promise<DatabaseSync> {
  const path = `${from}/jobs.db`;
  Deno.statSync(path);
  const source = new DatabaseSync(path, { readOnly: true });
  try {
    source.exec("PRAGMA busy_timeout = 10000");
    await backup(source, `${to}/jobs.db`, { rate: ALL_PAGES });
  } finally {
    source.close();
  }
  Deno.chmodSync(`${to}/jobs.db`, 0o600);
  return new DatabaseSync(`${to}/jobs.db`);
}

/** Copies the modules and inputs of a snapshot; returns whether a pinned one has been deleted since. */
async function copyBlobs(db: DatabaseSync, context: CopyContext): Promise<boolean> {
  const pinned = new Set(
    db.prepare("SELECT hash FROM job_blobs").all().map((row) => String(row["hash"])),
  );
  // Pinned blobs first: the others may be evicted at any time.
  const hashes = db.prepare(
    "SELECT hash FROM blobs ORDER BY hash IN (SELECT hash FROM job_blobs) DESC",
  ).all().map((row) => String(row["hash"]));
  const remove = db.prepare("DELETE FROM blobs WHERE hash = ?");
  for (const hash of hashes) {
    if (await copy(`blobs/${hash.replace("sha256:", "")}`, context) !== undefined) continue;
    if (pinned.has(hash)) return true;
    remove.run(hash);
  }
  return false;
}

/** Copies the outputs of a snapshot; deletes finished jobs whose output was deleted with them. */
async function copyOutputs(db: DatabaseSync, context: CopyContext): Promise<boolean> {
  const spilled = db.prepare(
    `SELECT jobs.id AS id, jobs.finished_at AS finished, events.type AS type,
       max(events.offset + events.length) AS size
     FROM events JOIN jobs ON jobs.seq = events.job
     WHERE events.type IN ('stdout', 'stderr', 'files') AND events.data IS NULL
     GROUP BY jobs.id, events.type`,
  ).all();
  const remove = db.prepare("DELETE FROM jobs WHERE id = ?");
  for (const row of spilled) {
    const size = await copy(`outputs/${row["id"]}.${row["type"]}`, context);
    if (size !== undefined && size >= Number(row["size"])) continue;
    // An unfinished job was queued again, or has finished and was deleted: take another snapshot.
    if (row["finished"] === null) return true;
    remove.run(String(row["id"]));
  }
  return false;
}

async function attempt(context: CopyContext): Promise<BackupSummary | undefined> {
  const { to } = context;
  context.bytes = 0;
  for (const dir of ["blobs", "outputs"]) {
    await Deno.mkdir(`${to}/${dir}`, { recursive: true, mode: 0o700 });
  }
  const db = await snapshot(context);
  try {
    db.exec("PRAGMA foreign_keys = ON");
    if (await copyBlobs(db, context) || await copyOutputs(db, context)) return undefined;
    const count = (table: string): number =>
      Number(db.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.["n"]);
    for (const name of WHOLE_FILES) await copy(name, context);
    const summary = { jobs: count("jobs"), blobs: count("blobs") };
    db.exec("PRAGMA journal_mode = DELETE");
    const bytes = context.bytes + Deno.statSync(`${to}/jobs.db`).size;
    return { ...summary, bytes };
  } finally {
    db.close();
    await syncFile(`${to}/jobs.db`);
    await syncFile(to);
  }
}

async function prepareTarget(to: string): Promise<void> {
  try {
    await Deno.mkdir(to, { recursive: true, mode: 0o700 });
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    throw new PlasmError("usage", `Cannot back up to ${to}: it is not a directory`);
  }
  const [entry] = await Array.fromAsync(Deno.readDir(to));
  if (entry !== undefined) {
    throw new PlasmError("usage", `Cannot back up to ${to}: it is not empty`, {
      hint: "Name a new directory",
    });
  }
  await Deno.chmod(to, 0o700);
}

/**
 * Copies a state directory: a snapshot of the database, and the files that it refers to. The copy is a state
 * directory. It includes the private key.
 *
 * @throws {PlasmError} `usage` if the target is not empty; `state` if a directory cannot be read or written; `busy`
 * if jobs are deleted faster than they are copied
 */
export async function backUp(options: BackUpOptions): Promise<BackupSummary> {
  const { from, to, signal } = options;
  const context = { from, to, signal, bytes: 0 };
  if (!await Deno.stat(`${from}/jobs.db`).then(({ isFile }) => isFile, () => false)) {
    throw new PlasmError("state", `Cannot back up ${from}: it has no jobs.db that can be read`, {
      hint: "Name the daemon's state directory with --state-dir; reading it may need sudo",
    });
  }
  refusePipes(from);
  try {
    await prepareTarget(to);
    for (let n = 0; n < MAX_ATTEMPTS; n++) {
      const summary = await attempt(context);
      if (summary !== undefined) return summary;
      for await (const { name } of Deno.readDir(to)) {
        await Deno.remove(`${to}/${name}`, { recursive: true });
      }
    }
  } catch (error) {
    if (error instanceof PlasmError) throw error;
    if (signal?.aborted) throw new PlasmError("interrupted", "Stopped: the copy is incomplete");
    throw stateError(`back up ${from} to ${to}`, error);
  }
  throw new PlasmError("busy", `Cannot back up ${from}: jobs were deleted while they were copied`, {
    hint: "Try again",
  });
}
