/**
 * Measures a job on another node against the same job on the local daemon, and its transfer against raw bytes over
 * the same libp2p connection. Node and client run in separate processes.
 *
 * @module
 */
import { connectDaemon, type DaemonClient } from "../../lib/client/mod.ts";
import { ephemeralIdentity } from "../../lib/core/identity.ts";
import { Hasher, sha256 } from "../../lib/core/hash.ts";
import { createManifest } from "../../lib/core/manifest.ts";
import { verifyReceipt } from "../../lib/core/verify_receipt.ts";
import { createNetwork, type PlasmNetwork } from "../../lib/p2p/network.ts";
import {
  type BlobSource,
  bytesSource,
  type RemoteJob,
} from "../../lib/remote/client/remote_job.ts";
import { byteStreamOf } from "../../lib/remote/libp2p/network_binding.ts";
import { jobDialer } from "../../lib/remote/libp2p/stream_pool.ts";
import { runOnPeers } from "../../lib/remote/client/run_on_peers.ts";
import { BenchNode, SINK_PROTOCOL, type TransportName } from "./remote_node.ts";
import { type BenchRow, type BenchSection, median, percentile } from "./row.ts";

const TRANSPORTS: readonly TransportName[] = ["tcp", "quic"];

/**
 * Measured and warm-up jobs of each kind; warm-up compiles hot code in both processes. Local and remote jobs are
 * interleaved to meet the same load and clock speed.
 */
const JOBS = 300;
const WARM_UP = 500;
const IN_TURN = 20;

/**
 * Interleaved pairs of a module and an equal number of raw bytes; the first two warm up. The machine's speed changes
 * within seconds, so the ratio within a pair is more reliable than a ratio of medians, and needs many pairs.
 */
const PAIRS = 15;
const PAIR_WARM_UP = 2;

/** Idle time before a transfer, so that the previous job has been cleaned up. */
const REST_MS = 500;
const TRANSFER_BYTES = 64 * 2 ** 20;
const LARGE_BYTES = 256 * 2 ** 20;

/** Memory sampling interval. */
const WATCH_MS = 50;

/** Write size for raw bytes: a job's chunk size. */
const PIECE_BYTES = 128 * 1024;

const STDIN = new TextEncoder().encode("Hello, World");

/** Section `remote`. */
export const remote: BenchSection = async function* ({ signal }) {
  const hello = await Deno.readFile(new URL("../../examples/hello/hello.wasm", import.meta.url));
  await using node = await BenchNode.start();
  using daemon = connectDaemon({ socket: node.socket });
  const local = await localJob(daemon, hello, signal);
  for (const transport of TRANSPORTS) {
    const client = await join();
    try {
      await client.queryPeer(node.address(transport));
      yield* latency({ client, node, hello, transport, local, signal });
    } finally {
      await client.stop();
    }
  }
  for (const transport of TRANSPORTS) yield* transfer({ node, hello, transport, signal });
};

interface Context {
  node: BenchNode;
  hello: Uint8Array;
  transport: TransportName;
  signal: AbortSignal;
}

async function join(): Promise<PlasmNetwork> {
  return await createNetwork({ identity: await ephemeralIdentity(), mode: "client" });
}

/** Runs a job through the daemon's socket, including verification. */
async function localJob(
  client: DaemonClient,
  module: Uint8Array,
  signal: AbortSignal,
): Promise<() => Promise<void>> {
  const { public_key: key } = await client.node({ signal });
  const hash = await client.putModule(module, { signal });
  return async () => {
    const { receipt, stdout, stderr } = await client.run(hash, { stdin: STDIN, signal });
    await verifyReceipt(receipt, { key, module: hash, stdin: STDIN, stdout, stderr });
  };
}

async function* latency(
  { client, node, hello, transport, local, signal }: Context & {
    client: PlasmNetwork;
    local: () => Promise<void>;
  },
): AsyncGenerator<BenchRow> {
  const job: RemoteJob = {
    manifest: createManifest({ module_hash: await sha256(hello) }),
    module: await bytesSource(hello),
    stdin: await bytesSource(STDIN),
    inputs: [],
  };
  const phases = new Map<string, number[]>();
  const remote = async (): Promise<void> => {
    let [last, since] = ["start", performance.now()];
    const next = (phase: string): void => {
      const now = performance.now();
      phases.set(last, [...phases.get(last) ?? [], now - since]);
      [last, since] = [phase, now];
    };
    const { output } = await runOnPeers(job, {
      dial: jobDialer(client),
      candidates: [{ peerId: node.peerId }],
      attempts: 1,
      signal,
      onEvent: ({ type }) => next(type),
    });
    next("end");
    output[Symbol.dispose]();
  };
  const [own, whole] = await timesInTurn([local, remote], signal) as [number[], number[]];
  yield {
    what: `remote hello, ${transport}, p50`,
    measured: ms(median(whole)),
    against: `p99 ${p99(whole)}; local p50 ${ms(median(own))}, p99 ${p99(own)}`,
    ratio: median(whole) / median(own),
    goal: "≤ 2",
  };
  for (const [phase, values] of phases) {
    yield { what: `  from ${phase}`, measured: ms(median(values.slice(WARM_UP))) };
  }
}

/** Transfers module bytes and raw bytes alternately, then one module larger than any buffer. */
async function* transfer({ node, hello, transport, signal }: Context): AsyncGenerator<BenchRow> {
  const client = await join();
  try {
    const address = node.address(transport);
    await client.queryPeer(address);
    // The sink is a separate peer in the node's process: the daemon serves only jobs.
    (await client.dialProtocol(node.sinkAddress(transport), SINK_PROTOCOL)).abort(
      new Error("Warm"),
    );
    const [plain, module]: [number[], number[]] = [[], []];
    for (let n = 0; n < PAIRS; n++) {
      const large = await largeModule(hello, TRANSFER_BYTES);
      const kinds = [
        async () => plain.push(await sendPlain(client, node.sinkPeerId, TRANSFER_BYTES)),
        async () => module.push(await sendModule({ client, node, module: large, signal })),
      ];
      // Alternate which kind goes first.
      for (const send of n % 2 === 0 ? kinds : kinds.toReversed()) {
        signal.throwIfAborted();
        await rest();
        await send();
      }
    }
    const [plainTimes, moduleTimes] = [plain, module].map((all) => all.slice(PAIR_WARM_UP)) as [
      number[],
      number[],
    ];
    const ratios = plainTimes.map((seconds, n) => seconds / moduleTimes[n]!);
    const [low, high] = [25, 75].map((percent) => percentile(ratios, percent).toFixed(2));
    const rate = (times: readonly number[]): string =>
      `${(TRANSFER_BYTES / median(times) / 1e6).toFixed(0)} MB/s`;
    yield {
      what: `module of 64 MiB, ${transport}`,
      measured: rate(moduleTimes),
      against: `plain stream ${rate(plainTimes)}, both on Deno ${Deno.version.deno}; ` +
        `median ratio of ${ratios.length} pairs, half of them ${low} to ${high}`,
      ratio: median(ratios),
      goal: "≥ 0.8",
    };
    const before = { client: rss(), node: await node.rss() };
    const large = await largeModule(hello, LARGE_BYTES);
    const peaks = { client: 0, node: 0 };
    const watching = watchMemory(node, peaks);
    const onQueued = watching.stop;
    const seconds = await sendModule({ client, node, module: large, signal, onQueued })
      .finally(watching.stop);
    yield {
      what: `module of 256 MiB, ${transport}`,
      measured: `${(LARGE_BYTES / seconds / 1e6).toFixed(0)} MB/s`,
      against: `MiB before → peak: client ${mib(before.client)} → ${mib(peaks.client)}, ` +
        `node ${mib(before.node)} → ${mib(peaks.node)}`,
    };
  } finally {
    await client.stop();
  }
}

/** Sends bytes to a handler that discards them and acknowledges the last one. */
async function sendPlain(client: PlasmNetwork, peerId: string, bytes: number): Promise<number> {
  const duplex = byteStreamOf(await client.dialProtocol(peerId, SINK_PROTOCOL));
  const piece = new Uint8Array(PIECE_BYTES);
  const start = performance.now();
  for (let sent = 0; sent < bytes; sent += piece.length) await duplex.write(piece);
  await duplex.close();
  await duplex.read();
  return (performance.now() - start) / 1000;
}

/** Samples the memory of both processes. Sampling costs them time, so it is not used while timing. */
function watchMemory(
  node: BenchNode,
  peaks: { client: number; node: number },
): { stop(): Promise<void> } {
  const stopping = new AbortController();
  const watch = (async () => {
    while (!stopping.signal.aborted) {
      peaks.client = Math.max(peaks.client, rss());
      peaks.node = Math.max(peaks.node, await node.rss());
      await new Promise((resolve) => setTimeout(resolve, WATCH_MS));
    }
  })();
  return {
    async stop() {
      stopping.abort();
      await watch;
    },
  };
}

/** Sends a module in a job; returns the seconds from acceptance to the queue, when the node has stored all of it. */
async function sendModule(
  { client, node, module, signal, onQueued = () => {} }: {
    client: PlasmNetwork;
    node: BenchNode;
    module: BlobSource;
    signal: AbortSignal;
    /** Called when the node has the whole module; what follows is the job. @default {none} */
    onQueued?: () => void;
  },
): Promise<number> {
  let [accepted, queued] = [0, 0];
  const { output } = await runOnPeers({
    manifest: createManifest({ module_hash: module.hash }),
    module,
    stdin: await bytesSource(new Uint8Array()),
    inputs: [],
  }, {
    dial: jobDialer(client),
    candidates: [{ peerId: node.peerId }],
    attempts: 1,
    signal,
    onEvent: (event) => {
      const { type } = event;
      if (type === "queued" && event.position === undefined) accepted = performance.now();
      else if ((type === "queued" || type === "started") && queued === 0) {
        queued = performance.now();
        onQueued();
      }
    },
  });
  output[Symbol.dispose]();
  return (queued - accepted) / 1000;
}

/**
 * Generates a module on the fly: the example plus a custom section that ends in random bytes, so that no node has it
 * cached.
 */
async function largeModule(hello: Uint8Array, bytes: number): Promise<BlobSource> {
  const rest = bytes + 1;
  const header = new Uint8Array(hello.length + 7);
  header.set(hello);
  for (let at = 0; at < 5; at++) {
    header[hello.length + 1 + at] = ((rest >>> (7 * at)) & 0x7f) | (at < 4 ? 0x80 : 0);
  }
  const tail = crypto.getRandomValues(new Uint8Array(16));
  const size = header.length + bytes;
  const zeros = new Uint8Array(PIECE_BYTES);
  const read = (offset: number, length: number): Uint8Array => {
    const count = Math.min(length, size - offset);
    // Buffered in memory, so that generation is not timed.
    if (offset >= header.length && offset + count <= size - tail.length) {
      return zeros.subarray(0, count);
    }
    const piece = new Uint8Array(count);
    for (const [part, from] of [[header, 0], [tail, size - tail.length]] as const) {
      for (let at = 0; at < part.length; at++) {
        const to = from + at - offset;
        if (to >= 0 && to < piece.length) piece[to] = part[at]!;
      }
    }
    return piece;
  };
  const hasher = new Hasher();
  for (let at = 0; at < size; at += PIECE_BYTES) await hasher.update(read(at, PIECE_BYTES));
  return { hash: await hasher.digest(), size, read };
}

function rest(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, REST_MS));
}

/** Runs each function alternately; times in milliseconds, warm-up excluded. */
async function timesInTurn(
  works: readonly (() => Promise<void>)[],
  signal: AbortSignal,
): Promise<number[][]> {
  const found: number[][] = works.map(() => []);
  for (let turn = 0; turn < WARM_UP + JOBS; turn += IN_TURN) {
    for (const [at, work] of works.entries()) {
      for (let n = 0; n < IN_TURN; n++) {
        signal.throwIfAborted();
        const start = performance.now();
        await work();
        if (turn >= WARM_UP) found[at]!.push(performance.now() - start);
      }
    }
  }
  return found;
}

function ms(value: number): string {
  return `${value.toFixed(2)} ms`;
}

function p99(values: readonly number[]): string {
  return ms(percentile(values, 99));
}

function rss(): number {
  return Deno.memoryUsage().rss;
}

function mib(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(0);
}
