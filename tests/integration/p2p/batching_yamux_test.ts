import type { Stream, StreamMuxer } from "@libp2p/interface";
import { multiaddrConnectionPair } from "@libp2p/utils";
import { yamux } from "@libp2p/yamux";
import { assert, assertEquals } from "@std/assert";
import { joinBytes } from "../../../lib/util/bytes.ts";
import { batchingYamux } from "../../../lib/p2p/patches/batching_yamux.ts";
import { LIBP2P } from "../../fixtures/p2p/nodes.ts";

type Make = typeof batchingYamux;

/** More than any window that a stream begins with. */
const LARGE_BYTES = 3 * 2 ** 20;

/** Muxers at both ends of a line, and how many messages went over it from each. */
function muxers([ours, theirs]: [Make, Make]) {
  const ends = multiaddrConnectionPair();
  const sent = [0, 0];
  for (const [at, end] of ends.entries()) {
    end.addEventListener("message", () => sent[1 - at]!++);
  }
  const make = (yamux: Make, at: number): StreamMuxer =>
    yamux({ enableKeepAlive: false })().createStreamMuxer(ends[at]!);
  return { client: make(ours, 0), server: make(theirs, 1), sent };
}

/** All that comes on a stream. */
async function allOf(stream: Stream): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const data of stream) {
    for (const part of data instanceof Uint8Array ? [data] : data) parts.push(part.slice());
  }
  return joinBytes(parts);
}

async function sendAll(stream: Stream, pieces: readonly Uint8Array[]): Promise<void> {
  for (const piece of pieces) {
    if (stream.send(piece)) continue;
    await new Promise((resolve) => stream.addEventListener("drain", resolve, { once: true }));
  }
  await stream.close();
}

/** Sends bytes that come back as they are. */
async function echo(
  { client, server }: { client: StreamMuxer; server: StreamMuxer },
  pieces: readonly Uint8Array[],
): Promise<Uint8Array> {
  server.addEventListener("stream", ({ detail: stream }) => {
    void (async () => await sendAll(stream, [await allOf(stream)]))();
  }, { once: true });
  const stream = await client.createStream();
  const [back] = await Promise.all([allOf(stream), sendAll(stream, pieces)]);
  return back;
}

const pairs: Record<string, [Make, Make]> = {
  "itself": [batchingYamux, batchingYamux],
  "libp2p's that answers": [batchingYamux, yamux as Make],
  "libp2p's that asks": [yamux as Make, batchingYamux],
};
for (const [name, pair] of Object.entries(pairs)) {
  Deno.test(
    `batchingYamux() carries bytes of any size in order, with ${name}`,
    LIBP2P,
    async () => {
      const sides = muxers(pair);
      for (
        const sizes of [
          [1],
          [1, 8191, 8192, 8193, 1],
          [LARGE_BYTES, 1, 70_000],
          Array(500).fill(99),
        ]
      ) {
        const pieces = sizes.map((size, n) => new Uint8Array(size).fill(n + 1));
        assertEquals(await echo(sides, pieces), joinBytes(pieces));
      }
      await sides.client.close();
    },
  );
}

Deno.test(
  "batchingYamux() holds what was sent, whatever its writer does to the memory afterwards",
  LIBP2P,
  async () => {
    const sides = muxers([batchingYamux, batchingYamux]);
    const seen = Promise.withResolvers<Uint8Array>();
    sides.server.addEventListener("stream", ({ detail }) => seen.resolve(allOf(detail)));
    const stream = await sides.client.createStream();
    const memory = new Uint8Array(100).fill(1);
    stream.send(memory);
    memory.fill(2);
    await stream.close();
    assertEquals(await seen.promise, new Uint8Array(100).fill(1));
    await sides.client.close();
  },
);

Deno.test("batchingYamux() says in few messages what libp2p's says in many", LIBP2P, async () => {
  const count = async (make: Make): Promise<number> => {
    const sides = muxers([make, make]);
    await echo(sides, Array.from({ length: 8 }, () => new Uint8Array(50)));
    await sides.client.close();
    return sides.sent[0]! + sides.sent[1]!;
  };
  // One with all that is said and the end of it from each side, and the farewells.
  const few = await count(batchingYamux);
  assert(few <= 4, `${few}`);
  assert(await count(yamux as Make) >= 4 * few);
});

Deno.test("batchingYamux() sends what it holds back before it says farewell", LIBP2P, async () => {
  const sides = muxers([batchingYamux, batchingYamux]);
  const seen = Promise.withResolvers<Uint8Array>();
  sides.server.addEventListener("stream", ({ detail }) => {
    void detail.close();
    seen.resolve(allOf(detail));
  });
  const stream = await sides.client.createStream();
  stream.send(new Uint8Array([7]));
  await sides.client.close();
  assertEquals(await seen.promise, new Uint8Array([7]));
});
