/**
 * Opens the job store's database whatever has become of it. One that is damaged is kept under another
 * name, and a new one takes its place with all that could be read of it.
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { jobBytes, MIGRATIONS, openDatabase, stateError, transaction } from "./database.ts";
import { asRecord } from "./job_table.ts";
import { DatabaseSync } from "node:sqlite";

/** What was wrong with a database and what was saved of it. */
export interface Damage {
  /** In SQLite's words, or ours. */
  reason: string;
  /** Where the damaged file is now; its `-wal` lies beside it. */
  movedTo: string;
  /** Jobs that go on as if nothing had happened. */
  savedJobs: number;
  /** Rows that could be read but made no sense; of others nothing is known. */
  lostRows: number;
}

/** Damaged databases that are kept, the latest: they may be as large as the store itself. */
const KEPT = 2;

/** Files of SQLite: the database, its write-ahead log, and that log's index. */
const PARTS = ["", "-wal", "-shm"] as const;

/** What SQLite says of files that are none of its own, and of schemas that are not ours. */
const DAMAGE = /malformed|not a database|corrupt|no such (table|column)|already exists|duplicate/i;

/** A version number that no release will ever reach. */
const ABSURD_VERSION = 1000;

/** Tables with the order to read them in, and the columns that hold JSON or null. */
const TABLES = [
  { name: "jobs", key: "seq", json: ["manifest", "ceilings", "error", "receipt", "target"] },
  { name: "events", key: "rowid", json: ["body"] },
  { name: "job_blobs", key: "hash, job", json: [] },
] as const;

type Table = (typeof TABLES)[number];

class DamagedError extends Error {}

/** Names of all tables with their columns, as text to compare. */
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

/** Looks at every page, at the totals, and at each text that must be JSON; about 1 ms for each MB. */
function check(db: DatabaseSync): void {
  const found = db.prepare("PRAGMA quick_check(1)").get()?.["quick_check"];
  // Its first line names the database, of which there is one.
  if (found !== "ok") throw new DamagedError(String(found).split("\n").at(-1));
  const miscounted = db.prepare(
    `SELECT 1 FROM totals WHERE (jobs, bytes) IS NOT (
       SELECT count(*), coalesce(sum(${jobBytes("jobs")}), 0) FROM jobs
       WHERE jobs.state = totals.state) LIMIT 1`,
  ).get();
  if (miscounted !== undefined) throw new DamagedError("its totals are wrong");
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
    return Number(cause.details["schema"]) > ABSURD_VERSION ? cause.message : undefined;
  }
  return cause instanceof Error && DAMAGE.test(cause.message) ? cause.message : undefined;
}

function openChecked(path: string): DatabaseSync {
  const clean = takeCleanMark(path);
  const db = openDatabase(path);
  try {
    if (shapeOf(db) !== expectedShape()) throw new DamagedError("its tables are not ours");
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

/** Leaves the latest of those that were put aside. */
function forgetOldest(path: string): void {
  const at = path.lastIndexOf("/");
  const prefix = `${path.slice(at + 1)}.damaged-`;
  const names = [...Deno.readDirSync(path.slice(0, at))].map(({ name }) => name)
    .filter((name) => name.startsWith(prefix) && !/-(wal|shm)$/.test(name)).sort();
  for (const name of names.slice(0, -KEPT)) remove(`${path.slice(0, at)}/${name}`);
}

/** Whether a row is one that the store could have written. */
function makesSense({ name, json }: Table, row: Record<string, unknown>): boolean {
  try {
    if (name === "jobs") asRecord(row);
    for (const column of json) if (row[column] != null) JSON.parse(String(row[column]));
    return true;
  } catch {
    return false;
  }
}

/** Copies what can be read of a table, from both ends towards the damage; returns the rows lost. */
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
          if (!makesSense(table, row)) throw new DamagedError();
          insert.run(...columns.map((column) => row[String(column)] ?? null));
        } catch {
          lost++;
        }
      }
      return lost;
    } catch { /* as far as it goes; the rest from the other end */ }
  }
  return lost;
}

function salvage(path: string, fresh: string): Pick<Damage, "savedJobs" | "lostRows"> {
  remove(fresh);
  using to = openDatabase(fresh);
  let from: DatabaseSync;
  try {
    from = new DatabaseSync(path);
  } catch {
    return { savedJobs: 0, lostRows: 0 };
  }
  try {
    return transaction(to, () => {
      const lostRows = TABLES.reduce((sum, table) => sum + copyTable(table, from, to), 0);
      return {
        lostRows,
        savedJobs: Number(to.prepare("SELECT count(*) AS n FROM jobs").get()?.["n"]),
      };
    });
  } finally {
    from.close();
  }
}

/**
 * Opens a database. One that is damaged is put aside, as `PATH.damaged-TIME`, and replaced.
 *
 * @throws {PlasmError} `state` for any other reason not to open it: a full disk, no permission, a newer
 * version's file
 */
export function openOrSalvage(path: string): { db: DatabaseSync; damage?: Damage } {
  const fresh = `${path}.new`;
  try {
    // A crash between the two moves below: the new one is complete.
    if (!exists(path) && exists(fresh)) Deno.renameSync(fresh, path);
    const db = openChecked(path);
    remove(fresh); // Of a salvage that a crash cut short: what it was made from is whole after all.
    return { db };
  } catch (error) {
    const reason = reasonOf(error);
    if (reason === undefined) throw stateError(`open ${path}`, error);
    try {
      const saved = salvage(path, fresh);
      const movedTo = `${path}.damaged-${new Date().toISOString().replaceAll(/[-:]|\.\d+/g, "")}`;
      move(path, movedTo);
      Deno.renameSync(fresh, path);
      forgetOldest(path);
      return { db: openChecked(path), damage: { reason, movedTo, ...saved } };
    } catch (fault) {
      throw stateError(`replace damaged ${path}`, fault);
    }
  }
}

/** What a mark says of the file: whoever changes it, or cuts it, changes one of these. */
function describe(path: string): string {
  const { size, mtime } = Deno.statSync(path);
  return `${size} ${mtime?.getTime()}`;
}

/** Marks a database as closed. One that cannot be marked is looked through at the next start. */
export function markClean(path: string): void {
  try {
    Deno.writeTextFileSync(`${path}.clean`, describe(path), { mode: 0o600 });
  } catch { /* as said */ }
}

/**
 * Takes the mark away; tells whether the database is as it was when it was marked. A log beside it was
 * written by someone who has not closed it.
 */
export function takeCleanMark(path: string): boolean {
  try {
    const mark = Deno.readTextFileSync(`${path}.clean`);
    Deno.removeSync(`${path}.clean`);
    return mark === describe(path) && !exists(`${path}-wal`);
  } catch {
    return false;
  }
}
