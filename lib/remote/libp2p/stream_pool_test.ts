import { assertEquals, assertRejects } from "@std/assert";
import { PlasmError } from "../../core/errors/errors.ts";
import { type ByteStream, Disconnected } from "../wire/frame_channel.ts";
import { STREAM_REUSE_MS } from "../wire/messages.ts";
import type { ReusableByteStream } from "./network_binding.ts";
import { expectHeader, StreamPool } from "./stream_pool.ts";

const PEER = "12D3KooWPeer";
const OTHER_PEER = "12D3KooWOther";
const HEADER = new Uint8Array([1, 2, 3]);

const { signal } = new AbortController();
/** Options of a request that gets an idle stream if there is one. */
const REPEATABLE = { signal, isRepeatable: true };

/** Stream that records the calls of its methods. */
interface FakeStream extends ReusableByteStream {
  calls: string[];
  quiet: boolean;
  /** Ends the peer's side. */
  end(): void;
}

function fakeStream(): FakeStream {
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  const calls: string[] = [];
  const record = (call: string): Promise<void> => (calls.push(call), Promise.resolve());
  const stream: FakeStream = {
    ended,
    end,
    calls,
    quiet: true,
    isQuiet: () => stream.quiet,
    read: async () => (await record("read"), null),
    write: () => record("write"),
    close: () => record("close"),
    abort: () => void record("abort"),
    endRead: () => void record("endRead"),
  };
  return stream;
}

/** Pool that opens these streams in order. */
function poolOf(streams: readonly FakeStream[], now?: () => number): StreamPool {
  const queue = [...streams];
  return new StreamPool(() => Promise.resolve(queue.shift()!), now);
}

Deno.test("StreamPool.open() reuses a released stream when the request is repeatable", async () => {
  const [first, second, other] = [fakeStream(), fakeStream(), fakeStream()];
  const pool = poolOf([first, other, second]);
  assertEquals((await pool.open(PEER, REPEATABLE)).release!(1000), true);
  assertEquals(pool.size, 1);
  await (await pool.open(OTHER_PEER, REPEATABLE)).write(new Uint8Array(1));
  await (await pool.open(PEER, { signal })).write(new Uint8Array(2));
  assertEquals({ first: first.calls, other: other.calls, second: second.calls }, {
    first: [],
    other: ["write"],
    second: ["write"],
  });
  const reused = await pool.open(PEER, REPEATABLE);
  assertEquals(pool.size, 0);
  await reused.write(new Uint8Array(1));
  assertEquals(first.calls, ["write"]);
  assertEquals(reused.release!(1000), true);
  assertEquals(pool.size, 1);
});

Deno.test("StreamPool.open() returns a stream without effect when it has been released", async () => {
  const stream = fakeStream();
  const pool = poolOf([stream]);
  const released = await pool.open(PEER, REPEATABLE);
  released.release!(1000);
  await assertRejects(() => released.write(new Uint8Array(1)), Disconnected, "was released");
  await assertRejects(() => released.read(), Disconnected, "was released");
  released.abort(new Error("Late"));
  released.endRead();
  await released.close();
  assertEquals(released.release!(1000), false);
  assertEquals({ calls: stream.calls, size: pool.size }, { calls: [], size: 1 });
});

Deno.test("StreamPool.open() closes idle streams when they have expired or received data", async () => {
  let now = 0;
  const [expired, noisy, fresh] = [fakeStream(), fakeStream(), fakeStream()];
  const pool = poolOf([expired, noisy, fresh], () => now);
  const opened = [await pool.open(PEER, REPEATABLE), await pool.open(PEER, REPEATABLE)];
  opened[0]!.release!(1000);
  opened[1]!.release!(10_000);
  // Half of the node's waiting time: it may have closed the stream in the other half.
  now = 500;
  noisy.quiet = false;
  await (await pool.open(PEER, REPEATABLE)).write(new Uint8Array(1));
  assertEquals(pool.size, 0);
  assertEquals([expired, noisy, fresh].map(({ calls }) => calls), [
    ["endRead", "close"],
    ["endRead", "close"],
    ["write"],
  ]);
});

Deno.test("StreamPool.open() limits the reuse when a node promises to wait forever", async () => {
  let now = 0;
  const [old, fresh] = [fakeStream(), fakeStream()];
  const pool = poolOf([old, fresh], () => now);
  (await pool.open(PEER, REPEATABLE)).release!(2 ** 53);
  now = STREAM_REUSE_MS / 2;
  await pool.open(PEER, REPEATABLE);
  assertEquals(old.calls, ["endRead", "close"]);
});

Deno.test("StreamPool closes an idle stream when the peer ends it", async () => {
  const [idle, leased] = [fakeStream(), fakeStream()];
  const pool = poolOf([leased, idle]);
  const stream = await pool.open(PEER, REPEATABLE);
  (await pool.open(PEER, REPEATABLE)).release!(1000);
  idle.end();
  leased.end();
  await idle.ended;
  assertEquals({ size: pool.size, idle: idle.calls, leased: leased.calls }, {
    size: 0,
    idle: ["endRead", "close"],
    leased: [],
  });
  leased.quiet = false;
  assertEquals(stream.release!(1000), false);
  assertEquals(pool.size, 0);
});

Deno.test("StreamPool accepts four idle streams per peer when more are released", async () => {
  const pool = poolOf(Array.from({ length: 7 }, fakeStream));
  const streams: ByteStream[] = [];
  for (let n = 0; n < 6; n++) streams.push(await pool.open(PEER, REPEATABLE));
  const released = streams.map((stream) => stream.release!(1000));
  assertEquals(released, [true, true, true, true, false, false]);
  assertEquals((await pool.open(OTHER_PEER, REPEATABLE)).release!(1000), true);
  assertEquals(pool.size, 5);
});

/** Stream that returns these pieces. */
function streamOf(pieces: number[][]): { stream: ByteStream; aborted: Error[] } {
  const aborted: Error[] = [];
  const left = pieces.map((piece) => new Uint8Array(piece));
  const stream: ByteStream = {
    read: () => Promise.resolve(left.shift() ?? null),
    write: () => Promise.resolve(),
    close: () => Promise.resolve(),
    abort: (reason) => void aborted.push(reason),
    endRead: () => {},
  };
  return { stream, aborted };
}

async function readAll(stream: ByteStream): Promise<number[]> {
  const found: number[] = [];
  for (let bytes; (bytes = await stream.read()) !== null;) found.push(...bytes);
  return found;
}

Deno.test("expectHeader() removes the header when it arrives in any pieces", async () => {
  const cuts = [
    [[1, 2, 3, 4, 5]],
    [[1], [2], [3], [4, 5]],
    [[1, 2], [3, 4], [5]],
    [[1, 2, 3], [4, 5]],
  ];
  for (const pieces of cuts) {
    assertEquals(await readAll(expectHeader(streamOf(pieces).stream, HEADER)), [4, 5]);
  }
});

Deno.test("expectHeader() aborts the stream when the peer sends anything else", async () => {
  for (const pieces of [[[1, 2, 4]], [[0]], [[1], [9, 3]]]) {
    const { stream, aborted } = streamOf(pieces);
    const error = await assertRejects(() => readAll(expectHeader(stream, HEADER)), PlasmError);
    assertEquals({ code: error.code, aborts: aborted.length }, { code: "no-peer", aborts: 1 });
  }
});

Deno.test("expectHeader() returns nothing when the peer ends within the header", async () => {
  assertEquals(await readAll(expectHeader(streamOf([[1, 2]]).stream, HEADER)), []);
});
