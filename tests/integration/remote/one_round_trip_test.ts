import { assertEquals, assertRejects } from "@std/assert";
import { PlasmError } from "../../../lib/core/errors/errors.ts";
import { createJobId, createNonce } from "../../../lib/core/ids.ts";
import { expectHeader } from "../../../lib/remote/libp2p/stream_pool.ts";
import {
  type ByteStream,
  Disconnected,
  FrameChannel,
} from "../../../lib/remote/wire/frame_channel.ts";
import { makeOffer } from "../../../lib/remote/client/handshake.ts";
import type { MessageOf } from "../../../lib/remote/wire/messages.ts";
import type { AttemptReport } from "../../../lib/remote/client/remote_job.ts";
import { memoryPair } from "../../fixtures/memory_streams.ts";
import {
  makeJob,
  nodeWithModule,
  run,
  seededBytes,
  TestNode,
} from "../../fixtures/remote/test_node.ts";
import { hang } from "../../fixtures/remote/fake_host.ts";

type Offer = MessageOf<"offer">;
type Accept = MessageOf<"accept">;

/** Creates an offer that allows the job to begin at once. */
async function beginningOffer(changes: Partial<Offer> = {}): Promise<Offer> {
  const options = { nonce: createNonce(), now: Date.now(), mayBegin: true };
  return { ...await makeOffer(await makeJob(), options), ...changes };
}

/** Returns the error of a run, with `ran` of each attempt. */
async function failure(act: () => Promise<unknown>): Promise<PlasmError & { ran: string[] }> {
  const error = await assertRejects(act, PlasmError);
  const attempts = error.details["attempts"] as unknown as AttemptReport[];
  return Object.assign(error, { ran: attempts.map(({ ran }) => ran) });
}

/** Records the messages that a client writes. */
function recordMessages(node: TestNode): { types: string[]; offers: Offer[] } {
  const recorded = { types: [] as string[], offers: [] as Offer[] };
  node.wrap = (stream) => {
    const copy = memoryPair();
    const channel = new FrameChannel(copy.node);
    void (async () => {
      while (true) {
        const message = await channel.read(["offer", "begin", "chunk", "taken"]);
        recorded.types.push(message.type);
        if (message.type === "offer") recorded.offers.push(message);
      }
    })().catch(() => {}); // the client disconnected
    return {
      ...stream,
      write: async (bytes) => {
        await copy.client.write(bytes);
        await stream.write(bytes);
      },
      close: async () => {
        await copy.client.close();
        await stream.close();
      },
    };
  };
  return recorded;
}

/** Resolves in the next turn of the event loop. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}

Deno.test("JobServer begins a job with the offer when it is allowed to and lacks nothing", async () => {
  await using node = await nodeWithModule();
  for (const begin of [true, false]) {
    const channel = new FrameChannel(node.dial());
    await channel.write(await beginningOffer({ begin }));
    const { begun, need } = await channel.read(["accept"]);
    assertEquals({ begun, need }, { begun: begin, need: [] });
    if (begin) assertEquals((await channel.read(["event"])).body["event"], "queued");
    assertEquals(node.host.submitted.length, 1);
    channel.abort(new Error("Test ended"));
  }
});

Deno.test("JobServer does not begin a job when it lacks the module or the input", async () => {
  await using node = await TestNode.create();
  const channel = new FrameChannel(node.dial());
  await channel.write(await beginningOffer());
  const { begun, need } = await channel.read(["accept"]);
  assertEquals({ begun, needLength: need.length, submitted: node.host.submitted }, {
    begun: false,
    needLength: 1,
    submitted: [],
  });
  await using other = await nodeWithModule();
  const second = new FrameChannel(other.dial());
  await second.write(await beginningOffer({ stdin_data: null }));
  const accept = await second.read(["accept"]);
  assertEquals({
    begun: accept.begun,
    needLength: accept.need.length,
    submitted: other.host.submitted,
  }, { begun: false, needLength: 1, submitted: [] });
});

Deno.test("runOnPeers() sends `begin` only when the node has not begun the job", async () => {
  await using node = await TestNode.create();
  const recorded = recordMessages(node);
  for (const types of [["offer", "chunk", "begin", "taken"], ["offer", "taken"]]) {
    recorded.types.length = 0;
    const { text, attempts } = await run({ nodes: [node], isSole: true });
    assertEquals({ text, ran: attempts[0]!.ran }, { text: "dlroW ,olleH", ran: "yes" });
    await nextTurn();
    assertEquals(recorded.types, types);
  }
});

Deno.test("runOnPeers() allows a job to begin with the offer when no other node is tried or it is idempotent", async () => {
  const large = seededBytes(16 * 1024 + 1);
  const cases: [Parameters<typeof run>[0] extends infer T ? Partial<T> : never, boolean][] = [
    [{}, false],
    [{ isSole: true }, true],
    [{ attempts: 1 }, true],
    [{ job: await makeJob({ idempotent: true }) }, true],
    [{ job: await makeJob({ stdin: "" }), isSole: true }, true],
    [{ job: await makeJob({ stdin: large }), isSole: true }, false],
    [{ isSole: true, saveTicket: () => {} }, false],
  ];
  for (const [options, begin] of cases) {
    await using node = await TestNode.create();
    const { offers } = recordMessages(node);
    await run({ nodes: [node], ...options });
    assertEquals(offers.map((offer) => offer.begin), [begin]);
  }
  // Of three attempts only the last one may begin the job.
  await using node = await TestNode.create();
  const { offers } = recordMessages(node);
  let calls = 0;
  node.host.onCheck = () => {
    if (calls++ < 2) throw new PlasmError("busy", "Cannot accept job", { retryAfterMs: 1 });
  };
  await run({ nodes: [node] });
  assertEquals(offers.map(({ begin }) => begin), [false, false, true]);
});

Deno.test("runOnPeers() repeats an offer when the answer is lost, and the job runs once", async () => {
  for (const line of [{ cutAfter: 20 }, { cutBackAfter: 1 }, { cutBackAfter: 100 }]) {
    for (const prepare of [nodeWithModule, TestNode.create]) {
      await using node = await prepare();
      node.links = [line, line, {}];
      const { text, attempts } = await run({ nodes: [node], isSole: true, retryMs: 0 });
      assertEquals(text, "dlroW ,olleH");
      assertEquals(attempts.map(({ ran, reconnects }) => [ran, reconnects]), [["yes", 1]]);
      assertEquals({ submitted: node.host.submitted.length, dialled: node.dialCount }, {
        submitted: 1,
        dialled: 3,
      });
    }
  }
});

Deno.test("runOnPeers() completes the job when its first offer arrives after the second", async () => {
  await using node = await nodeWithModule();
  node.host.program = async function* (stdin, { changed }) {
    yield stdin.toReversed();
    while (node.dialCount < 3) await changed();
  };
  let late: Uint8Array | undefined;
  let first: ByteStream | undefined;
  const { text, attempts } = await run({
    nodes: [node],
    isSole: true,
    retryMs: 0,
    dial: () => {
      if (late !== undefined) {
        node.host.notify();
        return Promise.resolve(node.dial());
      }
      return Promise.resolve({
        ...memoryPair().client,
        read: () => Promise.reject(new Disconnected("lost")),
        write: (bytes) => Promise.resolve(void (late = bytes.slice())),
      });
    },
    onEvent: ({ type }) => {
      if (type !== "started" || first !== undefined) return;
      first = node.dial();
      void first.write(late!);
    },
  });
  // The first offer replaced the second; the third attached to the job.
  assertEquals({ text, reconnects: attempts[0]!.reconnects, dialled: node.dialCount }, {
    text: "dlroW ,olleH",
    reconnects: 2,
    dialled: 3,
  });
  assertEquals(node.host.submitted.length, 1);
  first!.abort(new Error("Test ended"));
});

Deno.test("JobServer keeps one session when an offer is repeated 1,000 times", async () => {
  await using node = await nodeWithModule();
  node.host.program = hang;
  const offer = await beginningOffer();
  const ids = new Set<string>();
  for (let n = 0; n < 1000; n++) {
    const channel = new FrameChannel(node.dial());
    await channel.write(offer);
    const { job_id, secret, node_nonce, begun } = await channel.read(["accept"]);
    ids.add(`${job_id} ${secret} ${node_nonce} ${begun}`);
  }
  assertEquals({ distinctIds: ids.size, submitted: node.host.submitted.length }, {
    distinctIds: 1,
    submitted: 1,
  });
  assertEquals(node.server.counts, { transfer: 0, begun: 1, over: 0 });
});

Deno.test("JobServer accepts one job when the same offer arrives on several connections at once", async () => {
  await using node = await nodeWithModule();
  const offer = await beginningOffer();
  const channels = Array.from({ length: 8 }, () => new FrameChannel(node.dial()));
  const answers = await Promise.allSettled(channels.map(async (channel) => {
    await channel.write(offer);
    return (await channel.read(["accept"])).job_id;
  }));
  const ids = answers.flatMap((answer) => answer.status === "fulfilled" ? [answer.value] : []);
  assertEquals({ distinctIds: new Set(ids).size, submitted: node.host.submitted.length }, {
    distinctIds: 1,
    submitted: 1,
  });
});

Deno.test("JobServer rejects a different offer when its nonce was used before", async () => {
  await using node = await nodeWithModule();
  node.host.program = hang;
  const offer = await beginningOffer();
  const channel = new FrameChannel(node.dial());
  await channel.write(offer);
  const { job_id: jobId } = await channel.read(["accept"]);
  const refused = async (changed: Offer): Promise<unknown> => {
    const other = new FrameChannel(node.dial());
    await other.write(changed);
    const { error } = await other.read(["reject"]);
    return (error["details"] as Record<string, unknown>)["field"];
  };
  const { nonce } = offer;
  for (
    const job of [
      await makeJob({ args: ["other"] }),
      await makeJob({ stdin: "other" }),
      await makeJob({ module: seededBytes(9) }),
    ]
  ) {
    const options = { nonce, now: Date.now(), mayBegin: true };
    assertEquals(await refused(await makeOffer(job, options)), "nonce");
  }
  assertEquals(await refused({ ...offer, begin: false }), "nonce");
  assertEquals(node.host.submitted, [jobId]);
  // Each peer has its own nonces.
  const stranger = new FrameChannel(node.dial("12D3KooWStranger"));
  await stranger.write(offer);
  assertEquals((await stranger.read(["accept"])).job_id === jobId, false);
});

Deno.test("JobServer rejects a repeated offer when its job was deleted", async () => {
  await using node = await nodeWithModule();
  const nonce = createNonce();
  const recorded = recordMessages(node);
  await run({ nodes: [node], isSole: true, nonce });
  await node.host.until(() => node.host.deleted.length === 1);
  const channel = new FrameChannel(node.dial());
  await channel.write(recorded.offers[0]!);
  assertEquals((await channel.read(["reject"])).error["code"], "protocol");
  assertEquals(node.host.submitted.length, 1);
});

Deno.test("runOnPeers() rejects an acceptance when the node began the job without permission", async () => {
  const cases: [boolean, Partial<Accept>][] = [
    [false, { begun: true, need: [] }],
    [true, { begun: true }],
  ];
  for (const [isSole, changes] of cases) {
    await using node = await TestNode.create();
    const job = await makeJob();
    const error = await failure(() =>
      run({
        nodes: [node],
        job,
        isSole,
        dial: () => {
          const { client, node: server } = memoryPair();
          const channel = new FrameChannel(server);
          void (async () => {
            const { nonce, manifest_hash } = await channel.read(["offer"]);
            await channel.write({
              type: "accept",
              version: "0.2",
              job_id: createJobId(),
              secret: createNonce(),
              node_nonce: createNonce(),
              nonce,
              manifest_hash,
              need: [{ hash: job.module.hash, offset: 0 }],
              begun: false,
              keeps_ms: 0,
              position: 0,
              expires_in_ms: 1000,
              ...changes,
            });
          })();
          return Promise.resolve(client);
        },
      })
    );
    assertEquals({ code: error.code, field: error.details["field"] }, {
      code: "protocol",
      field: "begun",
    }, error.message);
    assertEquals(error.ran, [isSole ? "maybe" : "no"]);
  }
});

Deno.test("runOnPeers() reports that a job did not run when its first offer was rejected", async () => {
  await using node = await nodeWithModule();
  const refusal = new PlasmError("queue-full", "Cannot accept job: the queue is full");
  node.host.onCheck = () => {
    throw refusal;
  };
  const error = await failure(() => run({ nodes: [node], isSole: true }));
  assertEquals({ code: error.code, ran: error.ran }, { code: "queue-full", ran: ["no"] });
  // The same if it was accepted but could not be submitted.
  node.host.onCheck = () => {};
  node.host.submit = () => Promise.reject(refusal);
  const later = await failure(() => run({ nodes: [node], isSole: true }));
  assertEquals({ code: later.code, ran: later.ran }, { code: "queue-full", ran: ["no"] });
  assertEquals(node.server.counts, { transfer: 0, begun: 0, over: 0 });
});

Deno.test("runOnPeers() reports that a job may have run when only a repeated offer was rejected", async () => {
  await using node = await nodeWithModule();
  await using other = await nodeWithModule();
  node.links = [{ cutAfter: 20 }, {}];
  node.host.onCheck = () => {
    throw new PlasmError("busy", "Cannot accept job", { retryAfterMs: 1 });
  };
  const options = { nodes: [node, other], attempts: 2, retryMs: 0 };
  const error = await failure(() => run({ ...options, isSole: true }));
  assertEquals({ code: error.code, ran: error.ran, dialled: other.dialCount }, {
    code: "busy",
    ran: ["maybe"],
    dialled: 0,
  });
  // An idempotent job is tried on the other node.
  node.dialCount = 0;
  const job = await makeJob({ idempotent: true });
  const { attempts } = await run({ ...options, job });
  assertEquals(attempts.map(({ ran }) => ran), ["maybe", "yes"]);
});

Deno.test("runOnPeers() reports that a job did not run when the peer does not support the protocol", async () => {
  const error = await failure(() =>
    run({
      nodes: [],
      candidates: [{ peerId: "12D3KooWOther" }],
      isSole: true,
      dial: async () => {
        const { client, node } = memoryPair();
        await node.write(new Uint8Array([3, 110, 97, 10]));
        return expectHeader(client, new Uint8Array([3, 121, 101, 10]));
      },
    })
  );
  assertEquals({ code: error.code, ran: error.ran }, { code: "no-peer", ran: ["no"] });
});

Deno.test("runOnPeers() cancels a job when the signal aborts before the acceptance arrives", async () => {
  await using node = await nodeWithModule();
  node.host.program = hang;
  const stop = new AbortController();
  const released = Promise.withResolvers<void>();
  node.wrap = (stream) => ({
    ...stream,
    read: async () => {
      await released.promise;
      return await stream.read();
    },
  });
  const running = failure(() => run({ nodes: [node], isSole: true, signal: stop.signal }));
  await node.host.until(() => node.host.submitted.length === 1);
  stop.abort(new PlasmError("interrupted", "Stopped by the test"));
  released.resolve();
  assertEquals((await running).code, "interrupted");
  await node.host.until(() => node.host.deleted.length === 1);
  assertEquals(node.server.counts, { transfer: 0, begun: 0, over: 0 });
});

Deno.test("JobServer deletes a job when its client disconnects before the acceptance", async () => {
  await using node = await nodeWithModule();
  node.policy = { ...node.policy, orphanMs: 1 };
  node.host.program = hang;
  node.wrap = (stream) => ({ ...stream, read: () => new Promise(() => {}) });
  const timeouts = { offer: 20 };
  const error = await failure(() => run({ nodes: [node], isSole: true, timeouts }));
  assertEquals({ code: error.code, ran: error.ran }, { code: "peer-timeout", ran: ["maybe"] });
  await node.host.until(() => node.host.deleted.length === 1);
  assertEquals(node.server.counts, { transfer: 0, begun: 0, over: 0 });
});

Deno.test("runOnPeers() measures the elapsed time from the offer when the node begins the job with it", async () => {
  await using node = await nodeWithModule();
  node.host.alterReceipt = ({ claim, run }) => ({
    claim,
    run: {
      ...run,
      usage: { ...run.usage, wall_time_ms: 60_000 },
      started_at: new Date(Date.parse(run.finished_at) - 60_000).toISOString(),
    },
  });
  const error = await failure(() => run({ nodes: [node], isSole: true }));
  assertEquals({ code: error.code, field: error.details["field"] }, {
    code: "bad-receipt",
    field: "run.usage.wall_time_ms",
  });
});

Deno.test("JobServer rejects a repeated offer when an earlier process may have accepted it", async () => {
  await using node = await nodeWithModule();
  node.uptimeMs = 0;
  node.links = [{ cutAfter: 20 }, {}];
  const error = await failure(() => run({ nodes: [node], isSole: true, retryMs: 0 }));
  assertEquals({ code: error.code, ran: error.ran }, { code: "not-found", ran: ["maybe"] });
  // An offer first sent after the start of the node would be known.
  const offer = await beginningOffer();
  const answer = async (ageMs: number): Promise<string> => {
    const channel = new FrameChannel(node.dial());
    await channel.write({ ...offer, nonce: createNonce(), age_ms: ageMs });
    const { type } = await channel.read(["accept", "reject"]);
    channel.abort(new Error("Test ended"));
    return type;
  };
  assertEquals([await answer(1), await answer(0)], ["reject", "accept"]);
  node.uptimeMs = 3_600_000;
  assertEquals([await answer(3_500_000), await answer(3_600_000)], ["accept", "reject"]);
  assertEquals(node.host.submitted.length, 2);
});
