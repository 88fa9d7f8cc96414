/**
 * Tests of admission, runs and recovery without the API.
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
import type { JobRecord, RecordedEvent } from "../../../lib/daemon/store/job_table.ts";
import type { Executor } from "../../../lib/sandbox/host/executor.ts";
import { FakeSandbox } from "../../fixtures/daemon/fake_run.ts";
import { assemble } from "../../fixtures/hostile/wat.ts";
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

/** Stores a module; returns its hash. */
async function put(store: JobStore, bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const hash = await sha256(bytes);
  const source = new Blob([bytes]).stream();
  await store.blobs.put(source, { hash, maxBytes: bytes.length, what: "module" });
  return hash;
}

async function withJobs(
  test: (fixture: Fixture) => Promise<void>,
  options: { config?: ConfigEntries; executors?: ExecutorSource; cacheBytes?: number } = {},
): Promise<void> {
  const dir = await Deno.makeTempDir();
  const sandbox = new FakeSandbox();
  try {
    using store = new JobStore(dir, { cacheBytes: options.cacheBytes ?? 1e6 });
    await put(store, MODULE);
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

Deno.test("Jobs respects the concurrency limit and the memory budget", () =>
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

Deno.test("Jobs.submit() reports the requested and the allowed value when a limit is exceeded", () =>
  withJobs(async ({ submit }) => {
    const cases: [Record<string, unknown>, string, string][] = [
      [{ resources: { memory_mb: 2000 } }, "over-limit", "asked 2000 MB"],
      [
        { resources: { memory_mb: 900 } },
        "over-limit",
        "asked 900 MB, memory budget is 800",
      ],
      [{ resources: { timeout_seconds: 9999 } }, "over-limit", "asked 9999 s"],
      [
        { capabilities: ["wasi-0.2", "gpu"] },
        "policy",
        "needs gpu, node has wasi-preview1, wasi-0.2",
      ],
      [{ inputs: { a: `sha256:${"b".repeat(64)}` } }, "not-found", "bbbb"],
    ];
    for (const [fields, code, message] of cases) {
      const error = await assertRejects(() => submit(["echo"], fields), PlasmError, message);
      assertEquals(error.code, code);
    }
  }, { config: { "jobs.memory_budget_mb": 800 } }));

Deno.test("Jobs re-runs an idempotent job a limited number of times when its executor dies", () =>
  withJobs(async ({ submit, over, sandbox, types }) => {
    const once = await over(await submit(["crash"]));
    assertEquals({ state: once.state, code: once.error?.code, attempts: once.attempts }, {
      state: "failed",
      code: "executor",
      attempts: 1,
    });
    const often = await over(await submit(["crash"], { idempotent: true }));
    assertEquals({ state: often.state, code: often.error?.code, attempts: often.attempts }, {
      state: "failed",
      code: "executor",
      attempts: 3,
    });
    assertEquals(sandbox.started.length, 4);
    assertEquals((await types(often)).filter((type) => type === "interrupted").length, 2);
  }));

Deno.test("Jobs.waitForEnd() waits for the last run of a job whose executor dies", () =>
  withJobs(async ({ submit, jobs, store }) => {
    const { id } = await submit(["crash"], { idempotent: true });
    const { signal } = new AbortController();
    assert(await jobs.waitForEnd(id, { timeoutMs: 60_000, signal }));
    assertEquals(store.get(id)?.attempts, 3);
  }));

Deno.test("Jobs retries to persist a result when the disk is full", () =>
  withJobs(async ({ submit, over, sandbox, store, types }) => {
    const job = await submit(["block", "x"]);
    await sandbox.untilStarted(1);
    await store.sync();
    assertEquals(await types(job), ["queued", "started"]);
    // Free space within the pages is used up first.
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
    assertEquals({ state: over1.state, status: over1.status }, {
      state: "finished",
      status: "exited",
    });
    assert(over1.receipt !== null);
  }, { config: { "jobs.concurrency": 1 } }));

Deno.test("Jobs fails a job when its module was damaged on disk", () =>
  withJobs(async ({ submit, over, sandbox, store, dir }) => {
    const blocker = await submit(["block", "x"]);
    await sandbox.untilStarted(1);
    const hash = await put(store, Uint8Array.of(...MODULE, 0, 1, 0));
    const job = await submit(["echo"], { module_hash: hash });
    await Deno.writeFile(`${dir}/blobs/${hash.slice(7)}`, new Uint8Array(8));
    // These evict the module from memory.
    for (const fill of [1, 2]) {
      await store.blobs.read(await put(store, new Uint8Array(81 * 2 ** 20).fill(fill)), "input");
    }
    sandbox.release("x");
    await over(blocker);
    const { state, error } = await over(job);
    assertEquals({ state, code: error?.code }, { state: "failed", code: "state" });
    assertEquals(sandbox.started.length, 1);
  }, { config: { "jobs.concurrency": 1 }, cacheBytes: 200e6 }));

Deno.test("Jobs.submit() rejects a module that no node can run, and stores no job", () =>
  withJobs(async ({ submit, store, sandbox }) => {
    const refusal = async (bytes: Uint8Array, fields = {}): Promise<PlasmError> => {
      const module_hash = await put(store, Uint8Array.from(bytes));
      return await assertRejects(() => submit(["echo"], { ...fields, module_hash }), PlasmError);
    };
    const refused = {
      empty: new Uint8Array(),
      text: new TextEncoder().encode("print('hello')\n"),
      "no _start": MODULE.slice(0, 8),
      "a component": Uint8Array.of(0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0),
      "an unknown import": await assemble(
        '(module (import "env" "f" (func)) (memory (export "memory") 1) (func (export "_start")))',
      ),
    };
    for (const [what, bytes] of Object.entries(refused)) {
      assertEquals((await refusal(bytes)).code, "bad-module", what);
    }
    const large = await assemble(
      '(module (memory (export "memory") 100) (func (export "_start")))',
    );
    const resources = { memory_mb: 1 };
    assertEquals((await refusal(large, { resources })).code, "job-memory");
    assertEquals([store.list(), sandbox.started], [[], []]);
    // The limit is the job's: with more memory the same module is accepted.
    await submit(["echo"], { module_hash: await sha256(large) });
  }));

Deno.test("Jobs.recover() queues, re-runs or interrupts the jobs of an earlier process", () =>
  withJobs(async ({ submit, over, store, sandbox, jobs, types }) => {
    await submit(["block", "x"]);
    await sandbox.untilStarted(1);
    const waiting = await submit(["echo"]);
    const again = await submit(["echo"], { idempotent: true });
    const lost = await submit(["echo"]);
    const worn = await submit(["echo"], { idempotent: true });
    // As after SIGKILL: running in the store, but in no process.
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
      assertEquals({ state, code: error?.code }, { state: "interrupted", code: "interrupted" });
    }
    assertEquals((await types(lost)).at(-1), "interrupted");
    await successor.close({ graceMs: 0 });
  }, { config: { "jobs.concurrency": 1 } }));

Deno.test("Jobs shares executors within a submitter, or never when so configured", async () => {
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

Deno.test("Jobs.close() leaves queued jobs in the store and rejects new ones", () =>
  withJobs(async ({ submit, sandbox, jobs, store }) => {
    await submit(["block", "x"]);
    const waiting = await submit(["echo"]);
    await sandbox.untilStarted(1);
    const closed = jobs.close({ graceMs: 60_000 });
    const error = await assertRejects(() => submit(["echo"]), PlasmError, "the node is stopping");
    assertEquals({ code: error.code, retryable: error.retryable }, {
      code: "busy",
      retryable: true,
    });
    sandbox.release("x");
    await closed;
    assertEquals(store.get(waiting.id)?.state, "queued");
  }, { config: { "jobs.concurrency": 1 } }));

Deno.test("Jobs.waitForEnd() fails when a buffered job could not be stored", () =>
  withJobs(async ({ jobs, store, sandbox }) => {
    await store.blobs.read(MODULE_HASH, "module"); // the run reads it from memory
    const { id } = await jobs.submit({
      submitter: "local",
      manifest: createManifest({ module_hash: MODULE_HASH, args: ["block", "x"] }),
    }, { durability: "buffered" });
    store.blobs.discard(MODULE_HASH);
    const wait = { timeoutMs: 0, signal: new AbortController().signal };
    const error = await assertRejects(() => jobs.waitForEnd(id, wait), PlasmError, "is not stored");
    assertEquals(error.code, "not-found");
    await sandbox.untilStarted(1);
    const ended = jobs.ended(id);
    sandbox.release("x");
    await ended;
    assertEquals({ running: jobs.load.running, job: store.get(id) }, {
      running: 0,
      job: undefined,
    });
  }));

Deno.test("Jobs.submit() stores a buffered job after its end and rejects it when the disk is full", () =>
  withJobs(async ({ jobs, store, types }) => {
    const submission = {
      submitter: "local",
      manifest: createManifest({ module_hash: MODULE_HASH, args: ["echo"] }),
      stdin: new TextEncoder().encode("hi"),
    };
    const wait = { timeoutMs: 60_000, signal: new AbortController().signal };
    const { id } = await jobs.submit(submission, { durability: "buffered" });
    assertEquals(await jobs.waitForEnd(id, wait), true);
    const job = store.get(id)!;
    assertEquals({ state: job.state, stdin: job.stdin, stdoutBytes: job.stdoutBytes }, {
      state: "finished",
      stdin: null,
      stdoutBytes: 2,
    });
    assertEquals(await types(job), ["queued", "started", "stdout", "finished"]);
    assertEquals(store.list().map((listed) => listed.id), [id]);

    store.limitPages(1);
    // Too large for the free space within the pages.
    const args = ["echo", "z".repeat(30_000), "z".repeat(30_000)];
    const large = { ...submission, manifest: createManifest({ module_hash: MODULE_HASH, args }) };
    const told = await jobs.submit(large, { durability: "buffered" });
    assertEquals(await jobs.waitForEnd(told.id, wait), true);
    store.counts(); // writes buffered jobs
    assertEquals({ code: store.fault?.code, state: store.get(told.id)?.state }, {
      code: "state",
      state: "finished",
    });
    // From here on no job is acknowledged that is not on the disk.
    const error = await assertRejects(
      () => jobs.submit(large, { durability: "buffered" }),
      PlasmError,
    );
    assertEquals(error.code, "state");
    store.limitPages(1_000_000);
    assertEquals(store.list().map((listed) => listed.id), [told.id, id]);
    assertEquals(jobs.load.running, 0);
  }));
