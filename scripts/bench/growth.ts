/**
 * Measures how the cost of each operation grows with the number of jobs in the store, jobs in the queue, events,
 * output bytes, known peers, providers of a key, routing table entries and connections. The last column is the ratio
 * between the largest size and the second smallest, because the smallest includes warm-up.
 *
 * @module
 */
import { JobQueue } from "../../lib/daemon/jobs/queue.ts";
import { openDatabase, transaction } from "../../lib/daemon/store/database.ts";
import { EventTable } from "../../lib/daemon/store/job_history.ts";
import { JobTable } from "../../lib/daemon/store/job_table.ts";
import { type JobRecord, newRecord } from "../../lib/daemon/store/job_table.ts";
import { applyRetention } from "../../lib/daemon/store/retention.ts";
import { JobStore } from "../../lib/daemon/store/store.ts";
import { newJob } from "../../tests/fixtures/job_stores.ts";
import { tempDir } from "../../tests/fixtures/temp_dir.ts";
import { PEER_COUNTS, peerCurves, PROVIDER_COUNTS, providerCurves } from "./peer_growth.ts";
import { type BenchRow, type BenchSection, type BenchSectionOptions, median } from "./row.ts";
import { CONNECTED_COUNTS, connectionCurves, OFFERED_COUNTS, tableCurves } from "./table_growth.ts";

const STORE_SIZES = [10, 1000, 100_000, 1_000_000];
const QUEUE_SIZES = [10, 1000, 100_000];
const EVENT_COUNTS = [10, 1000, 100_000];
const OUTPUT_MIB = [1, 16, 256];

/** Repetitions per size; the median counts. */
const SAMPLES = 200;

/** Cost of each operation in µs, by size. */
type Curves = Map<string, number[]>;

/** Section `growth`. */
export const growth: BenchSection = async function* (options) {
  yield* rows("jobs in the store", STORE_SIZES, await storeCurves(options));
  yield* rows("jobs in the queue", QUEUE_SIZES, queueCurves(options));
  yield* rows("events of a job", EVENT_COUNTS, await eventCurves(options));
  yield* rows("MiB of output", OUTPUT_MIB, await outputCurves(options));
  for (
    const [what, sizes, measure] of [
      ["peers known", PEER_COUNTS, peerCurves],
      ["providers of one key", PROVIDER_COUNTS, providerCurves],
      ["peers offered to the routing table", OFFERED_COUNTS, tableCurves],
      ["peers connected", CONNECTED_COUNTS, connectionCurves],
    ] as const
  ) {
    const curves: Curves = new Map();
    await measure(options, { note: (step, micros) => note(curves, step, micros), sample });
    yield* rows(what, sizes, curves);
  }
};

function* rows(what: string, sizes: readonly number[], curves: Curves): Iterable<BenchRow> {
  for (const [step, costs] of curves) {
    yield {
      what: `${step}`,
      measured: costs.map((cost) => cost < 10 ? cost.toFixed(1) : cost.toFixed(0)).join(" → ") +
        " µs",
      against: `${sizes.map((size) => size.toLocaleString("en")).join(" → ")} ${what}`,
      ratio: costs.at(-1)! / costs[1]!,
    };
  }
}

function note(curves: Curves, step: string, micros: number): void {
  const costs = curves.get(step) ?? [];
  curves.set(step, [...costs, micros]);
}

/** Median cost of an operation in µs. */
async function sample(work: (n: number) => unknown, samples = SAMPLES): Promise<number> {
  const times: number[] = [];
  for (let n = 0; n < samples; n++) {
    const start = performance.now();
    const result = work(n);
    if (result instanceof Promise) await result;
    times.push((performance.now() - start) * 1000);
  }
  return median(times);
}

/** Inserts finished jobs with events in large transactions; not timed. */
function fill(dir: string, from: number, to: number, signal: AbortSignal): void {
  const db = openDatabase(`${dir}/jobs.db`);
  db.exec("PRAGMA synchronous = OFF");
  const [jobs, events] = [new JobTable(db), new EventTable(db)];
  for (let at = from; at < to; at += 10_000) {
    signal.throwIfAborted();
    transaction(db, () => {
      for (let n = at; n < Math.min(at + 10_000, to); n++) {
        const job = newJob({ createdAt: n });
        const seq = jobs.insert(newRecord(job));
        events.append(seq, { type: "queued", at: n, jobId: job.id, position: 0 });
        events.append(seq, { type: "started", at: n, attempt: 1 });
        events.append(seq, {
          type: "stdout",
          at: n,
          offset: 0,
          data: new TextEncoder().encode("dlroW ,olleH"),
        });
        jobs.finish(seq, { state: "finished", status: "exited", exitCode: 0, finishedAt: n });
        events.append(seq, {
          type: "finished",
          at: n,
          outcome: { status: "exited", exitCode: 0 },
        });
      }
    });
  }
  db.close();
}

async function storeCurves({ signal }: BenchSectionOptions): Promise<Curves> {
  const curves: Curves = new Map();
  {
    await using temp = await tempDir();
    const dir = temp.path;
    let filled = 0;
    for (const size of STORE_SIZES) {
      fill(dir, filled, size, signal);
      filled = size;
      // The filler leaves no clean-shutdown mark, so that the first open checks every page.
      let opening = performance.now();
      new JobStore(dir, { cacheBytes: 1e9 })[Symbol.dispose]();
      note(curves, "open the store after a crash", (performance.now() - opening) * 1000);
      opening = performance.now();
      using store = new JobStore(dir, { cacheBytes: 1e9 });
      note(curves, "open the store", (performance.now() - opening) * 1000);
      const jobs: JobRecord[] = [];
      const lifeOf = async (n: number): Promise<void> => {
        const job = newJob({ createdAt: size + n });
        await store.accept(job, { blobs: [], position: 0 });
        const record = store.get(job.id)!;
        await store.start(record, size + n);
        await store.finish(
          record,
          { state: "finished", status: "exited", exitCode: 0, finishedAt: size + n },
          { type: "finished", at: size + n, outcome: { status: "exited", exitCode: 0 } },
        );
        jobs.push(record);
      };
      note(curves, "accept, start and finish a job", await sample(lifeOf));
      note(curves, "read a job", await sample((n) => store.get(jobs[n]!.id)));
      note(curves, "its events", await sample((n) => store.eventsAfter(jobs[n]!, 0)));
      note(curves, "newest 100 jobs", await sample(() => store.list()));
      note(curves, "counts and bytes", await sample(() => [store.counts(), store.endedBytes()]));
      const keep = { age_seconds: 1e9, bytes: Number.MAX_SAFE_INTEGER };
      note(curves, "retention, nothing to do", await sample(() => applyRetention(store, keep)));
      const remove = async (n: number): Promise<void> => await store.delete([jobs[n]!]);
      note(curves, "delete a job", await sample(remove));
      await store.delete(jobs);
    }
  }
  return curves;
}

/** Average cost of enqueue, position query, start and release over many jobs. */
function queueCurves({ signal }: BenchSectionOptions): Curves {
  const curves: Curves = new Map();
  for (const size of QUEUE_SIZES) {
    for (const [step, submitters] of [["one submitter", 1], ["one each", size]] as const) {
      signal.throwIfAborted();
      const queue = new JobQueue({ concurrency: 1, memoryMb: 1000 });
      const start = performance.now();
      // A short queue is traversed repeatedly; a single pass would measure the clock.
      const rounds = Math.ceil(1000 / size);
      for (let round = 0; round < rounds; round++) {
        for (let n = 0; n < size; n++) {
          const priority = (["low", "normal", "high"] as const)[n % 3]!;
          const ticket = {
            id: `${n}`,
            submitter: `${n % submitters}`,
            priority,
            memoryMb: 1,
            createdAt: n,
          };
          queue.push(ticket);
          queue.position(ticket);
        }
        for (let next = queue.next(); next !== undefined; next = queue.next()) queue.release(next);
      }
      note(
        curves,
        `a job's way through it, ${step}`,
        (performance.now() - start) * 1000 / size / rounds,
      );
    }
  }
  return curves;
}

async function eventCurves({ signal }: BenchSectionOptions): Promise<Curves> {
  const curves: Curves = new Map();
  // Small enough to stay in the database; files are covered by the output curves.
  const data = new Uint8Array(2);
  for (const count of EVENT_COUNTS) {
    signal.throwIfAborted();
    await using temp = await tempDir();
    const dir = temp.path;
    using store = new JobStore(dir, { cacheBytes: 1e9 });
    const job = newJob();
    await store.accept(job, { blobs: [], position: 0 });
    const record = store.get(job.id)!;
    const start = performance.now();
    for (let n = 0; n < count;) {
      const chunks = Array.from({ length: Math.min(100, count - n) }, (_, i) => ({
        stream: "stdout" as const,
        offset: (n + i) * data.length,
        data,
      }));
      await store.output(record, n, chunks);
      n += chunks.length;
    }
    note(curves, "write one, in hundreds", (performance.now() - start) * 1000 / count);
    const reading = performance.now();
    for (let last = 0;;) {
      const events = await store.eventsAfter(record, last);
      if (events.length === 0) break;
      last = events.at(-1)!.id;
    }
    note(curves, "read one, in order", (performance.now() - reading) * 1000 / count);
  }
  return curves;
}

async function outputCurves({ signal }: BenchSectionOptions): Promise<Curves> {
  const curves: Curves = new Map();
  const data = crypto.getRandomValues(new Uint8Array(64 * 1024));
  for (const mib of OUTPUT_MIB) {
    await using temp = await tempDir();
    const dir = temp.path;
    using store = new JobStore(dir, { cacheBytes: 1e9 });
    const job = newJob();
    await store.accept(job, { blobs: [], position: 0 });
    const record = store.get(job.id)!;
    const start = performance.now();
    for (let offset = 0; offset < mib * 2 ** 20; offset += data.length) {
      signal.throwIfAborted();
      await store.output(record, 0, [{ stream: "stdout", offset, data }]);
    }
    note(curves, "save a MiB", (performance.now() - start) * 1000 / mib);
    const reading = performance.now();
    let bytes = 0;
    for await (const part of store.readOutput(record, "stdout")) bytes += part.length;
    if (bytes !== mib * 2 ** 20) throw new Error(`Read ${bytes} bytes of ${mib} MiB`);
    note(curves, "read a MiB", (performance.now() - reading) * 1000 / mib);
  }
  return curves;
}
