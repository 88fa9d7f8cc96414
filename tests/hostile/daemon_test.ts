/**
 * Runs all hostile jobs in a daemon that serves another submitter at the same time: each job has its result and its
 * receipt, scheduling stays fair, and no resource leaks.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { connectDaemon, type DaemonClient } from "../../lib/client/mod.ts";
import { createNonce } from "../../lib/core/ids.ts";
import { verifyReceipt } from "../../lib/core/verify_receipt.ts";
import { DaemonProcess } from "../fixtures/daemon/daemon_process.ts";
import { cpuNs, hasPs, type Observation, observe } from "../fixtures/daemon/process_list.ts";
import { tempDir } from "../fixtures/temp_dir.ts";
import { type HostileModule, importOf } from "../fixtures/hostile/case.ts";
import {
  assertResult,
  type HostileResult,
  manifestOf,
  rejection,
} from "../fixtures/hostile/results.ts";
import { HOSTILE_MODULES } from "../fixtures/hostile/modules.ts";
import { assemble } from "../fixtures/hostile/wat.ts";

/** Concurrent hostile jobs: more than the daemon runs at once. */
const AT_ONCE = 6;

const CONCURRENCY = 3;
const WARM = 1;

/** Executors cached for their submitters: the pool's bound for this concurrency. */
const MAX_KEPT = Math.max(CONCURRENCY, WARM + 1);

/**
 * Maximum number of hostile jobs that finish while one honest job waits and runs. Scheduling is fair, so it waits for
 * one slot, but rejected jobs and short ones finish quickly.
 */
const MOST_OVERTAKEN = 40;

/**
 * Maximum growth of the daemon's memory: what the engine and the allocator retain after 90 MB of modules. It does not
 * grow with the number of jobs: after one, two, three and four runs of the whole table it was 183, 239, 253 and 216
 * MiB, from 75.
 */
const GROWTH_KB = 224 * 1024;

/** Descriptors of one executor: three pipes, and the runtime's pidfd. */
const EXECUTOR_FDS = 5;

/** CPU time per idle second of the daemon and all executors. A spinning process uses ten times as much. */
const IDLE_CPU_NS = 100e6;

/** Time after the last job until the daemon is idle, in milliseconds. */
const IDLE_AFTER_MS = 100;

/** Writes 64 KiB repeatedly. */
const FLOOD = `(module ${importOf("fd_write")} (memory (export "memory") 2)
  (func (export "_start") (i32.store (i32.const 4) (i32.const 65536))
    (loop $again (drop (call $fd_write
      (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))) (br $again))))`;

const HELLO = new URL("../../examples/hello/hello.wasm", import.meta.url);

/** Cases that a daemon can run: its jobs have their whole input before they start. */
const TABLE = HOSTILE_MODULES.filter(({ stdin }) => stdin !== "open");

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Runs a well-behaved job and checks its result and receipt. */
async function runHonest(client: DaemonClient, module: Uint8Array, text: string): Promise<void> {
  const stdin = new TextEncoder().encode(text);
  const nonce = createNonce();
  const { id } = await client.submit(module, { submitter: "honest", stdin, nonce });
  const { job, stdout, receipt } = await client.result(id);
  assertEquals({ status: job.status, exitCode: job.exit_code }, { status: "exited", exitCode: 0 });
  assertEquals(new TextDecoder().decode(stdout), [...text].reverse().join(""));
  await verifyReceipt(receipt, { nonce, module, stdin, stdout, jobId: id });
}

/** Runs a job of the table; the expected result is read from the receipt. */
async function runHostile(client: DaemonClient, hostile: HostileModule): Promise<HostileResult> {
  const { stdin, inputs = [] } = hostile;
  const module = await hostile.bytes();
  const nonce = createNonce();
  try {
    const { id } = await client.submit(module, {
      submitter: "hostile",
      manifest: manifestOf(hostile),
      nonce,
      inputs: Object.fromEntries(inputs.map(({ path, data = new Uint8Array() }) => [path, data])),
      ...(stdin instanceof Uint8Array ? { stdin } : {}),
    });
    const { job, stdout, stderr, receipt } = await client.result(id);
    await verifyReceipt(receipt, { nonce, module, stdout, stderr, jobId: id });
    assertEquals({ status: job.status, exitCode: job.exit_code }, {
      status: receipt.claim.status,
      exitCode: receipt.claim.exit_code,
    });
    const { wall_time_ms, cpu_time_ms, memory_peak_bytes } = receipt.run.usage;
    return {
      status: receipt.claim.status,
      exitCode: receipt.claim.exit_code,
      message: job.message ?? "",
      stdout: new TextDecoder().decode(stdout),
      stderrBytes: receipt.claim.stderr.bytes,
      usage: {
        wallTimeMs: wall_time_ms,
        cpuTimeMs: cpu_time_ms,
        memoryPeakBytes: memory_peak_bytes,
      },
    };
  } catch (error) {
    return rejection(error);
  }
}

/**
 * Polls until no resource of finished jobs remains: executors and connections close shortly after, and the engine
 * returns memory once the process has been idle for some 15 seconds.
 */
async function settled(daemon: DaemonProcess, isSettled: (now: Observation) => boolean) {
  const until = Date.now() + 60_000;
  let now = await observe(daemon.pid);
  while (!isSettled(now) && Date.now() < until) now = await observe(daemon.pid);
  return now;
}

function names(path: string): string[] {
  return [...Deno.readDirSync(path)].map(({ name }) => name).sort();
}

Deno.test("a daemon serves one submitter while hostile jobs of another run, and leaks no resources", async () => {
  if (!await hasPs()) return;
  await using temp = await tempDir();
  const dir = temp.path;
  const set = {
    "jobs.concurrency": CONCURRENCY,
    "jobs.warm_executors": WARM,
    "jobs.executor_sharing": "submitter",
    "jobs.ceilings.fs_bytes": 16 * 2 ** 20,
  };
  await using daemon = await DaemonProcess.start({ dir, set });
  const hello = await Deno.readFile(HELLO);
  {
    using client = connectDaemon({ socket: daemon.socket });
    await runHonest(client, hello, "before");
  }
  const before = await settled(daemon, ({ children }) => children.length <= WARM + MAX_KEPT);
  const filesBefore = names(`${dir}/state`);

  const faults: string[] = [];
  let [ended, honest, overtaken] = [0, 0, 0];
  {
    using client = connectDaemon({ socket: daemon.socket });
    // Reads one event, then stalls until the end of the test.
    const flood = await client.submit(await assemble(FLOOD), {
      submitter: "hostile",
      manifest: { resources: { memory_mb: 64, timeout_seconds: 5 } },
    });
    const unread = client.events(flood.id)[Symbol.asyncIterator]();
    await unread.next();

    const left = TABLE.values();
    const hostile = Promise.all(Array.from({ length: AT_ONCE }, async () => {
      for (const one of left) {
        try {
          assertResult(one, await runHostile(client, one));
        } catch (error) {
          faults.push(String(error));
        }
        ended++;
      }
    }));
    const others = (async () => {
      while (ended < TABLE.length) {
        const endedBefore = ended;
        await runHonest(client, hello, `honest ${honest++}`);
        overtaken = Math.max(overtaken, ended - endedBefore);
      }
    })();
    await Promise.all([hostile, others]);
    const { receipt } = await client.result(flood.id);
    assert(["output", "timeout"].includes(receipt.claim.status), receipt.claim.status);
    await unread.return?.();
    await runHonest(client, hello, "after");
    assertEquals((await client.ready()).ready, true);
  }
  assertEquals(faults, []);
  assert(overtaken <= MOST_OVERTAKEN, `${overtaken} hostile jobs finished during one honest job`);

  // Executors that start or end while this looks have descriptors too. A leak of one a job would exceed this.
  const allowedFds = before.descriptors + EXECUTOR_FDS * (WARM + MAX_KEPT);
  const after = await settled(
    daemon,
    (now) =>
      now.children.length <= WARM + MAX_KEPT && now.descriptors <= allowedFds &&
      now.rssKb < before.rssKb + GROWTH_KB,
  );
  console.log(
    `${TABLE.length} hostile jobs and ${honest} others, at most ${overtaken} hostile during one; ` +
      `daemon: ${before.rssKb} KB, ${before.descriptors} descriptors before, ` +
      `${after.rssKb} KB, ${after.descriptors} after; executors ${after.children.length}`,
  );
  assert(after.children.length <= WARM + MAX_KEPT, `${after.children.length} executors`);
  assert(after.descriptors <= allowedFds, JSON.stringify([before, after]));
  assert(after.rssKb < before.rssKb + GROWTH_KB, `${before.rssKb} KB, then ${after.rssKb} KB`);
  assertEquals(names(`${dir}/state`), filesBefore);
  assertEquals(names(`${dir}/state/blobs`).filter((name) => !/^[0-9a-f]{64}$/.test(name)), []);

  await pause(IDLE_AFTER_MS);
  const processes = [daemon.pid, ...after.children];
  const used = await cpuNs(processes);
  await pause(1000);
  const idle = await cpuNs(processes) - used;
  assert(idle < IDLE_CPU_NS, `${idle} ns of CPU time in an idle second`);
});
