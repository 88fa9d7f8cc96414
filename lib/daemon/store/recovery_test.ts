import { HASH, newJob } from "../../../tests/fixtures/job_stores.ts";
import { tempDir } from "../../../tests/fixtures/temp_dir.ts";
import { PlasmError } from "../../core/errors/errors.ts";
import { createManifest } from "../../core/manifest.ts";
import { openDatabase } from "./database.ts";
import { consumeCleanMark, markClean, openOrRecover } from "./recovery.ts";
import { JobStore } from "./store.ts";
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";

/** Long enough that some jobs fill several pages. */
const MANIFEST = createManifest({ module_hash: HASH, args: ["x".repeat(200)] });
const OPTIONS = { cacheBytes: 1e6 };
const JOBS = 40;

/** Lengths that a file is cut to. */
const CUTS = 12;

/** Places at which a byte is changed. */
const CHANGES = 40;

async function fill(store: JobStore, jobs: number): Promise<string[]> {
  const ids: string[] = [];
  for (let i = 0; i < jobs; i++) {
    const job = newJob({ manifest: MANIFEST });
    await store.accept(job, { blobs: [], position: i });
    ids.push(job.id);
    const row = store.get(job.id)!;
    const data = new Uint8Array(500).fill(i);
    await store.output(row, 1, [{ stream: "stdout", offset: 0, data }]);
  }
  return ids;
}

/** Files of a store as they were on the disk, some jobs in the database and some in its log. */
async function killed(dir: string): Promise<{ ids: string[]; parts: Map<string, Uint8Array> }> {
  using store = new JobStore(dir, OPTIONS);
  const ids = await fill(store, JOBS);
  {
    // A checkpoint on a second connection moves the log into the database.
    using other = openDatabase(`${dir}/jobs.db`);
    other.exec("PRAGMA wal_checkpoint(PASSIVE)");
  }
  ids.push(...await fill(store, JOBS));
  const names = ["jobs.db", "jobs.db-wal"];
  return { ids, parts: new Map(names.map((name) => [name, Deno.readFileSync(`${dir}/${name}`)])) };
}

/** Opens what is left and uses it: jobs can be told and taken, now and after the next start. */
async function use(dir: string, parts: Map<string, Uint8Array>): Promise<{ store: string[] }> {
  for (const [name, bytes] of parts) Deno.writeFileSync(`${dir}/${name}`, bytes);
  let told: string[];
  let added: string[];
  {
    using store = new JobStore(dir, OPTIONS);
    const jobs = store.list({ limit: 1000 });
    told = jobs.map(({ id }) => id);
    for (const job of jobs) await store.eventsAfter(job, 0);
    assertEquals(store.counts().queued, jobs.length);
    if (store.damage !== undefined) {
      assert(Deno.statSync(store.damage.movedTo).isFile);
      assertEquals(store.damage.recoveredJobs, jobs.length);
    }
    added = await fill(store, 2);
  }
  using again = new JobStore(dir, OPTIONS);
  assertEquals(again.damage, undefined);
  assertEquals(again.list({ limit: 1000 }).length, told.length + 2);
  for (const id of added) assertEquals(again.get(id)?.stdoutBytes, 500);
  return { store: told };
}

/** Like {@linkcode use}, in a separate directory. */
async function useCopy(parts: Map<string, Uint8Array>): Promise<string[]> {
  await using temp = await tempDir();
  return (await use(temp.path, parts)).store;
}

Deno.test("JobStore() recovers the remaining jobs when the database was truncated anywhere", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const { ids, parts } = await killed(dir);
  assertEquals(new Set(await useCopy(parts)), new Set(ids));
  for (const [name, bytes] of parts) {
    for (let i = 0; i < CUTS; i++) {
      const cut = Math.floor(bytes.length * i / CUTS) + (i % 3);
      const told = await useCopy(new Map(parts).set(name, bytes.subarray(0, cut)));
      assert(told.every((id) => ids.includes(id)), `${name} cut to ${cut}`);
      // Checkpointed rows do not need the log.
      if (name === "jobs.db-wal") assert(told.length >= JOBS, `${told.length} jobs, cut ${cut}`);
    }
  }
});

Deno.test("JobStore() loses no durable job when the log is truncated after it", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  let length: number;
  let ids: string[];
  let parts: Map<string, Uint8Array>;
  {
    using store = new JobStore(dir, OPTIONS);
    ids = await fill(store, JOBS);
    length = Deno.statSync(`${dir}/jobs.db-wal`).size;
    await fill(store, JOBS);
    const wal = Deno.readFileSync(`${dir}/jobs.db-wal`);
    parts = new Map([
      ["jobs.db", Deno.readFileSync(`${dir}/jobs.db`)],
      ["jobs.db-wal", wal],
    ]);
  }
  const wal = parts.get("jobs.db-wal")!;
  assert(wal.length > length, "there is nothing to cut");
  for (let i = 0; i < CUTS; i++) {
    const cut = length + Math.floor((wal.length - length) * i / CUTS);
    const told = await useCopy(new Map(parts).set("jobs.db-wal", wal.subarray(0, cut)));
    assertEquals(ids.filter((id) => !told.includes(id)), [], `cut to ${cut}`);
  }
});

Deno.test("JobStore() opens the database when any byte was changed", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const { parts } = await killed(dir);
  for (const [name, bytes] of parts) {
    for (let i = 0; i < CHANGES; i++) {
      const at = i < 20 ? i * 5 : Math.floor(bytes.length * (i - 20) / (CHANGES - 20));
      const changed = bytes.slice();
      changed[at]! ^= 1 << i % 8;
      try {
        await useCopy(new Map(parts).set(name, changed));
      } catch (error) {
        // The schema version is four bytes at offset 60 (SQLite file format, section 1.3).
        const isVersion = name === "jobs.db" && at >= 60 && at < 64;
        assert(isVersion && error instanceof PlasmError, `${name}, byte ${at}: ${error}`);
      }
    }
  }
});

Deno.test("openOrRecover() moves the file aside and reports it when it is not a database", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const path = `${dir}/jobs.db`;
  const text = "no database at all, but long enough to look at\n".repeat(99);
  for (let round = 0; round < 4; round++) {
    Deno.writeTextFileSync(path, text);
    const { db, damage } = openOrRecover(path);
    db.close();
    assertStringIncludes(damage!.reason, "not a database");
    assertEquals({ recoveredJobs: damage!.recoveredJobs, lostRows: damage!.lostRows }, {
      recoveredJobs: 0,
      lostRows: 0,
    });
    assertEquals(Deno.readTextFileSync(damage!.movedTo), text);
  }
  const kept = [...Deno.readDirSync(dir)].filter(({ name }) => name.includes("damaged"));
  assert(kept.length <= 2, `${kept.length} are kept`);
  return Promise.resolve();
});

Deno.test("openOrRecover() recovers the other jobs when one row is invalid", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  let ids: string[];
  {
    using store = new JobStore(dir, OPTIONS);
    ids = await fill(store, 5);
  }
  {
    using db = openDatabase(`${dir}/jobs.db`);
    db.prepare("UPDATE jobs SET manifest = '{\"resour' WHERE id = ?").run(ids[2]!);
  }
  using store = new JobStore(dir, OPTIONS);
  assertEquals(store.damage!.reason, "jobs.manifest is not JSON");
  // The job and its two orphaned events.
  assertEquals({ recoveredJobs: store.damage!.recoveredJobs, lostRows: store.damage!.lostRows }, {
    recoveredJobs: 4,
    lostRows: 3,
  });
  assertEquals(store.list().map(({ id }) => id).sort(), ids.toSpliced(2, 1).sort());
  for (const job of store.list()) assertEquals((await store.eventsAfter(job, 0)).length, 2);
});

Deno.test("openOrRecover() recomputes totals when they are wrong", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  {
    using store = new JobStore(dir, OPTIONS);
    await fill(store, 5);
  }
  {
    using db = openDatabase(`${dir}/jobs.db`);
    db.exec("UPDATE totals SET bytes = 1 << 40 WHERE state = 'finished'");
  }
  using store = new JobStore(dir, OPTIONS);
  assertEquals(store.damage!.reason, "totals do not match the jobs");
  assertEquals({
    recoveredJobs: store.damage!.recoveredJobs,
    endedBytes: store.endedBytes(),
    queued: store.counts().queued,
  }, { recoveredJobs: 5, endedBytes: 0, queued: 5 });
});

Deno.test("openOrRecover() completes a recovery when a crash interrupted it", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  let ids: string[];
  {
    using store = new JobStore(dir, OPTIONS);
    ids = await fill(store, 3);
  }
  Deno.renameSync(`${dir}/jobs.db`, `${dir}/jobs.db.new`);
  using store = new JobStore(dir, OPTIONS);
  assertEquals(store.list().map(({ id }) => id).sort(), ids.sort());
  assertThrows(() => Deno.statSync(`${dir}/jobs.db.new`), Deno.errors.NotFound);
});

Deno.test("openOrRecover() rejects the store when its schema is newer", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const path = `${dir}/jobs.db`;
  {
    using db = openDatabase(path);
    db.exec("PRAGMA user_version = 900");
  }
  const error = assertThrows(() => openOrRecover(path), PlasmError, "is newer than");
  assertEquals(error.code, "state");
  assertEquals([...Deno.readDirSync(dir)].map(({ name }) => name), ["jobs.db"]);
  return Promise.resolve();
});

Deno.test("consumeCleanMark() accepts a mark once and only when the file is unchanged", async () => {
  const dir = await Deno.makeTempDir();
  try {
    const path = `${dir}/jobs.db`;
    Deno.writeTextFileSync(path, "pages");
    assertEquals(consumeCleanMark(path), false);
    markClean(path);
    assertEquals({ first: consumeCleanMark(path), second: consumeCleanMark(path) }, {
      first: true,
      second: false,
    });
    for (
      const change of [
        () => Deno.truncateSync(path, 2),
        () => Deno.utimeSync(path, 1, 1),
        () => Deno.writeTextFileSync(`${path}-wal`, "log"),
        () => Deno.removeSync(path),
      ]
    ) {
      markClean(path);
      change();
      assertEquals(consumeCleanMark(path), false);
    }
    markClean(`${dir}/none`); // a missing file is not an error
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
