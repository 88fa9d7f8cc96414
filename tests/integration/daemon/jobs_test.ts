/**
 * Admission, runs and recovery, without the API around them.
 * @module
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { getLog } from "../../../lib/core/log/log.ts";
import { ephemeralIdentity } from "../../../lib/core/identity.ts";
import { PlasmError } from "../../../lib/core/errors/errors.ts";
import { sha256 } from "../../../lib/core/hash.ts";
import { createManifest } from "../../../lib/core/manifest.ts";
import { Jobs } from "../../../lib/daemon/jobs/jobs.ts";
import type { ExecutorSource } from "../../../lib/daemon/jobs/job_runner.ts";
import { JobStore } from "../../../lib/daemon/store/store.ts";
import type { JobRecord, RecordedEvent } from "../../../lib/daemon/store/job_record.ts";
import type { Executor } from "../../../lib/sandbox/host/executor.ts";
import { FakeSandbox } from "../../fixtures/daemon/fake_run.ts";
import { MODULE, MODULE_HASH, testConfig } from "../../fixtures/daemon/harness.ts";
import type { ConfigEntries } from "../../../lib/config/mod.ts";

interface Fixture {
  store: JobStore;
  jobs: Jobs;
  sandbox: FakeSandbox;
  dir: string;
  submit: (args: string[], fields?: Record<string, unknown>) => Promise<JobRecord>;
  over: (job: JobRecord) => Promise<JobRecord>;
  types: (job: JobRecord) => Promise<RecordedEvent["type"][]>;
}

async function withJobs(
  test: (fixture: Fixture) => Promise<void>,
  options: { config?: ConfigEntries; executors?: ExecutorSource } = {},
): Promise<void> {
  const dir = await Deno.makeTempDir();
  const sandbox = new FakeSandbox();
  try {
    using store = new JobStore(dir, { cacheBytes: 1e6 });
    const source = new Blob([MODULE as Uint8Array<ArrayBuffer>]).stream();
    await store.blobs.put(source, { hash: MODULE_HASH, maxBytes: 100, what: "module" });
    const jobs = new Jobs({
      store,
      config: testConfig(dir, options.config),
      signer: await ephemeralIdentity(),
      run: sandbox.run,
      executors: options.executors,
      log: getLog("test"),
    });
    const events = async (job: JobRecord): Promise<RecordedEvent[]> => {
      const all: RecordedEvent[] = [];
      while (true) {
        const page = await store.eventsAfter(job, all.at(-1)?.id ?? 0);
        if (page.length === 0) return all;
        all.push(...page);
      }
    };
    await test({
      store,
      jobs,
      sandbox,
      dir,
      submit: (args, { submitter = "local", ...fields } = {}) =>
        jobs.submit({
          submitter: submitter as string,
          manifest: createManifest({ module_hash: MODULE_HASH, args, ...fields }),
        }),
      over: async (job) => {
        const { signal } = new AbortController();
        while (true) {
          const now = store.get(job.id)!;
          if (now.finishedAt !== null) return now;
          await store.changes.wait(job.id, { signal, timeoutMs: 60_000 });
        }
      },
      types: async (job) => (await events(job)).map(({ type }) => type),
    });
    await jobs.close({ graceMs: 0 });
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("Jobs keeps to concurrency and to the memory budget", () =>
  withJobs(async ({ submit, over, sandbox }) => {
    const resources = { memory_mb: 600 };
    const large = await Promise.all([1, 2, 3].map(() => submit(["echo"], { resources })));
    for (const job of large) assertEquals((await over(job)).state, "finished");
    assertEquals(sandbox.peak, 1);
    const small = await Promise.all([1, 2, 3, 4, 5].map(() => submit(["block", "x"])));
    await sandbox.untilStarted(6);
    sandbox.release("x");
    for (const job of small) assertEquals((await over(job)).state, "finished");
    assertEquals(sandbox.peak, 3);
  }, { config: { "jobs.memory_budget_mb": 1000, "jobs.concurrency": 3 } }));

Deno.test("Jobs.submit() says what was asked and what is allowed", () =>
  withJobs(async ({ submit }) => {
    const cases: [Record<string, unknown>, string, string][] = [
      [{ resources: { memory_mb: 2000 } }, "over-limit", "asked 2000 MB"],
      [
        { resources: { memory_mb: 900 } },
        "over-limit",
        "asked 900 MB, all jobs together may use 800",
      ],
      [{ resources: { timeout_seconds: 9999 } }, "over-limit", "asked 9999 s"],
      [{ capabilities: ["gpu"] }, "policy", "needs gpu, node has wasi-preview1"],
      [{ inputs: { a: `sha256:${"b".repeat(64)}` } }, "not-found", "bbbb"],
    ];
    for (const [fields, code, message] of cases) {
      const error = await assertRejects(() => submit(["echo"], fields), PlasmError, message);
      assertEquals(error.code, code);
    }
  }, { config: { "jobs.memory_budget_mb": 800 } }));

Deno.test("Jobs runs a job again whose executor died, if it may, and not for ever", () =>
  withJobs(async ({ submit, over, sandbox, types }) => {
    const once = await over(await submit(["crash"]));
    assertEquals([once.state, once.error?.code, once.attempts], ["failed", "executor", 1]);
    const often = await over(await submit(["crash"], { idempotent: true }));
    assertEquals([often.state, often.error?.code, often.attempts], ["failed", "executor", 3]);
    assertEquals(sandbox.started.length, 4);
    assertEquals((await types(often)).filter((type) => type === "interrupted").length, 2);
  }));

Deno.test("Jobs holds a result that the disk refuses, and saves it when there is room", () =>
  withJobs(async ({ submit, over, sandbox, store, types }) => {
    const job = await submit(["block", "x"]);
    await sandbox.untilStarted(1);
    await store.sync();
    assertEquals(await types(job), ["queued", "started"]);
    // What the database has free within its pages is taken first.
    store.limitPages(1);
    while (true) {
      try {
        await submit(["block", "y", "z".repeat(3000)]);
      } catch (error) {
        assertEquals((error as PlasmError).code, "state");
        break;
      }
    }
    sandbox.release("x");
    while (store.fault === undefined) await store.delete([]).catch(() => {});
    store.limitPages(1_000_000);
    const over1 = await over(job);
    assertEquals([over1.state, over1.status], ["finished", "exited"]);
    assert(over1.receipt !== null);
  }, { config: { "jobs.concurrency": 1 } }));

Deno.test("Jobs fails a job whose module was damaged on the disk", () =>
  withJobs(async ({ submit, over, sandbox, store, dir }) => {
    const blocker = await submit(["block", "x"]);
    await sandbox.untilStarted(1);
    // Another module than the one that has been read already.
    const module = new Uint8Array([...MODULE, 0, 1, 0]);
    const hash = await sha256(module);
    const source = new Blob([module]).stream();
    await store.blobs.put(source, { hash, maxBytes: 100, what: "module" });
    const job = await submit(["echo"], { module_hash: hash });
    await Deno.writeFile(`${dir}/blobs/${hash.slice(7)}`, new Uint8Array(8));
    sandbox.release("x");
    await over(blocker);
    const { state, error } = await over(job);
    assertEquals([state, error?.code], ["failed", "state"]);
    assertEquals(sandbox.started.length, 1);
  }, { config: { "jobs.concurrency": 1 } }));

Deno.test("Jobs.recover() queues, re-runs or interrupts the jobs of an earlier process", () =>
  withJobs(async ({ submit, over, store, sandbox, jobs, types }) => {
    await submit(["block", "x"]);
    await sandbox.untilStarted(1);
    const waiting = await submit(["echo"]);
    const again = await submit(["echo"], { idempotent: true });
    const lost = await submit(["echo"]);
    const worn = await submit(["echo"], { idempotent: true });
    // As after SIGKILL: the store says running, and no process runs them.
    for (const job of [again, lost]) await store.start(job, 1);
    for (let n = 0; n < 3; n++) await store.start(worn, 1);
    const config = testConfig("/nowhere");
    const successor = new Jobs({
      store,
      config,
      signer: await ephemeralIdentity(),
      run: sandbox.run,
      log: getLog("test"),
    });
    await jobs.close({ graceMs: 0 });
    assertEquals(await successor.recover(), { queued: 1, rerun: 1, interrupted: 2 });
    for (const job of [waiting, again]) assertEquals((await over(job)).state, "finished");
    for (const job of [lost, worn]) {
      const { state, error } = store.get(job.id)!;
      assertEquals([state, error?.code], ["interrupted", "interrupted"]);
    }
    assertEquals((await types(lost)).at(-1), "interrupted");
    await successor.close({ graceMs: 0 });
  }, { config: { "jobs.concurrency": 1 } }));

Deno.test("Jobs shares executors within a submitter, or not at all when told so", async () => {
  const tenants: (string | undefined)[] = [];
  const executors: ExecutorSource = {
    acquire: ({ tenant }) => {
      tenants.push(tenant);
      return Promise.resolve({} as Executor);
    },
    release: () => {},
  };
  const run = async ({ submit, over }: Fixture): Promise<void> => {
    for (const submitter of ["local:a", "peer:b"]) {
      await over(await submit(["echo"], { submitter }));
    }
  };
  await withJobs(run, { executors });
  await withJobs(run, { executors, config: { "jobs.executor_sharing": "never" } });
  assertEquals(tenants, ["local:a", "peer:b", undefined, undefined]);
});

Deno.test("Jobs.close() leaves waiting jobs in the store and takes no more", () =>
  withJobs(async ({ submit, sandbox, jobs, store }) => {
    await submit(["block", "x"]);
    const waiting = await submit(["echo"]);
    await sandbox.untilStarted(1);
    const closed = jobs.close({ graceMs: 60_000 });
    const error = await assertRejects(() => submit(["echo"]), PlasmError, "the node is stopping");
    assertEquals([error.code, error.retryable], ["busy", true]);
    sandbox.release("x");
    await closed;
    assertEquals(store.get(waiting.id)?.state, "queued");
  }, { config: { "jobs.concurrency": 1 } }));

Deno.test("Jobs.submit() that is not durable stores a job after its end, which nothing loses that was told", () =>
  withJobs(async ({ jobs, store, types }) => {
    const submission = {
      submitter: "local",
      manifest: createManifest({ module_hash: MODULE_HASH, args: ["echo"] }),
      stdin: new TextEncoder().encode("hi"),
    };
    const wait = { timeoutMs: 60_000, signal: new AbortController().signal };
    const { id } = await jobs.submit(submission, { durability: "buffered" });
    assertEquals(await jobs.untilOver(id, wait), true);
    const job = store.get(id)!;
    assertEquals([job.state, job.stdin, job.stdoutBytes], ["finished", null, 2]);
    assertEquals(await types(job), ["queued", "started", "stdout", "finished"]);
    assertEquals(store.list().map((listed) => listed.id), [id]);

    store.limitPages(1);
    const large = { ...submission, stdin: new Uint8Array(16 * 1024) };
    const told = await jobs.submit(large, { durability: "buffered" });
    assertEquals(await jobs.untilOver(told.id, wait), true);
    store.settle();
    assertEquals([store.fault?.code, store.get(told.id)?.state], ["state", "finished"]);
    // From here on no job is acknowledged that is not on the disk.
    const lost = await jobs.submit(large, { durability: "buffered" });
    const error = await assertRejects(() => jobs.untilOver(lost.id, wait), PlasmError);
    assertEquals([error.code, store.get(lost.id)], ["state", undefined]);
    store.limitPages(1_000_000);
    store.settle();
    assertEquals(store.list().map((listed) => listed.id), [told.id, id]);
    assertEquals(jobs.load.running, 0);
  }));
