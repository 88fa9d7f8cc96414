import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { PlasmError } from "../../errors.ts";
import { sha256 } from "../../job/hash.ts";
import { createJobId, createNonce } from "../../job/job_id.ts";
import { createManifest } from "../../job/manifest.ts";
import type { Receipt } from "../../job/types.ts";
import { DEFAULT_CEILINGS } from "../../sandbox/limits.ts";
import type { JobEvent, JobRecord, NewJob } from "../types.ts";
import { openDatabase } from "./database.ts";
import { MIGRATIONS } from "./migrations.ts";
import { applyRetention } from "./retention.ts";
import { lockStateDir } from "./state_lock.ts";
import { INLINE_OUTPUT_BYTES, JobStore } from "./store.ts";

const HASH = `sha256:${"0".repeat(64)}`;

// The store keeps it, it does not look into it.
const RECEIPT = { version: "0.1", nonce: "x" } as Receipt;

function newJob(fields: Partial<NewJob> = {}): NewJob {
  return {
    id: createJobId(),
    submitter: "local",
    manifest: createManifest({ module_hash: HASH }),
    manifestHash: HASH,
    nonce: createNonce(),
    moduleHash: HASH,
    stdinHash: null,
    priority: "normal",
    idempotent: false,
    ceilings: DEFAULT_CEILINGS,
    createdAt: 1000,
    ...fields,
  };
}

async function inDir(test: (dir: string) => Promise<void> | void): Promise<void> {
  const dir = await Deno.makeTempDir();
  try {
    await test(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

function withStore(
  test: (store: JobStore, dir: string) => Promise<void>,
  options = { cacheBytes: 1e6 },
): Promise<void> {
  return inDir(async (dir) => {
    using store = new JobStore(dir, options);
    await test(store, dir);
  });
}

async function accepted(store: JobStore, fields: Partial<NewJob> = {}): Promise<JobRecord> {
  const job = newJob(fields);
  await store.accept(job, { blobs: [], position: 0 }).saved;
  return store.get(job.id)!;
}

async function end(store: JobStore, job: JobRecord, finishedAt: number): Promise<void> {
  await store.finish(
    job,
    { state: "finished", status: "exited", exitCode: 0, receipt: RECEIPT, finishedAt },
    { type: "finished", at: finishedAt, status: "exited", exitCode: 0, message: null },
  );
}

async function text(parts: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const part of parts) chunks.push(part);
  return new Uint8Array(await new Blob(chunks as Uint8Array<ArrayBuffer>[]).arrayBuffer());
}

function stream(data: Uint8Array): ReadableStream<Uint8Array> {
  return new Blob([data as Uint8Array<ArrayBuffer>]).stream();
}

async function allEvents(store: JobStore, job: JobRecord, after = 0): Promise<JobEvent[]> {
  const events: JobEvent[] = [];
  for (let id = after;;) {
    const page = await store.eventsAfter(job, id);
    if (page.length === 0) return events;
    events.push(...page);
    id = page.at(-1)!.id;
  }
}

Deno.test("JobStore keeps a job's life over a restart", () =>
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

Deno.test("JobStore.output() spills what is over the inline size and reads it back whole", () =>
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

Deno.test("JobStore.requeue() forgets the output of the attempt, not the events' ids", () =>
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

Deno.test("JobStore.list() pages, the newest first, and filters", () =>
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

Deno.test("JobStore.accept() saves many at once and undoes only the one that fails", () =>
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

Deno.test("JobStore says clearly that the disk is full, and goes on when it is not", () =>
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

Deno.test("JobStore refuses a store of a newer version, and a directory that is not there", () =>
  inDir((dir) => {
    const db = openDatabase(`${dir}/jobs.db`);
    db.exec(`PRAGMA user_version = ${MIGRATIONS.length + 1}`);
    db.close();
    assertThrows(
      () => new JobStore(dir, { cacheBytes: 1 }),
      PlasmError,
      "this version of plasm knows",
    );
    const missing = assertThrows(() => new JobStore(`${dir}/none`, { cacheBytes: 1 }), PlasmError);
    assertEquals(missing.code, "state");
  }));

Deno.test("lockStateDir() lets one in at a time", () =>
  inDir((dir) => {
    {
      using _lock = lockStateDir(dir);
      const error = assertThrows(() => lockStateDir(dir), PlasmError, "another daemon runs on it");
      assertEquals(error.code, "busy");
    }
    lockStateDir(dir)[Symbol.dispose]();
  }));

Deno.test("applyRetention() deletes by age and by bytes, the oldest first, never what runs", () =>
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

Deno.test("BlobStore.put() keeps only what hashes to what was said", () =>
  withStore(async (store, dir) => {
    const data = new Uint8Array(300_000).fill(7);
    const hash = await sha256(data);
    const options = { hash, maxBytes: 300_000, what: "module" };
    assertEquals(await store.blobs.put(stream(data), options), { hash, size: 300_000 });
    assertEquals(await store.blobs.read(hash, "module"), data);
    const other = await assertRejects(
      () => store.blobs.put(stream(data.subarray(1)), options),
      PlasmError,
      hash,
    );
    assertEquals(other.code, "bad-input");
    const large = await assertRejects(
      () => store.blobs.put(stream(data), { ...options, maxBytes: 299_999 }),
      PlasmError,
      "299999 are allowed",
    );
    assertEquals(large.code, "too-large");
    assertEquals([...Deno.readDirSync(`${dir}/blobs`)].length, 1);
    await assertRejects(() => store.blobs.read(HASH, "module"), PlasmError, "Cannot read module");
  }));

Deno.test("BlobStore.put() receives no more at once than it may hold", () =>
  withStore(async (store, dir) => {
    const [first, second] = [new Uint8Array(600), new Uint8Array(500).fill(1)];
    const held = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    async function* slow(): AsyncGenerator<Uint8Array> {
      yield first.subarray(0, 550);
      begun.resolve();
      await held.promise;
      yield first.subarray(550);
    }
    const options = { maxBytes: 1000, what: "module" };
    const firstHash = await sha256(first);
    const secondHash = await sha256(second);
    const receiving = store.blobs.put(slow(), { ...options, hash: firstHash });
    await begun.promise;
    const error = await assertRejects(
      () => store.blobs.put(stream(second), { ...options, hash: secondHash }),
      PlasmError,
      "550 bytes are being received, 1000 are allowed at once",
    );
    assertEquals([error.code, error.retryable], ["queue-full", true]);
    held.resolve();
    await receiving;
    // What has been received is evicted for it.
    await store.blobs.put(stream(second), { ...options, hash: secondHash });
    assertEquals([...Deno.readDirSync(`${dir}/blobs`)].map(({ name }) => name), [
      secondHash.slice(7),
    ]);
    const large = await assertRejects(
      () =>
        store.blobs.put(stream(new Uint8Array(1001)), {
          ...options,
          hash: firstHash,
          maxBytes: 1e6,
        }),
      PlasmError,
      "the cache holds no more",
    );
    assertEquals(large.code, "too-large");
  }, { cacheBytes: 1000 }));

Deno.test("BlobStore.read() finds damage and lets go of the blob", () =>
  withStore(async (store, dir) => {
    const data = new Uint8Array(100);
    const hash = await sha256(data);
    await store.blobs.put(stream(data), { hash, maxBytes: 1000, what: "module" });
    await Deno.writeFile(`${dir}/blobs/${hash.slice(7)}`, new Uint8Array(100).fill(1));
    const error = await assertRejects(
      () => store.blobs.read(hash, "module"),
      PlasmError,
      "damaged",
    );
    assertEquals(error.code, "state");
    assertEquals(store.blobs.info(hash), undefined);
  }));

Deno.test("BlobStore.put() evicts the least recently used, never what a waiting job needs", () =>
  withStore(async (store) => {
    const put = async (fill: number): Promise<string> => {
      const data = new Uint8Array(400).fill(fill);
      const hash = await sha256(data);
      await store.blobs.put(stream(data), { hash, maxBytes: 1000, what: "module" });
      return hash;
    };
    const [one, two] = [await put(1), await put(2)];
    const job = newJob({ createdAt: Date.now() + 1000 });
    await store.accept(job, { blobs: [one], position: 0 }).saved;
    const three = await put(3);
    assertEquals(
      [one, two, three].map((hash) => store.blobs.info(hash) !== undefined),
      [true, false, true],
    );
    await store.accept(newJob(), { blobs: [three], position: 0 }).saved;
    const error = await assertRejects(
      () => put(4),
      PlasmError,
      "400 bytes asked, 200 of 1000 free",
    );
    assertEquals([error.code, error.retryable], ["queue-full", true]);
    await end(store, store.get(job.id)!, 5);
    await put(4);
    assertEquals(store.blobs.info(one), undefined);
    assert(store.blobs.stats.bytes <= 1000);
  }, { cacheBytes: 1000 }));

Deno.test("BlobStore makes table and directory agree after a crash", () =>
  inDir(async (dir) => {
    const data = new Uint8Array(10);
    const hash = await sha256(data);
    {
      using store = new JobStore(dir, { cacheBytes: 1e6 });
      await store.blobs.put(stream(data), { hash, maxBytes: 1000, what: "module" });
    }
    await Deno.rename(`${dir}/blobs/${hash.slice(7)}`, `${dir}/blobs/${"a".repeat(64)}`);
    await Deno.writeTextFile(`${dir}/blobs/half.tmp`, "x");
    using store = new JobStore(dir, { cacheBytes: 1e6 });
    assertEquals(store.blobs.info(hash), undefined);
    assertEquals(store.blobs.info(`sha256:${"a".repeat(64)}`)?.size, 10);
    assertEquals([...Deno.readDirSync(`${dir}/blobs`)].length, 1);
  }));
