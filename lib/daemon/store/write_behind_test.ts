import { assertEquals, assertRejects } from "@std/assert";
import { PlasmError } from "../../core/errors/errors.ts";
import type { JobRecord } from "./job_record.ts";
import { JobStore } from "./store.ts";
import { end, HASH, inDir, newJob, withStore } from "../../../tests/fixtures/job_stores.ts";

const OPTIONS = { cacheBytes: 1e6 };
const OUTPUT = [
  { stream: "stdout", offset: 0, data: new Uint8Array([1, 2, 3]) },
  { stream: "stderr", offset: 0, data: new Uint8Array([4]) },
  { stream: "stdout", offset: 3, data: new Uint8Array([5]) },
] as const;

/** All that readers see of a job, written or not. */
async function told(store: JobStore, job: JobRecord): Promise<unknown> {
  const { seq: _, ...record } = store.get(job.id)!;
  const stdout: number[] = [];
  for await (const part of store.readOutput(job, "stdout", 1)) stdout.push(...part);
  const events = await store.eventsAfter(job, 2);
  return { record, stdout, events, more: store.hasEventsAfter(job, 5) };
}

/** Runs a job that was accepted with "buffered" durability. */
async function late(store: JobStore): Promise<JobRecord> {
  const { record } = store.accept(newJob(), { blobs: [], position: 0, durability: "buffered" });
  assertEquals(await store.start(record, 1100), 1);
  await store.finish(
    record,
    { state: "finished", status: "exited", exitCode: 3, finishedAt: 1200 },
    { type: "finished", at: 1200, status: "exited", exitCode: 3, message: null },
    OUTPUT,
  );
  return record;
}

Deno.test("JobStore.get() returns the same job when it is unwritten and when it is written", () =>
  withStore(async (store) => {
    const job = await late(store);
    assertEquals(job.seq, 0);
    const before = await told(store, job);
    store.settle();
    assertEquals(job.seq, 1);
    assertEquals(await told(store, job), before);
    assertEquals(store.counts().finished, 1);
  }));

Deno.test("JobStore writes buffered jobs when it lists, counts or closes", () =>
  inDir(async (dir) => {
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
  }));

Deno.test("JobStore writes buffered jobs when their delay expires, finished or not", () =>
  inDir(async (dir) => {
    using store = new JobStore(dir, OPTIONS);
    const { saved, record } = store.accept(newJob(), {
      blobs: [],
      position: 0,
      durability: "buffered",
    });
    await saved;
    assertEquals([record.seq, record.state], [1, "queued"]);
    await store.start(record, 1100);
    await end(store, record, 1200);
    assertEquals(store.get(record.id)?.state, "finished");
  }));

Deno.test("JobStore writes a buffered job first when it does more than finish", () =>
  withStore(async (store) => {
    const accept = () =>
      store.accept(newJob(), { blobs: [], position: 0, durability: "buffered" }).record;
    const [requeued, written] = [accept(), accept()];
    await store.start(requeued, 1);
    await store.requeue(requeued, 2);
    await store.output(written, 1, OUTPUT);
    assertEquals([requeued.seq > 0, written.seq > 0], [true, true]);
    assertEquals(store.unfinished().length, 2);
    assertEquals((await store.eventsAfter(requeued, 0)).map(({ type }) => type), [
      "queued",
      "started",
      "interrupted",
    ]);
    assertEquals(store.get(written.id)?.stdoutBytes, 4);
  }));

Deno.test("JobStore.delete() removes a job when it was never written", () =>
  withStore(async (store) => {
    const job = await late(store);
    await store.delete([job]);
    assertEquals([store.get(job.id), store.list()], [undefined, []]);
  }));

Deno.test("JobStore.accept() rejects a buffered job when a blob is missing or its id is taken", () =>
  withStore(async (store) => {
    const job = newJob();
    const { saved } = store.accept(job, { blobs: [HASH], position: 0, durability: "buffered" });
    store.settle();
    const error = await assertRejects(() => saved, PlasmError, "is not stored");
    assertEquals([error.code, store.fault, store.list()], ["not-found", undefined, []]);

    const accept = () => store.accept(job, { blobs: [], position: 0, durability: "buffered" });
    const [first, twin] = [accept(), accept()];
    const refused = await assertRejects(() => twin.saved, PlasmError, "UNIQUE");
    assertEquals([refused.code, first.record.seq], ["state", 1]);
    await assertRejects(() => accept().saved, PlasmError, "UNIQUE");
    assertEquals(store.list().length, 1);
  }));

Deno.test("JobStore.accept() writes through when the buffer is full", () =>
  withStore((store) => {
    const accept = () =>
      store.accept(newJob(), { blobs: [], position: 0, durability: "buffered" }).record;
    const records = Array.from({ length: 300 }, accept);
    store.settle();
    // The 44 beyond 256 were written through, and so came first.
    assertEquals([records[256]!.seq, records[299]!.seq, records[0]!.seq], [1, 44, 45]);
    return Promise.resolve();
  }));

Deno.test("JobStore.sync() writes all buffered jobs", () =>
  withStore(async (store) => {
    const job = await late(store);
    await store.sync();
    assertEquals(job.seq, 1);
    await store.sync();
  }));
