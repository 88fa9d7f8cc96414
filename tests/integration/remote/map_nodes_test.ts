/**
 * Tests maps over a daemon and over real nodes, some of which are dead, slow or lie.
 *
 * @module
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { PlasmError } from "../../../lib/core/errors/errors.ts";
import { verifyReceipt } from "../../../lib/core/verify_receipt.ts";
import { mapJobs, type MapOptions, type MapResult } from "../../../lib/map/map_jobs.ts";
import { byteStreamOf } from "../../../lib/remote/libp2p/network_binding.ts";
import { JobServer } from "../../../lib/remote/server/serve.ts";
import { type ByteStream, JOB_PROTOCOL } from "../../../lib/remote/wire/mod.ts";
import { localRuntime } from "../../../lib/sandbox/receipt_fields.ts";
import { testDaemon } from "../../fixtures/daemon/harness.ts";
import { FIELDS } from "../../fixtures/p2p/identities.ts";
import { addressOf, LIBP2P, type TestNet } from "../../fixtures/p2p/nodes.ts";
import { withValue } from "../../fixtures/receipt_mutations.ts";
import { FakeHost } from "../../fixtures/remote/fake_host.ts";
import { HELLO, realNode } from "../../fixtures/remote/real_node.ts";
import { POLICY } from "../../fixtures/remote/test_node.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const ITEMS = Array.from({ length: 24 }, (_, at) => `item ${at}`);
const describe = (text: string) => ({ stdin: encoder.encode(text) });

/** Maps the items and checks each result. Returns the nodes that ran them. */
async function mapItems(options: Partial<MapOptions<string>>): Promise<MapResult<string>[]> {
  const results = await Array.fromAsync(
    mapJobs(HELLO, ITEMS, { describe, keepOrder: true, ...options }),
  );
  assertEquals(results.map(({ item }) => item), ITEMS);
  for (const { item, error, stdout, receipt } of results) {
    assertEquals(error, undefined);
    assertEquals(decoder.decode(stdout), [...item].reverse().join(""));
    await verifyReceipt(receipt, { module: HELLO, stdin: encoder.encode(item), stdout });
  }
  return results;
}

Deno.test("mapJobs() runs items on a daemon and returns its receipts", async () => {
  await using fixture = await testDaemon({ real: true });
  const { daemon } = fixture;
  const where = { daemon: { socket: daemon.socket } };
  const results = await mapItems({ where });
  for (const { receipt, node } of results) {
    assertEquals([receipt!.run.node.peer_id, node], [daemon.identity.peerId, "daemon"]);
  }
});

Deno.test("mapJobs() throws when its daemon or its network cannot be found", async () => {
  const codes: string[] = [];
  for (const where of [{ daemon: { socket: "/nonexistent/plasm.sock" } }, { bootstrap: [] }]) {
    const error = await assertRejects(() => mapItems({ where }), PlasmError);
    codes.push(error.code);
  }
  assertEquals(codes, ["no-daemon", "usage"]);
});

/** Handles one job stream of a node. */
type Serve = (stream: ByteStream, server: JobServer, peerId: string) => Promise<void>;

/** Starts a node that reports that it runs jobs, and serves them in some way. */
async function startFake(
  net: TestNet,
  { bootstrap, serve, alter }: {
    bootstrap: string[];
    serve: Serve;
    alter?: FakeHost["alterReceipt"];
  },
) {
  const host = await FakeHost.create();
  if (alter !== undefined) host.alterReceipt = alter;
  const server = new JobServer({ host, policy: () => POLICY, log: () => {} });
  const node = await net.start({ identity: host.identity, bootstrap });
  await node.handle(
    JOB_PROTOCOL,
    (stream, { peerId }) => serve(byteStreamOf(stream), server, peerId),
    { burst: 1000 },
  );
  await node.publish({ ...FIELDS, runtime: localRuntime() });
  return {
    peer: `${addressOf(node, "tcp")}`,
    [Symbol.asyncDispose]: () => server.close(),
  };
}

Deno.test(
  "mapJobs() moves items from nodes that are dead, slow or lie to those that are honest",
  LIBP2P,
  async () => {
    await using one = await realNode();
    await using two = await realNode();
    const { net } = one;
    const offers = { dead: 0, lying: 0 };
    const { bootstrap } = one;
    await using dead = await startFake(net, {
      bootstrap,
      serve: (stream) => {
        offers.dead++;
        return Promise.resolve(stream.abort(new Error("Dead")));
      },
    });
    await using lying = await startFake(net, {
      bootstrap,
      serve: (stream, server, peerId) => {
        offers.lying++;
        return server.serve(stream, peerId);
      },
      alter: (fields) => withValue(fields, ["claim", "stdout", "hash"], `sha256:${"5".repeat(64)}`),
    });
    // Accepts connections and offers, and does nothing.
    await using slow = await startFake(net, {
      bootstrap,
      serve: async (stream) => {
        while (await stream.read() !== null);
      },
    });
    const honest = [one, two].map(({ daemon }) => daemon.identity.peerId);
    const results = await mapItems({
      where: {
        bootstrap: [one, two].map(({ bootstrap }) => bootstrap[0]!),
        peers: [...honest, dead.peer, lying.peer, slow.peer],
      },
      // Items on the slow node are run again elsewhere, and the first result counts.
      describe: (text) => ({ ...describe(text), idempotent: true }),
    });
    assert(results.every(({ node }) => honest.includes(node!)));
    // A node that lies is not asked again; one that fails rests in between.
    assert(offers.lying <= FIELDS.cpu_cores, `${offers.lying}`);
    assert(offers.dead < ITEMS.length, `${offers.dead}`);
  },
);
