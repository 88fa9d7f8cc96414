/**
 * Measures a job on which two of three nodes agree against the same job on one node. Each node is a separate process.
 *
 * @module
 */
import { ephemeralIdentity } from "../../lib/core/identity.ts";
import { sha256 } from "../../lib/core/hash.ts";
import { createManifest } from "../../lib/core/manifest.ts";
import { createNetwork, type PlasmNetwork } from "../../lib/p2p/network.ts";
import { quorumError, runQuorum } from "../../lib/quorum/run_quorum.ts";
import { bytesSource, type RemoteJob } from "../../lib/remote/client/remote_job.ts";
import { jobDialer } from "../../lib/remote/libp2p/stream_pool.ts";
import { runOnPeers } from "../../lib/remote/client/run_on_peers.ts";
import { BenchNode } from "./remote_node.ts";
import { command } from "../../tests/fixtures/hostile/case.ts";
import { assemble } from "../../tests/fixtures/hostile/wat.ts";
import { type BenchRow, type BenchSection, median, percentile } from "./row.ts";

/** Measured and warm-up jobs of each kind, in turn, so that both meet the same load and clock speed. */
const JOBS = 100;
const WARM_UP = 100;
const IN_TURN = 10;

/** Pause after each job, so that cancelled runs do not load the next measurement, in milliseconds. */
const REST_MS = 10;

const NODES = 3;
const AGREE = 2;

const STDIN = new TextEncoder().encode("Hello, World");

/** A job that waits for 100 ms: the nodes of this bench share the processor, those of a network do not. */
const WAITS = command(
  `(i32.store (i32.const 48) (i32.const 1))
   (i64.store (i32.const 56) (i64.const 100000000))
   (drop (call $poll_oneoff (i32.const 32) (i32.const 96) (i32.const 1) (i32.const 16)))`,
  { uses: ["poll_oneoff"] },
);

/** Section `quorum`. */
export const quorum: BenchSection = async function* ({ signal }) {
  await using stack = new AsyncDisposableStack();
  const nodes: BenchNode[] = [];
  for (let n = 0; n < NODES; n++) nodes.push(stack.use(await BenchNode.start()));
  const client = await createNetwork({ identity: await ephemeralIdentity(), mode: "client" });
  stack.defer(() => client.stop());
  for (const node of nodes) await client.queryPeer(node.address("tcp"));
  const peers = nodes.map(({ peerId }) => peerId);
  const hello = await Deno.readFile(new URL("../../examples/hello/hello.wasm", import.meta.url));
  const jobs = { hello, "a wait of 100 ms": await assemble(WAITS) };
  for (const [what, module] of Object.entries(jobs)) {
    const job = {
      manifest: createManifest({ module_hash: await sha256(module) }),
      module: await bytesSource(module),
      stdin: await bytesSource(STDIN),
      inputs: [],
    };
    yield await compare(what, job, { client, peers, signal });
  }
};

/** Runs a job on one node and on several in turn, and compares the times. */
async function compare(
  what: string,
  job: RemoteJob,
  { client, peers, signal }: { client: PlasmNetwork; peers: string[]; signal: AbortSignal },
): Promise<BenchRow> {
  const dial = jobDialer(client);
  const one = async (turn: number): Promise<() => Promise<void>> => {
    const { output } = await runOnPeers(job, {
      dial,
      candidates: [{ peerId: peers[turn % NODES]! }],
      attempts: 1,
      isSole: true,
      signal,
    });
    output[Symbol.dispose]();
    return () => Promise.resolve();
  };
  // The end of the third node's run is not part of the job's time.
  const several = async (): Promise<() => Promise<void>> => {
    const outcome = await runQuorum(job, {
      dial,
      agree: AGREE,
      nodes: NODES,
      sameNetwork: true,
      candidates: () => peers.map((peerId) => ({ peerId, networks: [] })),
      signal,
    });
    outcome[Symbol.dispose]();
    const error = quorumError(outcome);
    if (error !== undefined) throw error;
    return () => outcome.settled;
  };
  const [single, agreed]: [number[], number[]] = [[], []];
  for (let turn = 0; turn < WARM_UP + JOBS; turn += IN_TURN) {
    for (const [times, run] of [[single, one], [agreed, several]] as const) {
      for (let n = 0; n < IN_TURN; n++) {
        signal.throwIfAborted();
        const start = performance.now();
        const settled = await run(turn + n);
        if (turn >= WARM_UP) times.push(performance.now() - start);
        await settled();
        await rest();
      }
    }
  }
  return {
    what: `${what}, ${AGREE} of ${NODES} nodes agree, p50`,
    measured: ms(median(agreed)),
    against: `p99 ${ms(percentile(agreed, 99))}; one node p50 ${ms(median(single))}, ` +
      `p99 ${ms(percentile(single, 99))}`,
    ratio: median(agreed) / median(single),
    goal: "≤ 1.3",
  };
}

function rest(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, REST_MS));
}

function ms(value: number): string {
  return `${value.toFixed(2)} ms`;
}
