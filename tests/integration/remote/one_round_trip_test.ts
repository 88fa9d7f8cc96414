import { assertEquals, assertRejects } from "@std/assert";
import { PlasmError } from "../../../lib/core/errors/errors.ts";
import { createJobId, createNonce } from "../../../lib/core/ids.ts";
import { expectAgreement } from "../../../lib/remote/libp2p/network_binding.ts";
import { type ByteStream, Disconnected } from "../../../lib/remote/wire/byte_stream.ts";
import { FrameChannel } from "../../../lib/remote/wire/frame_channel.ts";
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
} from "../../fixtures/remote/bench.ts";
import { hang } from "../../fixtures/remote/fake_host.ts";

type Offer = MessageOf<"offer">;
type Accept = MessageOf<"accept">;

/** An offer that lets the job begin. */
async function eagerOffer(changes: Partial<Offer> = {}): Promise<Offer> {
  const options = { nonce: createNonce(), now: Date.now(), mayBegin: true };
  return { ...await makeOffer(await makeJob(), options), ...changes };
}

/** The error of a run that fails, and what its attempts came to. */
async function failure(act: () => Promise<unknown>): Promise<PlasmError & { ran: string[] }> {
  const error = await assertRejects(act, PlasmError);
  const attempts = error.details["attempts"] as unknown as AttemptReport[];
  return Object.assign(error, { ran: attempts.map(({ ran }) => ran) });
}

/** Notes the types of messages that a client writes; each is small and of one frame. */
function spy(node: TestNode): { types: string[]; offers: Offer[] } {
  const heard = { types: [] as string[], offers: [] as Offer[] };
  node.wrap = (duplex) => {
    const copy = memoryPair();
    const channel = new FrameChannel(copy.node);
    void (async () => {
      while (true) {
        const message = await channel.read(["offer", "begin", "chunk", "taken"]);
        heard.types.push(message.type);
        if (message.type === "offer") heard.offers.push(message);
      }
    })().catch(() => {}); // its end
    return {
      ...duplex,
      write: async (bytes) => {
        await copy.client.write(bytes);
        await duplex.write(bytes);
      },
      close: async () => {
        await copy.client.close();
        await duplex.close();
      },
    };
  };
  return heard;
}

/** Resolves once all that waits in this turn of the event loop has happened. */
function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}

Deno.test("JobServer begins a job that it lacks nothing of, where its offer says that it may", async () => {
  await using node = await nodeWithModule();
  for (const begin of [true, false]) {
    const channel = new FrameChannel(node.dial());
    await channel.write(await eagerOffer({ begin }));
    const { begun, need } = await channel.read(["accept"]);
    assertEquals([begun, need], [begin, []]);
    if (begin) assertEquals((await channel.read(["event"])).body["event"], "queued");
    assertEquals(node.host.submitted.length, 1);
    channel.abort(new Error("Done"));
  }
});

Deno.test("JobServer begins nothing that it lacks the module or the input of", async () => {
  await using node = await TestNode.create();
  const channel = new FrameChannel(node.dial());
  await channel.write(await eagerOffer());
  const { begun, need } = await channel.read(["accept"]);
  assertEquals([begun, need.length, node.host.submitted], [false, 1, []]);
  await using other = await nodeWithModule();
  const second = new FrameChannel(other.dial());
  await second.write(await eagerOffer({ stdin_data: null }));
  const accept = await second.read(["accept"]);
  assertEquals([accept.begun, accept.need.length, other.host.submitted], [false, 1, []]);
});

Deno.test("runOnPeers() says begin only where the node has not begun", async () => {
  await using node = await TestNode.create();
  const heard = spy(node);
  for (const types of [["offer", "chunk", "begin", "taken"], ["offer", "taken"]]) {
    heard.types.length = 0;
    const { text, attempts } = await run({ nodes: [node], isSole: true });
    assertEquals([text, attempts[0]!.ran], ["dlroW ,olleH", "yes"]);
    await turn();
    assertEquals(heard.types, types);
  }
});

Deno.test("runOnPeers() lets a job begin only where that it may have run is of no weight", async () => {
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
    const { offers } = spy(node);
    await run({ nodes: [node], ...options });
    assertEquals(offers.map((offer) => offer.begin), [begin]);
  }
  // The first of three attempts may not, the last may.
  await using node = await TestNode.create();
  const { offers } = spy(node);
  let times = 0;
  node.host.refuse = () => {
    if (times++ < 2) throw new PlasmError("busy", "Cannot accept job", { retryAfterMs: 1 });
  };
  await run({ nodes: [node] });
  assertEquals(offers.map(({ begin }) => begin), [false, false, true]);
});

Deno.test("runOnPeers() finds its job again when the answer to its offer is lost, and runs it once", async () => {
  for (const line of [{ cutAfter: 20 }, { cutBackAfter: 1 }, { cutBackAfter: 100 }]) {
    for (const prepare of [nodeWithModule, TestNode.create]) {
      await using node = await prepare();
      node.lines = [line, line, {}];
      const { text, attempts } = await run({ nodes: [node], isSole: true, retryMs: 0 });
      assertEquals(text, "dlroW ,olleH");
      assertEquals(attempts.map(({ ran, reconnects }) => [ran, reconnects]), [["yes", 1]]);
      assertEquals([node.host.submitted.length, node.dialled], [1, 3]);
    }
  }
});

Deno.test("runOnPeers() survives that its first offer arrives after the second", async () => {
  await using node = await nodeWithModule();
  node.host.program = async function* (stdin, { news }) {
    yield stdin.toReversed();
    while (node.dialled < 3) await news();
  };
  let late: Uint8Array | undefined;
  let first: ByteStream | undefined;
  const { text, attempts } = await run({
    nodes: [node],
    isSole: true,
    retryMs: 0,
    dial: () => {
      if (late !== undefined) {
        node.host.news();
        return Promise.resolve(node.dial());
      }
      return Promise.resolve({
        ...memoryPair().client,
        read: () => Promise.reject(new Disconnected("lost")),
        write: (bytes) => Promise.resolve(void (late = bytes.slice())),
      });
    },
    onProgress: ({ phase }) => {
      if (phase !== "running" || first !== undefined) return;
      first = node.dial();
      void first.write(late!);
    },
  });
  // The second was given up for the first; the third found the job again.
  assertEquals([text, attempts[0]!.reconnects, node.dialled], ["dlroW ,olleH", 2, 3]);
  assertEquals(node.host.submitted.length, 1);
  first!.abort(new Error("Done"));
});

Deno.test("JobServer holds one session for an offer that is made 1,000 times", async () => {
  await using node = await nodeWithModule();
  node.host.program = hang;
  const offer = await eagerOffer();
  const ids = new Set<string>();
  for (let n = 0; n < 1000; n++) {
    const channel = new FrameChannel(node.dial());
    await channel.write(offer);
    const { job_id, secret, node_nonce, begun } = await channel.read(["accept"]);
    ids.add(`${job_id} ${secret} ${node_nonce} ${begun}`);
  }
  assertEquals([ids.size, node.host.submitted.length], [1, 1]);
  assertEquals(node.server.counts, { transfer: 0, begun: 1, over: 0 });
});

Deno.test("JobServer takes offers that come at the same time for one", async () => {
  await using node = await nodeWithModule();
  const offer = await eagerOffer();
  const channels = Array.from({ length: 8 }, () => new FrameChannel(node.dial()));
  const answers = await Promise.allSettled(channels.map(async (channel) => {
    await channel.write(offer);
    return (await channel.read(["accept"])).job_id;
  }));
  const ids = answers.flatMap((answer) => answer.status === "fulfilled" ? [answer.value] : []);
  assertEquals([new Set(ids).size, node.host.submitted.length], [1, 1]);
});

Deno.test("JobServer refuses another offer by a nonce that was used", async () => {
  await using node = await nodeWithModule();
  node.host.program = hang;
  const offer = await eagerOffer();
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
  // Nonces are each peer's own.
  const stranger = new FrameChannel(node.dial("12D3KooWStranger"));
  await stranger.write(offer);
  assertEquals((await stranger.read(["accept"])).job_id === jobId, false);
});

Deno.test("JobServer refuses an offer that is made again after its job has been forgotten", async () => {
  await using node = await nodeWithModule();
  const nonce = createNonce();
  const heard = spy(node);
  await run({ nodes: [node], isSole: true, nonce });
  await node.host.until(() => node.host.forgotten.length === 1);
  const channel = new FrameChannel(node.dial());
  await channel.write(heard.offers[0]!);
  assertEquals((await channel.read(["reject"])).error["code"], "protocol");
  assertEquals(node.host.submitted.length, 1);
});

Deno.test("runOnPeers() refuses a node that says it has begun what it may not", async () => {
  const lies: [boolean, Partial<Accept>][] = [
    [false, { begun: true, need: [] }],
    [true, { begun: true }],
  ];
  for (const [isSole, lie] of lies) {
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
              version: "1.0",
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
              ...lie,
            });
          })();
          return Promise.resolve(client);
        },
      })
    );
    assertEquals([error.code, error.details["field"]], ["protocol", "begun"], error.message);
    assertEquals(error.ran, [isSole ? "maybe" : "no"]);
  }
});

Deno.test("runOnPeers() knows that a job did not run whose first offer was refused", async () => {
  await using node = await nodeWithModule();
  const refusal = new PlasmError("queue-full", "Cannot accept job: the queue is full");
  node.host.refuse = () => {
    throw refusal;
  };
  const error = await failure(() => run({ nodes: [node], isSole: true }));
  assertEquals([error.code, error.ran], ["queue-full", ["no"]]);
  // Neither did one that was accepted and then could not be taken.
  node.host.refuse = () => {};
  node.host.submit = () => Promise.reject(refusal);
  const later = await failure(() => run({ nodes: [node], isSole: true }));
  assertEquals([later.code, later.ran], ["queue-full", ["no"]]);
  assertEquals(node.server.counts, { transfer: 0, begun: 0, over: 0 });
});

Deno.test("runOnPeers() does not know so where the offer that was refused was not the first", async () => {
  await using node = await nodeWithModule();
  await using other = await nodeWithModule();
  node.lines = [{ cutAfter: 20 }, {}];
  node.host.refuse = () => {
    throw new PlasmError("busy", "Cannot accept job", { retryAfterMs: 1 });
  };
  const options = { nodes: [node, other], attempts: 2, retryMs: 0 };
  const error = await failure(() => run({ ...options, isSole: true }));
  assertEquals([error.code, error.ran, other.dialled], ["busy", ["maybe"], 0]);
  // What may run twice goes on.
  node.dialled = 0;
  const job = await makeJob({ idempotent: true });
  const { attempts } = await run({ ...options, job });
  assertEquals(attempts.map(({ ran }) => ran), ["maybe", "yes"]);
});

Deno.test("runOnPeers() knows that a job did not run where the peer takes none", async () => {
  const error = await failure(() =>
    run({
      nodes: [],
      candidates: [{ peerId: "12D3KooWOther" }],
      isSole: true,
      dial: async () => {
        const { client, node } = memoryPair();
        await node.write(new Uint8Array([3, 110, 97, 10]));
        return expectAgreement(client, new Uint8Array([3, 121, 101, 10]));
      },
    })
  );
  assertEquals([error.code, error.ran], ["no-peer", ["no"]]);
});

Deno.test("runOnPeers() cancels a job whose acceptance it has not heard", async () => {
  await using node = await nodeWithModule();
  node.host.program = hang;
  const stop = new AbortController();
  const heard = Promise.withResolvers<void>();
  node.wrap = (duplex) => ({
    ...duplex,
    read: async () => {
      await heard.promise;
      return await duplex.read();
    },
  });
  const running = failure(() => run({ nodes: [node], isSole: true, signal: stop.signal }));
  await node.host.until(() => node.host.submitted.length === 1);
  stop.abort(new PlasmError("interrupted", "Enough"));
  heard.resolve();
  assertEquals((await running).code, "interrupted");
  await node.host.until(() => node.host.forgotten.length === 1);
  assertEquals(node.server.counts, { transfer: 0, begun: 0, over: 0 });
});

Deno.test("a job is ended whose client did not wait for its acceptance", async () => {
  await using node = await nodeWithModule();
  node.policy = { ...node.policy, orphanMs: 1 };
  node.host.program = hang;
  node.wrap = (duplex) => ({ ...duplex, read: () => new Promise(() => {}) });
  const timeouts = { offer: 20 };
  const error = await failure(() => run({ nodes: [node], isSole: true, timeouts }));
  assertEquals([error.code, error.ran], ["peer-timeout", ["maybe"]]);
  await node.host.until(() => node.host.forgotten.length === 1);
  assertEquals(node.server.counts, { transfer: 0, begun: 0, over: 0 });
});

Deno.test("runOnPeers() counts the time of a job from the offer that let it begin", async () => {
  await using node = await nodeWithModule();
  node.host.lie = (fields) => ({
    ...fields,
    usage: { ...fields.usage, wall_time_ms: 60_000 },
    started_at: new Date(Date.parse(fields.finished_at) - 60_000).toISOString(),
  });
  const error = await failure(() => run({ nodes: [node], isSole: true }));
  assertEquals([error.code, error.details["field"]], ["bad-receipt", "usage.wall_time_ms"]);
});

Deno.test("JobServer takes no offer made again that an earlier process of it may have taken", async () => {
  await using node = await nodeWithModule();
  node.upMs = 0;
  node.lines = [{ cutAfter: 20 }, {}];
  const error = await failure(() => run({ nodes: [node], isSole: true, retryMs: 0 }));
  assertEquals([error.code, error.ran], ["not-found", ["maybe"]]);
  // One that was made since it was started would be known.
  const offer = await eagerOffer();
  const answer = async (ageMs: number): Promise<string> => {
    const channel = new FrameChannel(node.dial());
    await channel.write({ ...offer, nonce: createNonce(), age_ms: ageMs });
    const { type } = await channel.read(["accept", "reject"]);
    channel.abort(new Error("Done"));
    return type;
  };
  assertEquals([await answer(1), await answer(0)], ["reject", "accept"]);
  node.upMs = 3_600_000;
  assertEquals([await answer(3_500_000), await answer(3_600_000)], ["accept", "reject"]);
  assertEquals(node.host.submitted.length, 2);
});
