/**
 * Runs many jobs and connections on one daemon and samples memory, descriptors and processes of the daemon and its
 * executors; plots them to soak.svg. V8 defers collection of old objects, so an executor grows over about its first
 * 20,000 jobs. The second half counts.
 *
 * @module
 */
import { multiaddr } from "@multiformats/multiaddr";
import { connectDaemon, type DaemonClient } from "../../lib/client/mod.ts";
import { startPeer } from "./footprint.ts";
import { childrenOf, figuresOf, type NodeProcess, startNodeProcess } from "./node_process.ts";
import { type Line, plot } from "./plot.ts";
import { type BenchRow, type BenchSection, type BenchSectionOptions, median } from "./row.ts";

const JOBS = Number(Deno.env.get("PLASM_SOAK_JOBS") ?? 100_000);
const CONNECTIONS = JOBS / 10;
const SAMPLES = 100;

/** Concurrent clients. */
const CLIENTS = 8;

/** Connections per peer before it is replaced. */
const CONNECTIONS_PER_PEER = 50;

/** Timeout for the last connections to close and idle executors to exit, in ms. */
const SETTLE_MS = 120_000;

/** Polling interval for it, in ms. */
const LOOK_MS = 1000;

interface Sample {
  jobs: number;
  /** Resident memory in MiB. */
  daemon: number;
  /** JavaScript heap in MiB; the rest is code, buffers and memory retained by the allocator. */
  heap: number;
  /** Private memory of all executors in MiB. */
  executors: number;
  processes: number;
  fds: number;
}

/** Section `soak`. */
export const soak: BenchSection = async function* (options) {
  const dir = await Deno.makeTempDir({ prefix: "pl" });
  try {
    await using node = await startNodeProcess({
      dir,
      binary: options.binary,
      set: {
        "network.enabled": "true",
        "network.listen": "/ip4/127.0.0.1/tcp/0",
        "network.mdns": "false",
        "network.limits.inbound_per_second": "10000",
        "jobs.executor_sharing": "submitter",
      },
    });
    yield* run(node, options);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
};

async function* run(
  node: NodeProcess,
  { signal }: BenchSectionOptions,
): AsyncGenerator<BenchRow, void, void> {
  const begin = performance.now();
  const samples: Sample[] = [];
  const { fds: idle } = await figuresOf(node.pid);
  for (let n = 0; n < SAMPLES; n++) {
    signal.throwIfAborted();
    await Promise.all([
      runJobs(node.socket, JOBS / SAMPLES, signal),
      connectOften(node, CONNECTIONS / SAMPLES, signal),
    ]);
    samples.push(await sample(node, (n + 1) * JOBS / SAMPLES));
  }
  const seconds = (performance.now() - begin) / 1000;
  yield {
    what: `${JOBS} jobs, ${CONNECTIONS} connections to socket and network`,
    measured: `${seconds.toFixed(0)} s`,
  };
  for (
    const [what, key, unit] of [
      ["resident memory, daemon", "daemon", " MiB"],
      ["heap, daemon", "heap", " MiB"],
      ["memory of the executors", "executors", " MiB"],
      ["descriptors of the daemon", "fds", ""],
      ["child processes", "processes", ""],
    ] as const
  ) {
    const [early, half, late] = [0.1, 0.5, 0.95].map((share) => median(part(samples, share, key)));
    yield {
      what,
      measured: `${late!.toFixed(0)}${unit}`,
      against: `${early!.toFixed(0)} after a tenth, ${half!.toFixed(0)} after a half; ` +
        `second half ${slope(samples, key).toFixed(2)}${unit} per 1,000 jobs`,
      ratio: late! / half!,
    };
  }
  const left = await settled(node, idle, signal);
  yield {
    what: "descriptors after all disconnected",
    measured: `${left}`,
    against: `${idle} before`,
    ratio: left / idle,
  };
  const line = (name: string, key: keyof Sample): Line => ({
    name,
    points: samples.map((sample) => [sample.jobs, sample[key]]),
  });
  const file = new URL("soak.svg", import.meta.url);
  await Deno.writeTextFile(
    file,
    plot([
      line("daemon, MiB", "daemon"),
      line("heap, MiB", "heap"),
      line("executors, MiB", "executors"),
      line("descriptors", "fds"),
    ], {
      title: `${JOBS} jobs and ${CONNECTIONS} connections`,
      x: "jobs",
    }),
  );
}

/** Waits until descriptors return to the idle number or the timeout expires; returns the number. */
async function settled({ pid }: NodeProcess, idle: number, signal: AbortSignal): Promise<number> {
  const until = performance.now() + SETTLE_MS;
  let { fds } = await figuresOf(pid);
  while (fds > idle && performance.now() < until) {
    signal.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    ({ fds } = await figuresOf(pid));
  }
  return fds;
}

/** Returns the samples around a fraction of the run. */
function part(samples: Sample[], share: number, key: keyof Sample): number[] {
  const at = Math.floor(samples.length * share);
  return samples.slice(at - samples.length / 20, at + samples.length / 20).map((each) => each[key]);
}

/** Growth per 1,000 jobs in the second half, by least squares, which is robust to single samples. */
function slope(samples: Sample[], key: keyof Sample): number {
  const late = samples.slice(samples.length / 2);
  const middle = (of: keyof Sample): number =>
    late.reduce((sum, each) => sum + each[of], 0) / late.length;
  const [x, y] = [middle("jobs"), middle(key)];
  const along = late.reduce((sum, each) => sum + (each.jobs - x) * (each[key] - y), 0);
  return 1000 * along / late.reduce((sum, each) => sum + (each.jobs - x) ** 2, 0);
}

async function runJobs(socket: string, count: number, signal: AbortSignal): Promise<void> {
  const module = await Deno.readFile(new URL("../../examples/hello/hello.wasm", import.meta.url));
  using client = connectDaemon({ socket });
  const hash = await client.putModule(module);
  let left = count;
  await Promise.all(Array.from({ length: CLIENTS }, async (_, n) => {
    const stdin = new TextEncoder().encode(`Hello, ${n}`);
    for (; left > 0 && !signal.aborted;) {
      left--;
      await runJob(client, hash, stdin);
    }
  }));
}

async function runJob(client: DaemonClient, hash: string, stdin: Uint8Array): Promise<void> {
  const { job, receipt, stdout } = await client.run(hash, { stdin });
  if (receipt.claim.status !== "exited" || stdout.length !== stdin.length) {
    throw new Error(`Job ${job.id} failed: ${receipt.claim.status}`);
  }
}

/** Connects and disconnects clients of the API socket and peers of the network. */
async function connectOften(
  { socket, addresses }: NodeProcess,
  count: number,
  signal: AbortSignal,
): Promise<void> {
  for (let left = count; left > 0;) {
    const { libp2p } = await startPeer(addresses[0]!);
    for (let n = 0; n < CONNECTIONS_PER_PEER && left > 0; n++, left--) {
      signal.throwIfAborted();
      using client = connectDaemon({ socket });
      await client.ready();
      await libp2p.hangUp(multiaddr(addresses[0]!));
      if (n + 1 < CONNECTIONS_PER_PEER) await libp2p.dial(multiaddr(addresses[0]!));
    }
    await libp2p.stop();
  }
}

async function sample({ pid, socket }: NodeProcess, jobs: number): Promise<Sample> {
  const { rss, fds } = await figuresOf(pid);
  using client = connectDaemon({ socket });
  const heap = /^plasm_heap_bytes (\S+)$/m.exec(await client.metrics())?.[1];
  let [executors, processes] = [0, 0];
  for (const child of await childrenOf(pid)) {
    const { own } = await figuresOf(child);
    // Skip processes that exited meanwhile.
    if (Number.isNaN(own)) continue;
    executors += own;
    processes++;
  }
  return { jobs, daemon: rss, heap: Number(heap) / 2 ** 20, executors, processes, fds };
}
