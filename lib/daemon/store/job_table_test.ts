import { assertEquals } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { createManifest } from "../../core/manifest.ts";
import type { Receipt } from "../../core/types.gen.ts";
import { JobTable } from "./job_table.ts";
import { jobBytes, MIGRATIONS } from "./database.ts";
import { newRecord } from "./job_table.ts";
import { HASH, newJob } from "../../../tests/fixtures/job_stores.ts";

function insert(table: JobTable, createdAt: number): number {
  const args = ["x".repeat(createdAt % 100)];
  const manifest = createManifest({ module_hash: HASH, args });
  return table.insert(newRecord(newJob({ createdAt, manifest })));
}

/** What the totals must be, counted anew. */
function recount(db: DatabaseSync): { jobs: unknown; bytes: unknown } {
  const jobs = db.prepare("SELECT state, count(*) AS n FROM jobs GROUP BY state").all();
  const sum = db.prepare(`SELECT coalesce(sum(${jobBytes("jobs")}), 0) AS n FROM jobs`).get();
  return {
    jobs: Object.fromEntries(jobs.map(({ state, n }) => [state, n])),
    bytes: sum?.["n"],
  };
}

function idOf(db: DatabaseSync, seq: number): string {
  return String(db.prepare("SELECT id FROM jobs WHERE seq = ?").get(seq)?.["id"]);
}

function told(table: JobTable): { jobs: unknown; bytes: unknown } {
  const jobs = Object.entries(table.counts()).filter(([, count]) => count > 0);
  return { jobs: Object.fromEntries(jobs), bytes: table.endedBytes() };
}

Deno.test("JobTable.counts() and endedBytes() match the rows when jobs change state", () => {
  using db = new DatabaseSync(":memory:");
  for (const step of MIGRATIONS) db.exec(step);
  const table = new JobTable(db);
  // Deterministic generator: 2,000 steps through every state.
  let seed = 7;
  const random = (n: number): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 8) % n;
  };
  const [open, ended]: [number[], number[]] = [[], []];
  const takeOut = (from: number[]): number => from.splice(random(from.length), 1)[0]!;
  for (let step = 0; step < 2000; step++) {
    const act = random(6);
    if (act <= 1 || open.length === 0) open.push(insert(table, step));
    else if (act === 2) table.start(open[random(open.length)]!, step);
    else if (act === 3) table.requeue(open[random(open.length)]!);
    else if (act === 4) {
      const seq = takeOut(open);
      const state = (["finished", "failed", "interrupted"] as const)[random(3)]!;
      table.finish(seq, {
        state,
        receipt: random(2) ? { signature: "n".repeat(random(200)) } as Receipt : null,
        finishedAt: step,
      });
      ended.push(seq);
    } else if (ended.length > 0) table.delete(idOf(db, takeOut(random(4) ? ended : open)));
    if (step % 50 === 0) assertEquals(told(table), recount(db), `step ${step}`);
  }
  assertEquals(told(table), recount(db));
});

Deno.test("JobTable.counts() includes earlier jobs when a store without totals is migrated", () => {
  using db = new DatabaseSync(":memory:");
  const [first, second, totals, ...later] = MIGRATIONS;
  // The table's statements need the later migrations too.
  for (const step of [first, second, ...later]) db.exec(step!);
  const table = new JobTable(db);
  insert(table, 1);
  table.finish(insert(table, 2), { state: "failed", finishedAt: 3 });
  db.exec(totals!);
  assertEquals(told(table), recount(db));
  assertEquals(told(table).jobs, { queued: 1, failed: 1 });
});
