/**
 * Measures a small job through the daemon's socket: hello with its receipt, and its stages.
 * @module
 */
import { connectDaemon, type DaemonClient } from "../../lib/client/mod.ts";
import { sha256 } from "../../lib/core/hash.ts";
import { verifyReceipt } from "../../lib/core/verify_receipt.ts";
import { stages } from "./job_stages.ts";
import { childrenOf, startNodeProcess } from "./node_process.ts";
import { type BenchRow, type BenchSection, median, percentile } from "./row.ts";

/** Warm-up jobs, so that hot code is compiled before measuring. */
const WARM_UP = 1500;

/** Sequential jobs. */
const SINGLE = 1000;

/** Jobs for the throughput measurement. */
const MANY = 4000;

/** Concurrent jobs per client. */
const IN_FLIGHT = 16;

/** Sequential new submitters. */
const SUBMITTERS = 12;

/** Time for the pool to start an executor for the next submitter, in ms. */
const REFILL_MS = 1500;

const STDIN = new TextEncoder().encode("Hello, World");
const STDOUT = "dlroW ,olleH";

/** CPU time by process, in ms. */
async function cpuMs(pids: readonly number[]): Promise<number> {
  const files = pids.map((pid) => `/proc/${pid}/task/*/schedstat`).join(" ");
  const script = `cat ${files} | awk '{ sum += $1 } END { print sum / 1e6 }'`;
  const { stdout } = await new Deno.Command("sh", { args: ["-c", script] }).output();
  return Number(new TextDecoder().decode(stdout));
}

/** Runs hello, checks its output and returns its duration. */
async function timed(client: DaemonClient, hash: string, submitter?: string): Promise<number> {
  const begin = performance.now();
  const { stdout, receipt } = await client.run(hash, { stdin: STDIN, submitter });
  const elapsed = performance.now() - begin;
  if (new TextDecoder().decode(stdout) !== STDOUT) throw new Error("Unexpected output of hello");
  if (elapsed > 0 && Math.random() < 0.01) {
    await verifyReceipt(receipt, { module: hash, stdin: STDIN, stdout });
  }
  return elapsed;
}

async function inFlight(count: number, width: number, work: () => Promise<unknown>): Promise<void> {
  let left = count;
  await Promise.all(Array.from({ length: width }, async () => {
    while (left-- > 0) await work();
  }));
}

function ms(value: number): string {
  return `${value.toFixed(2)} ms`;
}

/** Section `jobs`. */
export const jobs: BenchSection = async function* ({ binary, signal }) {
  const dir = await Deno.makeTempDir({ prefix: "pl" });
  const module = await Deno.readFile(new URL("../../examples/hello/hello.wasm", import.meta.url));
  const hash = await sha256(module);
  try {
    await using node = await startNodeProcess({
      dir,
      binary,
      set: {
        "network.enabled": "false",
        "jobs.executor_sharing": "submitter",
        "jobs.warm_executors": "2",
      },
    });
    using client = connectDaemon({ socket: node.socket });
    await client.putModule(module);
    const one = (): Promise<number> => timed(client, hash);
    await inFlight(WARM_UP, IN_FLIGHT, one);
    yield* firstJobs(client, { hash, signal });

    const requests: number[] = [];
    for (let n = 0; n < SINGLE; n++) {
      const begin = performance.now();
      await client.ready();
      requests.push(performance.now() - begin);
    }
    const times: number[] = [];
    for (let n = 0; n < SINGLE && !signal.aborted; n++) times.push(await one());
    const against = `a request alone ${ms(median(requests))}`;
    yield { what: "hello and receipt, p50", measured: ms(median(times)), against, goal: "≤ 2 ms" };
    const p99 = percentile(times, 99);
    yield { what: "hello and receipt, p99", measured: ms(p99), goal: "≤ 10 ms" };

    const executors = await childrenOf(node.pid);
    const groups = { client: [Deno.pid], daemon: [node.pid], executors };
    const before = await Promise.all(Object.values(groups).map(cpuMs));
    const begin = performance.now();
    await inFlight(MANY, IN_FLIGHT, one);
    const seconds = (performance.now() - begin) / 1000;
    const after = await Promise.all(Object.values(groups).map(cpuMs));
    const spent = after.map((cpu, n) => (cpu - before[n]!) / MANY);
    const sum = spent.reduce((total, cpu) => total + cpu, 0);
    const cores = navigator.hardwareConcurrency;
    yield {
      what: `jobs a second, ${IN_FLIGHT} in flight`,
      measured: `${(MANY / seconds).toFixed(0)}/s`,
      against: `${cores} cores wholly busy with it ${(cores * 1000 / sum).toFixed(0)}/s`,
      goal: "≥ 500/s",
    };
    for (const [n, name] of Object.keys(groups).entries()) {
      yield { what: `  CPU a job: ${name}`, measured: ms(spent[n]!), against: `of ${ms(sum)}` };
    }
    yield* stages(module, { stdin: STDIN, dir, totalMs: median(times) });
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
};

/** Each job is a submitter's first and uses a warm executor that has not run a job. */
async function* firstJobs(
  client: DaemonClient,
  { hash, signal }: { hash: string; signal: AbortSignal },
): AsyncGenerator<BenchRow> {
  const times: number[] = [];
  for (let n = 0; n < SUBMITTERS && !signal.aborted; n++) {
    await new Promise((resolve) => setTimeout(resolve, REFILL_MS));
    times.push(await timed(client, hash, `new-${n}`));
  }
  yield { what: "a new submitter's first job, p50", measured: ms(median(times)), goal: "≤ 15 ms" };
}
