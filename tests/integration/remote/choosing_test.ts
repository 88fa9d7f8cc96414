import { assert, assertEquals, assertGreaterOrEqual, assertLessOrEqual } from "@std/assert";
import { PlasmError } from "../../../lib/core/errors/errors.ts";
import { CAPABILITY_PROTOCOL, serveCapability } from "../../../lib/p2p/discovery/capability.ts";
import type { PlasmNetwork } from "../../../lib/p2p/network.ts";
import type { AttemptReport } from "../../../lib/remote/client/remote_job.ts";
import { runOnPeers } from "../../../lib/remote/client/run_on_peers.ts";
import { byteStreamOf, findCandidates } from "../../../lib/remote/libp2p/network_binding.ts";
import { jobDialer } from "../../../lib/remote/libp2p/stream_pool.ts";
import { JobServer } from "../../../lib/remote/server/serve.ts";
import { type ByteStream, JOB_PROTOCOL } from "../../../lib/remote/wire/mod.ts";
import { localRuntime } from "../../../lib/sandbox/receipt_fields.ts";
import { FIELDS } from "../../fixtures/p2p/identities.ts";
import { addressOf, LIBP2P, Recorder, TestNet } from "../../fixtures/p2p/nodes.ts";
import { withValue } from "../../fixtures/receipt_mutations.ts";
import { FakeHost } from "../../fixtures/remote/fake_host.ts";
import { makeJob, POLICY } from "../../fixtures/remote/test_node.ts";

/** Handles one job stream of a node. */
type Serve = (stream: ByteStream, server: JobServer, peerId: string) => Promise<void>;

const honest: Serve = (stream, server, peerId) => server.serve(stream, peerId);

/** Aborts a stream after its first write. */
function cutAfterFirstWrite(stream: ByteStream): ByteStream {
  return {
    ...stream,
    async write(bytes) {
      await stream.write(bytes);
      stream.abort(new Error("Cut"));
    },
  };
}

/** Nodes that misbehave once a client has fetched their valid document, by description. */
const BAD: Record<string, (host: FakeHost) => Serve> = {
  "resets each offer": () => (stream) => Promise.resolve(stream.abort(new Error("Reset"))),
  "accepts and then resets": () => (stream, server, peerId) =>
    server.serve(cutAfterFirstWrite(stream), peerId),
  "refuses each offer as a busy node": (host) => {
    host.onCheck = () => {
      throw new PlasmError("busy", "Cannot accept job", { retryAfterMs: 1 });
    };
    return honest;
  },
  "calls each job invalid": (host) => {
    host.onCheck = () => {
      throw new PlasmError("bad-module", "Cannot run module");
    };
    return honest;
  },
  "never answers an offer": () => async (stream) => {
    while (await stream.read() !== null);
  },
  "disappears when the job begins": (host) => {
    const streams: ByteStream[] = [];
    host.program = () => {
      for (const stream of streams) stream.abort(new Error("Gone"));
      return [];
    };
    return (stream, server, peerId) => {
      if (streams.length > 0) return Promise.resolve(stream.abort(new Error("Gone")));
      streams.push(stream);
      return server.serve(stream, peerId);
    };
  },
  "returns a false receipt": (host) => {
    host.alterReceipt = (fields) =>
      withValue(fields, ["claim", "stdout", "hash"], `sha256:${"5".repeat(64)}`);
    return honest;
  },
};

const JOBS = 20;

/** Longest wait for a node that never answers, for all jobs together, in milliseconds. */
const MAX_WAITED_MS = 3_000;

/** Makes honest nodes answer a search once the client has the document of the misbehaving one. */
class SlowAnswers {
  #opened = Promise.withResolvers<void>();

  /** Starts another search. */
  reset(): void {
    this.#opened = Promise.withResolvers();
  }

  /** Allows the honest nodes to answer. */
  open(): void {
    this.#opened.resolve();
  }

  async serve(node: PlasmNetwork): Promise<void> {
    await node.unhandle(CAPABILITY_PROTOCOL);
    await node.handle(CAPABILITY_PROTOCOL, async (stream) => {
      await this.#opened.promise;
      await serveCapability(stream, node.capability);
    }, { burst: 1000 });
  }
}

/** Options of {@linkcode startNode}. */
interface StartNodeOptions {
  bootstrap: string[];
  answers: SlowAnswers;
  /** @default {honest} */
  bad?: (host: FakeHost) => Serve;
}

/** Starts a node and waits until it can be found. A misbehaving one claims many free slots. */
async function startNode(
  net: TestNet,
  { bootstrap, answers, bad }: StartNodeOptions,
): Promise<{ node: PlasmNetwork; server: JobServer }> {
  const host = await FakeHost.create();
  const serve = bad?.(host) ?? honest;
  const server = new JobServer({ host, policy: () => POLICY, log: () => {} });
  const seen = new Recorder();
  const node = await net.start({ identity: host.identity, bootstrap, log: seen.log });
  await node.handle(
    JOB_PROTOCOL,
    (stream, { peerId }) => serve(byteStreamOf(stream), server, peerId),
    { burst: 1000 },
  );
  if (bad === undefined) await answers.serve(node);
  const load = { running: 0, queued: 0, slots: bad === undefined ? 2 : 64 };
  await node.publish({ ...FIELDS, runtime: localRuntime(), load });
  await seen.until(({ event, error_code }) => event === "provide" && error_code === undefined);
  return { node, server };
}

/** Misbehaving nodes beside honest ones, three in all. */
const CASES = [
  ...Object.keys(BAD).map((what) => [what]),
  ["resets each offer", "never answers an offer"],
];

for (const kinds of CASES) {
  const name = `a node that ${
    kinds.join(", and one that ")
  } is tried first in at most 2 of ${JOBS} jobs`;
  Deno.test(name, LIBP2P, async () => {
    await using stack = new AsyncDisposableStack();
    const net = stack.use(new TestNet());
    const boot = await net.start();
    const bootstrap = [addressOf(boot, "tcp")];
    const answers = new SlowAnswers();
    const started = [];
    for (let at = 0; at < 3; at++) {
      const bad = BAD[kinds[at] ?? ""];
      started.push(await startNode(net, { bootstrap, answers, ...(bad && { bad }) }));
    }
    for (const { server } of started) stack.defer(async () => await server.close());
    const misbehaving = started.slice(0, kinds.length).map(({ node }) => node.peerId);
    const client = await net.startClient({
      bootstrap,
      log: ({ event, peer_id }) => {
        if (event === "capability-seen" && misbehaving.includes(peer_id!)) answers.open();
      },
    });
    for (const { node } of started) await client.queryPeer(addressOf(node, "quic"));
    // In the first job the misbehaving node is the first to answer.
    const unranked = started.map(({ node: { peerId } }) => ({ peerId }));
    const { manifest, ...content } = await makeJob({ idempotent: true });
    const resources = { ...manifest.resources, memory_mb: 64, timeout_seconds: 30 };
    const attempts: AttemptReport[][] = [];
    for (let count = 0; count < JOBS; count++) {
      answers.reset();
      const result = await runOnPeers({ manifest, ...content }, {
        dial: jobDialer(client),
        candidates: count === 0
          ? unranked
          : findCandidates(client, { resources, module: content.module }),
        // A lost node is a subject of other tests.
        timeouts: { reattach: 1 },
        retryMs: 0,
        backoffMs: 0,
        recordOutcome: (peerId, outcome) => client.recordOutcome(peerId, outcome),
      }).catch((error) => {
        // Only the misbehaving node may fail a job.
        throw new Error(JSON.stringify(PlasmError.from(error).toJSON()), { cause: error });
      });
      result.output[Symbol.dispose]();
      attempts.push(result.attempts);
    }
    const firsts = misbehaving.map((peerId) =>
      attempts.filter(([report]) => report!.peerId === peerId).length
    );
    assertGreaterOrEqual(firsts[0]!, 1);
    for (const first of firsts) assertLessOrEqual(first, 2);
    for (const reports of attempts) assert(!misbehaving.includes(reports.at(-1)!.peerId));
    const failed = attempts.flat().flatMap(({ error }) => Number(error?.details["waited_ms"] ?? 0));
    assertLessOrEqual(failed.reduce((sum, ms) => sum + ms, 0), MAX_WAITED_MS);
    assertEquals(attempts.length, JOBS);
  });
}
