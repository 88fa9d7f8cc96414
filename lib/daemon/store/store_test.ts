import { assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { PlasmError } from "../../core/errors/errors.ts";
import { DEFAULT_CEILINGS } from "../../sandbox/limits.ts";
import type { JobRecord, RecordedEvent } from "./job_record.ts";
import { MIGRATIONS, openDatabase } from "./database.ts";
import { applyRetention } from "./retention.ts";
import { lockStateDir } from "../state_dir.ts";
import { INLINE_OUTPUT_BYTES, JobStore } from "./store.ts";
import {
  accepted,
  end,
  HASH,
  inDir,
  newJob,
  RECEIPT,
  withStore,
} from "../../../tests/fixtures/job_stores.ts";

async function text(parts: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const part of parts) chunks.push(part);
  return new Uint8Array(await new Blob(chunks as Uint8Array<ArrayBuffer>[]).arrayBuffer());
}

async function allEvents(store: JobStore, job: JobRecord, after = 0): Promise<RecordedEvent[]> {
  const events: RecordedEvent[] = [];
  for (let id = after;;) {
    const page = await store.eventsAfter(job, id);
    if (page.length === 0) return events;
    events.push(...page);
    id = page.at(-1)!.id;
  }
}

Deno.test("JobStore() restores a job's record and events when reopened", () =>
  inDir(async (dir) => {
    const { id } = newJob();
    {
      using store = new JobStore(dir, { cacheBytes: 1e6 });
      const job = await accepted(store, {
        id,
        stdinHash: HASH,
        priority: "high",
        idempotent: true,
      });
      assertEquals(await store.start(job, 1100), 1);
      await store.output(job, 1200, [
        { stream: "stdout", offset: 0, data: new Uint8Array([1, 2, 3]) },
        { stream: "stderr", offset: 0, data: new Uint8Array([9]) },
      ]);
      await end(store, job, 1300);
    }
    using store = new JobStore(dir, { cacheBytes: 1e6 });
    const job = store.get(id)!;
    assertEquals(
      [job.state, job.status, job.exitCode, job.attempts, job.startedAt, job.finishedAt],
      ["finished", "exited", 0, 1, 1100, 1300],
    );
    assertEquals([job.stdoutBytes, job.stderrBytes, job.receipt], [3, 1, RECEIPT]);
    assertEquals([job.ceilings, job.idempotent, job.priority], [DEFAULT_CEILINGS, true, "high"]);
    assertEquals(await text(store.readOutput(job, "stdout")), new Uint8Array([1, 2, 3]));
    assertEquals(await text(store.readOutput(job, "stdout", 2)), new Uint8Array([3]));
    const events = await allEvents(store, job);
    assertEquals(events.map(({ id, type }) => [id, type]), [
      [1, "queued"],
      [2, "started"],
      [3, "stdout"],
      [4, "stderr"],
      [5, "finished"],
    ]);
    assertEquals((await allEvents(store, job, 3)).map(({ id }) => id), [4, 5]);
    assertEquals(store.counts().finished, 1);
  }));

Deno.test("JobStore.output() spills output when it exceeds the inline size and reads it back", () =>
  withStore(async (store, dir) => {
    const job = await accepted(store);
    const data = new Uint8Array(INLINE_OUTPUT_BYTES * 2 + 777).map((_, n) => n * 31);
    const step = 50_000;
    for (let offset = 0; offset < data.length; offset += step) {
      const part = data.subarray(offset, offset + step);
      await store.output(job, 1, [{ stream: "stdout", offset, data: part }]);
    }
    assertEquals([...Deno.readDirSync(`${dir}/outputs`)].map(({ name }) => name), [
      `${job.id}.stdout`,
    ]);
    assertEquals(await text(store.readOutput(store.get(job.id)!, "stdout")), data);
    const inEvents = (await allEvents(store, job)).flatMap((event) =>
      event.type === "stdout" ? [event.data] : []
    );
    assertEquals(
      new Uint8Array(await new Blob(inEvents as Uint8Array<ArrayBuffer>[]).arrayBuffer()),
      data,
    );
    await store.delete([job]);
    assertEquals([...Deno.readDirSync(`${dir}/outputs`)], []);
  }));

Deno.test("JobStore.eventsAfter() returns separate events when output is in spill files", () =>
  withStore(async (store) => {
    const job = await accepted(store);
    const start = INLINE_OUTPUT_BYTES;
    const chunk = (stream: "stdout" | "stderr", offset: number, text: string) => ({
      stream,
      offset,
      data: new TextEncoder().encode(text),
    });
    await store.output(job, 1, [
      chunk("stdout", start, "one"),
      chunk("stdout", start + 3, "two"),
      // Contiguous by offset, but of another stream.
      chunk("stderr", start + 6, "three"),
      chunk("stdout", start + 6, "four"),
      chunk("stderr", 0, "five"),
    ]);
    const decoder = new TextDecoder();
    assertEquals(
      (await allEvents(store, job, 1)).map((event) =>
        "data" in event ? { ...event, data: decoder.decode(event.data) } : event
      ),
      [
        { id: 2, at: 1, type: "stdout", offset: start, data: "one" },
        { id: 3, at: 1, type: "stdout", offset: start + 3, data: "two" },
        { id: 4, at: 1, type: "stderr", offset: start + 6, data: "three" },
        { id: 5, at: 1, type: "stdout", offset: start + 6, data: "four" },
        { id: 6, at: 1, type: "stderr", offset: 0, data: "five" },
      ],
    );
  }));

Deno.test("JobStore.requeue() deletes the output but continues event ids when a job is re-run", () =>
  withStore(async (store) => {
    const job = await accepted(store);
    await store.start(job, 1);
    await store.output(job, 1, [{ stream: "stdout", offset: 0, data: new Uint8Array(5) }]);
    await store.requeue(job, 2);
    const again = store.get(job.id)!;
    assertEquals([again.state, again.stdoutBytes, again.attempts], ["queued", 0, 1]);
    assertEquals((await allEvents(store, job)).map(({ id, type }) => [id, type]), [
      [1, "queued"],
      [2, "started"],
      [4, "interrupted"],
    ]);
    assertEquals(await store.start(job, 3), 2);
  }));

Deno.test("JobStore.list() filters and pages, newest first", () =>
  withStore(async (store) => {
    for (const submitter of ["a", "b", "a", "b", "a"]) await accepted(store, { submitter });
    const first = store.list({ limit: 2 });
    assertEquals(first.map(({ seq }) => seq), [5, 4]);
    assertEquals(store.list({ limit: 2, before: 4 }).map(({ seq }) => seq), [3, 2]);
    assertEquals(store.list({ submitter: "b" }).map(({ seq }) => seq), [4, 2]);
    await end(store, first[0]!, 1);
    assertEquals(store.list({ state: "finished", submitter: "a" }).map(({ seq }) => seq), [5]);
    assertEquals(store.unfinished().map(({ seq }) => seq), [1, 2, 3, 4]);
  }));

Deno.test("JobStore.accept() rolls back only the failed job when several are committed together", () =>
  withStore(async (store) => {
    const twin = newJob();
    const results = await Promise.allSettled([
      ...Array.from({ length: 50 }, () => store.accept(newJob(), { blobs: [], position: 0 }).saved),
      store.accept(twin, { blobs: [], position: 0 }).saved,
      store.accept(twin, { blobs: [], position: 0 }).saved,
    ]);
    assertEquals(results.filter(({ status }) => status === "rejected").length, 1);
    assertEquals(store.counts().queued, 51);
  }));

Deno.test("JobStore.output() reports a full disk and recovers when space is freed", () =>
  inDir(async (dir) => {
    using store = new JobStore(dir, { cacheBytes: 1e6 });
    const job = await accepted(store);
    const big = new Uint8Array(200_000);
    store.limitPages(1);
    const error = await assertRejects(
      () => store.output(job, 1, [{ stream: "stdout", offset: 0, data: big }]),
      PlasmError,
      "full",
    );
    assertEquals([error.code, error.retryable, store.fault?.code], ["state", true, "state"]);
    assertStringIncludes(error.hint!, "Free some space");
    store.limitPages(1_000_000);
    await store.output(job, 1, [{ stream: "stdout", offset: 0, data: big }]);
    assertEquals(store.fault, undefined);
    assertEquals(store.get(job.id)!.stdoutBytes, big.length);
  }));

Deno.test("JobStore() fails when the schema is newer or the directory is missing", () =>
  inDir((dir) => {
    const db = openDatabase(`${dir}/jobs.db`);
    db.exec(`PRAGMA user_version = ${MIGRATIONS.length + 1}`);
    db.close();
    assertThrows(
      () => new JobStore(dir, { cacheBytes: 1 }),
      PlasmError,
      "is newer than this version",
    );
    const missing = assertThrows(() => new JobStore(`${dir}/none`, { cacheBytes: 1 }), PlasmError);
    assertEquals(missing.code, "state");
  }));

Deno.test("lockStateDir() fails when another process holds the lock", () =>
  inDir((dir) => {
    {
      using _lock = lockStateDir(dir);
      const error = assertThrows(() => lockStateDir(dir), PlasmError, "another daemon runs on it");
      assertEquals(error.code, "busy");
    }
    lockStateDir(dir)[Symbol.dispose]();
  }));

Deno.test("applyRetention() deletes by age and size, oldest first, unless a job runs", () =>
  withStore(async (store) => {
    const jobs: JobRecord[] = [];
    for (let n = 0; n < 30; n++) jobs.push(await accepted(store));
    for (const [n, job] of jobs.slice(0, 25).entries()) await end(store, job, n * 1000);
    assertEquals(await applyRetention(store, { age_seconds: 10, bytes: 1e9 }, 20_000), 10);
    assertEquals(store.get(jobs[9]!.id), undefined);
    assertEquals(store.get(jobs[10]!.id)?.state, "finished");
    assertEquals(await applyRetention(store, { age_seconds: 10, bytes: 0 }, 20_000), 15);
    assertEquals(store.counts(), { queued: 5, running: 0, finished: 0, failed: 0, interrupted: 0 });
  }));
