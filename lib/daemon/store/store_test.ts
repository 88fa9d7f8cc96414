import { assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { PlasmError } from "../../core/errors/errors.ts";
import { DEFAULT_CEILINGS } from "../../sandbox/limits.ts";
import type { JobRecord, RecordedEvent } from "./job_table.ts";
import { MIGRATIONS, openDatabase } from "./database.ts";
import { applyRetention } from "./retention.ts";
import { lockStateDir } from "../state_dir.ts";
import { INLINE_OUTPUT_BYTES, JobStore } from "./store.ts";
import {
  accepted,
  end,
  HASH,
  newJob,
  RECEIPT,
  testStore,
} from "../../../tests/fixtures/job_stores.ts";
import { tempDir } from "../../../tests/fixtures/temp_dir.ts";

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

Deno.test("JobStore() restores a job's record and events when reopened", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
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
  assertEquals({
    state: job.state,
    status: job.status,
    exitCode: job.exitCode,
    attempts: job.attempts,
    startedAt: job.startedAt,
    finishedAt: job.finishedAt,
  }, {
    state: "finished",
    status: "exited",
    exitCode: 0,
    attempts: 1,
    startedAt: 1100,
    finishedAt: 1300,
  });
  assertEquals({
    stdoutBytes: job.stdoutBytes,
    stderrBytes: job.stderrBytes,
    receipt: job.receipt,
  }, { stdoutBytes: 3, stderrBytes: 1, receipt: RECEIPT });
  assertEquals({ ceilings: job.ceilings, idempotent: job.idempotent, priority: job.priority }, {
    ceilings: DEFAULT_CEILINGS,
    idempotent: true,
    priority: "high",
  });
  assertEquals(await text(store.readOutput(job, "stdout")), new Uint8Array([1, 2, 3]));
  assertEquals(await text(store.readOutput(job, "stdout", { offset: 2 })), new Uint8Array([3]));
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
});

Deno.test("JobStore.output() spills output when it exceeds the inline size and reads it back", async () => {
  await using fixture = await testStore();
  const { store, dir } = fixture;
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
});

Deno.test("JobStore.eventsAfter() returns separate events when output is in spill files", async () => {
  await using fixture = await testStore();
  const { store } = fixture;
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
});

Deno.test("JobStore.requeue() deletes the output but continues event ids when a job is re-run", async () => {
  await using fixture = await testStore();
  const { store } = fixture;
  const job = await accepted(store);
  await store.start(job, 1);
  await store.output(job, 1, [{ stream: "stdout", offset: 0, data: new Uint8Array(5) }]);
  await store.requeue(job, 2);
  const again = store.get(job.id)!;
  assertEquals({ state: again.state, stdoutBytes: again.stdoutBytes, attempts: again.attempts }, {
    state: "queued",
    stdoutBytes: 0,
    attempts: 1,
  });
  assertEquals((await allEvents(store, job)).map(({ id, type }) => [id, type]), [
    [1, "queued"],
    [2, "started"],
    [4, "interrupted"],
  ]);
  assertEquals(await store.start(job, 3), 2);
});

Deno.test("JobStore.list() filters and pages, newest first", async () => {
  await using fixture = await testStore();
  const { store } = fixture;
  for (const submitter of ["a", "b", "a", "b", "a"]) await accepted(store, { submitter });
  const first = store.list({ limit: 2 });
  assertEquals(first.map(({ seq }) => seq), [5, 4]);
  const before = first[1]!.id;
  assertEquals(store.list({ limit: 2, before }).map(({ seq }) => seq), [3, 2]);
  assertEquals(store.list({ submitter: "a", before }).map(({ seq }) => seq), [3, 1]);
  assertEquals(store.list({ before: "unknown" }), []);
  assertEquals(store.list({ submitter: "b" }).map(({ seq }) => seq), [4, 2]);
  await end(store, first[0]!, 1);
  assertEquals(store.list({ state: "finished", submitter: "a" }).map(({ seq }) => seq), [5]);
  assertEquals(store.unfinished().map(({ seq }) => seq), [1, 2, 3, 4]);
});

Deno.test("JobStore.accept() rolls back only the failed job when several are committed together", async () => {
  await using fixture = await testStore();
  const { store } = fixture;
  const twin = newJob();
  const results = await Promise.allSettled([
    ...Array.from({ length: 50 }, () => store.accept(newJob(), { blobs: [], position: 0 })),
    store.accept(twin, { blobs: [], position: 0 }),
    store.accept(twin, { blobs: [], position: 0 }),
  ]);
  assertEquals(results.filter(({ status }) => status === "rejected").length, 1);
  assertEquals(store.counts().queued, 51);
});

Deno.test("JobStore.output() reports a full disk and recovers when space is freed", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  using store = new JobStore(dir, { cacheBytes: 1e6 });
  const job = await accepted(store);
  const big = new Uint8Array(200_000);
  store.limitPages(1);
  const error = await assertRejects(
    () => store.output(job, 1, [{ stream: "stdout", offset: 0, data: big }]),
    PlasmError,
    "full",
  );
  assertEquals({
    errorCode: error.code,
    retryable: error.retryable,
    faultCode: store.fault?.code,
  }, { errorCode: "state", retryable: true, faultCode: "state" });
  assertStringIncludes(error.hint!, "Free some space");
  store.limitPages(1_000_000);
  await store.output(job, 1, [{ stream: "stdout", offset: 0, data: big }]);
  assertEquals(store.fault, undefined);
  assertEquals(store.get(job.id)!.stdoutBytes, big.length);
});

Deno.test("JobStore() fails when the schema is newer or the directory is missing", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
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
});

Deno.test("lockStateDir() fails when another process holds the lock", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  {
    using _lock = lockStateDir(dir);
    const error = assertThrows(() => lockStateDir(dir), PlasmError, "another daemon runs on it");
    assertEquals(error.code, "busy");
  }
  lockStateDir(dir)[Symbol.dispose]();
});

Deno.test("applyRetention() deletes by age and size, oldest first, unless a job runs", async () => {
  await using fixture = await testStore();
  const { store } = fixture;
  const jobs: JobRecord[] = [];
  for (let n = 0; n < 30; n++) jobs.push(await accepted(store));
  for (const [n, job] of jobs.slice(0, 25).entries()) await end(store, job, n * 1000);
  assertEquals(await applyRetention(store, { age_seconds: 10, bytes: 1e9 }, 20_000), 10);
  assertEquals(store.get(jobs[9]!.id), undefined);
  assertEquals(store.get(jobs[10]!.id)?.state, "finished");
  // The latest job is kept for a minute, however large it is.
  assertEquals(await applyRetention(store, { age_seconds: 100, bytes: 0 }, 83_999), 14);
  assertEquals(store.get(jobs[24]!.id)?.state, "finished");
  assertEquals(await applyRetention(store, { age_seconds: 100, bytes: 0 }, 84_000), 1);
  assertEquals(store.counts(), { queued: 5, running: 0, finished: 0, failed: 0, interrupted: 0 });
});

/** Finishes a job that used CPU time and wrote output. */
async function use(store: JobStore, submitter: string, cpuMs: number, at = 2000): Promise<void> {
  const job = await accepted(store, { submitter });
  await store.output(job, at, [{ stream: "stdout", offset: 0, data: new Uint8Array(10) }]);
  const receipt = { ...RECEIPT, run: { usage: { cpu_time_ms: cpuMs } } } as typeof RECEIPT;
  const end = {
    state: "finished",
    status: "exited",
    exitCode: 0,
    receipt,
    finishedAt: at,
  } as const;
  await store.finish(job, end, {
    type: "finished",
    at,
    outcome: { status: "exited", exitCode: 0 },
  });
}

Deno.test("JobStore.usage() sums the jobs of each submitter, also after they are deleted", async () => {
  await using test = await testStore();
  const { store } = test;
  await use(store, "local:a", 100);
  await use(store, "local:a", 50);
  await use(store, "peer:x", 200);
  await accepted(store, { submitter: "local:unfinished" });
  const expected = [
    { submitter: "peer:x", jobs: 1, cpuMs: 200, outputBytes: 10 },
    { submitter: "local:a", jobs: 2, cpuMs: 150, outputBytes: 20 },
  ];
  assertEquals(store.usage(100), expected);
  await store.delete(store.list().filter(({ state }) => state === "finished"));
  assertEquals(store.usage(100), expected);
  assertEquals(store.usage(1)[1]!.submitter, "other");
});

Deno.test("JobStore.trimUsage() sums all but the latest submitters", async () => {
  await using test = await testStore();
  const { store } = test;
  for (let n = 1; n <= 4; n++) await use(store, `peer:${n}`, n, 1000 * n);
  for (let n = 0; n < 2; n++) await store.trimUsage(2);
  assertEquals(store.usage(100), [
    { submitter: "peer:4", jobs: 1, cpuMs: 4, outputBytes: 10 },
    { submitter: "other", jobs: 2, cpuMs: 3, outputBytes: 20 },
    { submitter: "peer:3", jobs: 1, cpuMs: 3, outputBytes: 10 },
  ]);
});
