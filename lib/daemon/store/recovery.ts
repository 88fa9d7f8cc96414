/**
 * Opens the job store's database and recovers it from corruption: the damaged file is moved aside and its readable
 * rows are copied into a new one.
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { jobBytes, MIGRATIONS, openDatabase, stateError, transaction } from "./database.ts";
import { asRecord } from "./job_table.ts";
import { DatabaseSync } from "node:sqlite";

/** Report of a recovery. */
export interface Damage {
  /** Message of SQLite or of the checks below. */
  reason: string;
  /** Path of the damaged file; its `-wal` is in the same directory. */
  movedTo: string;
  /** Recovered jobs. */
  recoveredJobs: number;
  /** Readable but invalid rows; unreadable rows cannot be counted. */
  lostRows: number;
}

/** Number of damaged databases retained; each may be as large as the store. */
const MAX_DAMAGED_FILES = 2;

/** Files of SQLite: the database, its write-ahead log, and that log's index. */
const PARTS = ["", "-wal", "-shm"] as const;

/** SQLite messages about foreign or corrupt files and unexpected schemas. */
const DAMAGE = /malformed|not a database|corrupt|no such (table|column)|already exists|duplicate/i;

/** Schema version above which the header counts as corrupt rather than newer. */
const MAX_PLAUSIBLE_VERSION = 1000;

/** Tables with their read order and their JSON columns. */
const TABLES = [
  {
    name: "jobs",
    key: "seq",
    json: ["manifest", "ceilings", "error", "receipt", "other_receipts", "target"],
  },
  { name: "events", key: "rowid", json: ["body"] },
  { name: "job_blobs", key: "hash, job", json: [] },
] as const;

type Table = (typeof TABLES)[number];

class DamagedError extends Error {}

/** All tables and columns as comparable text. */
function shapeOf(db: DatabaseSync): string {
  const rows = db.prepare(
    `SELECT m.name || '.' || c.name AS one FROM sqlite_schema AS m, pragma_table_info(m.name) AS c
     WHERE m.type = 'table' ORDER BY one`,
  ).all();
  return rows.map((row) => row["one"]).join();
}

function expectedShape(): string {
  using db = new DatabaseSync(":memory:");
  for (const step of MIGRATIONS) db.exec(step);
  return shapeOf(db);
}

/** Checks every page, the totals and all JSON columns; takes about 1 ms per MB. */
function check(db: DatabaseSync): void {
  const found = db.prepare("PRAGMA quick_check(1)").get()?.["quick_check"];
  // The first line only names the database.
  if (found !== "ok") throw new DamagedError(String(found).split("\n").at(-1));
  const miscounted = db.prepare(
    `SELECT 1 FROM totals WHERE (jobs, bytes) IS NOT (
       SELECT count(*), coalesce(sum(${jobBytes("jobs")}), 0) FROM jobs
       WHERE jobs.state = totals.state) LIMIT 1`,
  ).get();
  if (miscounted !== undefined) throw new DamagedError("totals do not match the jobs");
  for (const { name, json } of TABLES) {
    for (const column of json) {
      const bad = db.prepare(
        `SELECT 1 FROM ${name} WHERE ${column} IS NOT NULL AND NOT json_valid(${column}) LIMIT 1`,
      ).get();
      if (bad !== undefined) throw new DamagedError(`${name}.${column} is not JSON`);
    }
  }
}

function reasonOf(error: unknown): string | undefined {
  const cause = error instanceof PlasmError ? error.cause ?? error : error;
  if (cause instanceof DamagedError) return cause.message;
  if (cause instanceof PlasmError) {
    return Number(cause.details["schema"]) > MAX_PLAUSIBLE_VERSION ? cause.message : undefined;
  }
  return cause instanceof Error && DAMAGE.test(cause.message) ? cause.message : undefined;
}

function openChecked(path: string): DatabaseSync {
  const clean = consumeCleanMark(path);
  const db = openDatabase(path);
  try {
    if (shapeOf(db) !== expectedShape()) throw new DamagedError("unexpected tables");
    if (!clean) check(db);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

function move(from: string, to: string): void {
  for (const part of PARTS) if (exists(from + part)) Deno.renameSync(from + part, to + part);
}

function remove(path: string): void {
  for (const part of PARTS) if (exists(path + part)) Deno.removeSync(path + part);
}

/** Deletes the oldest damaged databases. */
function deleteOldest(path: string): void {
  const at = path.lastIndexOf("/");
  const prefix = `${path.slice(at + 1)}.damaged-`;
  const names = [...Deno.readDirSync(path.slice(0, at))].map(({ name }) => name)
    .filter((name) => name.startsWith(prefix) && !/-(wal|shm)$/.test(name)).sort();
  for (const name of names.slice(0, -MAX_DAMAGED_FILES)) remove(`${path.slice(0, at)}/${name}`);
}

/** Whether the store could have written this row. */
function isValidRow({ name, json }: Table, row: Record<string, unknown>): boolean {
  try {
    if (name === "jobs") asRecord(row);
    for (const column of json) if (row[column] != null) JSON.parse(String(row[column]));
    return true;
  } catch {
    return false;
  }
}

/** Copies readable rows, from both ends towards the damage; returns the number of invalid rows. */
function copyTable(table: Table, from: DatabaseSync, to: DatabaseSync): number {
  const columns = to.prepare(`PRAGMA table_info(${table.name})`).all().map((row) => row["name"]);
  const insert = to.prepare(
    `INSERT OR IGNORE INTO ${table.name} (${columns}) VALUES (${columns.map(() => "?")})`,
  );
  let lost = 0;
  for (const order of ["ASC", "DESC"]) {
    const by = table.key.split(", ").map((column) => `${column} ${order}`).join();
    try {
      const rows = from.prepare(`SELECT ${columns} FROM ${table.name} ORDER BY ${by}`);
      for (const row of rows.iterate()) {
        try {
          if (!isValidRow(table, row)) throw new DamagedError();
          insert.run(...columns.map((column) => row[String(column)] ?? null));
        } catch {
          lost++;
        }
      }
      return lost;
    } catch { /* unreadable page: continue from the other end */ }
  }
  return lost;
}

function copyReadableRows(path: string, fresh: string): Pick<Damage, "recoveredJobs" | "lostRows"> {
  remove(fresh);
  using to = openDatabase(fresh);
  let from: DatabaseSync;
  try {
    from = new DatabaseSync(path);
  } catch {
    return { recoveredJobs: 0, lostRows: 0 };
  }
  try {
    return transaction(to, () => {
      const lostRows = TABLES.reduce((sum, table) => sum + copyTable(table, from, to), 0);
      return {
        lostRows,
        recoveredJobs: Number(to.prepare("SELECT count(*) AS n FROM jobs").get()?.["n"]),
      };
    });
  } finally {
    from.close();
  }
}

/**
 * Opens a database; moves a damaged one to `PATH.damaged-TIME` and replaces it.
 *
 * @throws {PlasmError} `state` for other failures: full disk, missing permission, newer schema
 */
export function openOrRecover(path: string): { db: DatabaseSync; damage?: Damage } {
  const fresh = `${path}.new`;
  try {
    // A crash between the two renames below leaves a complete new file.
    if (!exists(path) && exists(fresh)) Deno.renameSync(fresh, path);
    const db = openChecked(path);
    remove(fresh); // left by a recovery that a crash interrupted
    return { db };
  } catch (error) {
    const reason = reasonOf(error);
    if (reason === undefined) throw stateError(`open ${path}`, error);
    try {
      const saved = copyReadableRows(path, fresh);
      const movedTo = `${path}.damaged-${new Date().toISOString().replaceAll(/[-:]|\.\d+/g, "")}`;
      move(path, movedTo);
      Deno.renameSync(fresh, path);
      deleteOldest(path);
      return { db: openChecked(path), damage: { reason, movedTo, ...saved } };
    } catch (fault) {
      throw stateError(`replace damaged ${path}`, fault);
    }
  }
}

/** Fingerprint in the clean mark: any later change or truncation alters it. */
function describe(path: string): string {
  const { size, mtime } = Deno.statSync(path);
  return `${size} ${mtime?.getTime()}`;
}

/** Marks a database as cleanly closed. Without the mark the next start checks it in full. */
export function markClean(path: string): void {
  try {
    Deno.writeTextFileSync(`${path}.clean`, describe(path), { mode: 0o600 });
  } catch { /* best effort */ }
}

/**
 * Removes the mark; returns whether the database is unchanged since. A `-wal` file means that a later process
 * has not closed it.
 */
export function consumeCleanMark(path: string): boolean {
  try {
    const mark = Deno.readTextFileSync(`${path}.clean`);
    Deno.removeSync(`${path}.clean`);
    return mark === describe(path) && !exists(`${path}-wal`);
  } catch {
    return false;
  }
}
