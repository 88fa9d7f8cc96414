import { assertEquals, assertRejects } from "@std/assert";
import { PlasmError } from "../../core/errors/errors.ts";
import type { JobRecord } from "./job_table.ts";
import { JobStore } from "./store.ts";
import { end, HASH, newJob, testStore } from "../../../tests/fixtures/job_stores.ts";
import { tempDir } from "../../../tests/fixtures/temp_dir.ts";

const OPTIONS = { cacheBytes: 1e6 };
const BUFFERED = { blobs: [], position: 0, durability: "buffered" } as const;
const OUTPUT = [
  { stream: "stdout", offset: 0, data: new Uint8Array([1, 2, 3]) },
  { stream: "stderr", offset: 0, data: new Uint8Array([4]) },
  { stream: "stdout", offset: 3, data: new Uint8Array([5]) },
] as const;

/** All that readers see of a job, written or not. */
async function told(store: JobStore, job: JobRecord): Promise<unknown> {
  const { seq: _, ...record } = store.get(job.id)!;
  const stdout: number[] = [];
  for await (const part of store.readOutput(job, "stdout", { offset: 1 })) stdout.push(...part);
  const events = await store.eventsAfter(job, 2);
  return { record, stdout, events, more: store.hasEventsAfter(job, 5) };
}

const LEFT_BEHIND = { entries: [{ path: "a", bytes: 1, kind: "file" as const }], more: 0 };

/** Runs a job that was accepted with "buffered" durability. */
async function late(store: JobStore): Promise<JobRecord> {
  const record = await store.accept(newJob(), BUFFERED);
  assertEquals(await store.start(record, 1100), 1);
  await store.finish(
    record,
    { state: "finished", status: "exited", exitCode: 3, finishedAt: 1200, leftBehind: LEFT_BEHIND },
    { type: "finished", at: 1200, outcome: { status: "exited", exitCode: 3 } },
    OUTPUT,
  );
  return record;
}

Deno.test("JobStore.get() returns the same job when it is unwritten and when it is written", async () => {
  await using fixture = await testStore();
  const { store } = fixture;
  const job = await late(store);
  assertEquals(job.seq, 0);
  const before = await told(store, job);
  assertEquals(store.get(job.id)!.leftBehind, LEFT_BEHIND);
  assertEquals(store.counts().finished, 1);
  assertEquals(job.seq, 1);
  assertEquals(await told(store, job), before);
});

Deno.test("JobStore writes buffered jobs when it lists, counts or closes", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  {
    using store = new JobStore(dir, OPTIONS);
    await late(store);
    assertEquals(store.list().length, 1);
    await late(store);
    assertEquals(store.counts().finished, 2);
    await late(store);
  }
  using store = new JobStore(dir, OPTIONS);
  assertEquals(store.list().map(({ exitCode }) => exitCode), [3, 3, 3]);
});

Deno.test("JobStore writes buffered jobs when their delay expires, finished or not", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  using store = new JobStore(dir, OPTIONS);
  const record = await store.accept(newJob(), BUFFERED);
  while (record.seq === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  assertEquals({ seq: record.seq, state: record.state }, { seq: 1, state: "queued" });
  await store.start(record, 1100);
  await end(store, record, 1200);
  assertEquals(store.get(record.id)?.state, "finished");
});

Deno.test("JobStore writes a buffered job first when it does more than finish", async () => {
  await using fixture = await testStore();
  const { store } = fixture;
  const requeued = await store.accept(newJob(), BUFFERED);
  const written = await store.accept(newJob(), BUFFERED);
  await store.start(requeued, 1);
  await store.requeue(requeued, 2);
  await store.output(written, 1, OUTPUT);
  assertEquals({ requeued: requeued.seq > 0, written: written.seq > 0 }, {
    requeued: true,
    written: true,
  });
  assertEquals(store.unfinished().length, 2);
  assertEquals((await store.eventsAfter(requeued, 0)).map(({ type }) => type), [
    "queued",
    "started",
    "interrupted",
  ]);
  assertEquals(store.get(written.id)?.stdoutBytes, 4);
});

Deno.test("JobStore.delete() removes a job when it was never written", async () => {
  await using fixture = await testStore();
  const { store } = fixture;
  const job = await late(store);
  await store.delete([job]);
  assertEquals({ job: store.get(job.id), jobs: store.list() }, { job: undefined, jobs: [] });
});

Deno.test("JobStore.acknowledged() fails when a buffered job could not be written", async () => {
  await using fixture = await testStore();
  const { store } = fixture;
  const job = await store.accept(newJob(), { ...BUFFERED, blobs: [HASH] });
  await store.acknowledged(job, { durability: "buffered" });
  const error = await assertRejects(
    () => store.acknowledged(job, { durability: "commit" }),
    PlasmError,
    "is not stored",
  );
  assertEquals({ code: error.code, fault: store.fault, jobs: store.list() }, {
    code: "not-found",
    fault: undefined,
    jobs: [],
  });
  assertEquals(store.reload(job), undefined);
  await end(store, job, 1200);
  assertEquals(store.get(job.id), undefined);
});

Deno.test("JobStore.accept() rejects a buffered job when its id is taken", async () => {
  await using fixture = await testStore();
  const { store } = fixture;
  const job = newJob();
  const first = await store.accept(job, BUFFERED);
  for (let n = 0; n < 2; n++) {
    const refused = await assertRejects(() => store.accept(job, BUFFERED), PlasmError, "UNIQUE");
    assertEquals({ code: refused.code, seq: first.seq }, { code: "state", seq: 1 });
  }
  assertEquals(store.list().length, 1);
});

Deno.test("JobStore.accept() commits a buffered job first when the buffer is full", async () => {
  await using fixture = await testStore();
  const { store } = fixture;
  const accepting = Array.from({ length: 300 }, () => store.accept(newJob(), BUFFERED));
  const records = await Promise.all(accepting);
  assertEquals(store.list({ limit: 300 }).length, 300);
  // The 44 beyond 256 were committed before accept() resolved, and so came first.
  assertEquals([records[256]!.seq, records[299]!.seq, records[0]!.seq], [1, 44, 45]);
});

Deno.test("JobStore.sync() writes all buffered jobs", async () => {
  await using fixture = await testStore();
  const { store } = fixture;
  const job = await late(store);
  await store.sync();
  assertEquals(job.seq, 1);
  await store.sync();
});
