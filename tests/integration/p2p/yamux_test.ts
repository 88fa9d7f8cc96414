import type { Stream, StreamMuxer } from "@libp2p/interface";
import { multiaddrConnectionPair } from "@libp2p/utils";
import { yamux } from "@libp2p/yamux";
import { assert, assertEquals } from "@std/assert";
import { concat } from "../../../lib/util/bytes.ts";
import { batchingYamux } from "../../../lib/p2p/patches/yamux.ts";
import { addressOf, LIBP2P, TestNet } from "../../fixtures/p2p/nodes.ts";

type CreateYamux = typeof batchingYamux;

/** Larger than the initial receive window of a stream. */
const LARGE_BYTES = 3 * 2 ** 20;

const WINDOW_PROTOCOL = "/window/1.0.0";

/** Muxers at both ends of a connection in memory, with the number of messages that each has sent. */
function muxers([ours, theirs]: [CreateYamux, CreateYamux]) {
  const ends = multiaddrConnectionPair();
  const sent = [0, 0];
  for (const [at, end] of ends.entries()) {
    end.addEventListener("message", () => sent[1 - at]!++);
  }
  const create = (yamux: CreateYamux, at: number): StreamMuxer =>
    yamux({ enableKeepAlive: false })().createStreamMuxer(ends[at]!);
  return { client: create(ours, 0), server: create(theirs, 1), sent };
}

/** Reads a stream to its end. */
async function readToEnd(stream: Stream): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const data of stream) {
    for (const part of data instanceof Uint8Array ? [data] : data) parts.push(part.slice());
  }
  return concat(parts);
}

async function sendAll(stream: Stream, pieces: readonly Uint8Array[]): Promise<void> {
  for (const piece of pieces) {
    if (stream.send(piece)) continue;
    await new Promise((resolve) => stream.addEventListener("drain", resolve, { once: true }));
  }
  await stream.close();
}

/** Sends pieces to a server that echoes them; returns the response. */
async function echo(
  { client, server }: { client: StreamMuxer; server: StreamMuxer },
  pieces: readonly Uint8Array[],
): Promise<Uint8Array> {
  server.addEventListener("stream", ({ detail: stream }) => {
    void (async () => await sendAll(stream, [await readToEnd(stream)]))();
  }, { once: true });
  const stream = await client.createStream();
  const [back] = await Promise.all([readToEnd(stream), sendAll(stream, pieces)]);
  return back;
}

const pairs: Record<string, [CreateYamux, CreateYamux]> = {
  "itself": [batchingYamux, batchingYamux],
  "a server of libp2p": [batchingYamux, yamux as CreateYamux],
  "a client of libp2p": [yamux as CreateYamux, batchingYamux],
};
for (const [name, pair] of Object.entries(pairs)) {
  Deno.test(
    `batchingYamux() transfers pieces of any size in order with ${name}`,
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
        assertEquals(await echo(sides, pieces), concat(pieces));
      }
      await sides.client.close();
    },
  );
}

Deno.test(
  "batchingYamux() sends the original bytes when the writer reuses its memory",
  LIBP2P,
  async () => {
    const sides = muxers([batchingYamux, batchingYamux]);
    const seen = Promise.withResolvers<Uint8Array>();
    sides.server.addEventListener("stream", ({ detail }) => seen.resolve(readToEnd(detail)));
    const stream = await sides.client.createStream();
    const memory = new Uint8Array(100).fill(1);
    stream.send(memory);
    memory.fill(2);
    await stream.close();
    assertEquals(await seen.promise, new Uint8Array(100).fill(1));
    await sides.client.close();
  },
);

Deno.test("batchingYamux() sends a quarter of the messages of libp2p's Yamux", LIBP2P, async () => {
  const count = async (create: CreateYamux): Promise<number> => {
    const sides = muxers([create, create]);
    await echo(sides, Array.from({ length: 8 }, () => new Uint8Array(50)));
    await sides.client.close();
    return sides.sent[0]! + sides.sent[1]!;
  };
  // One message with all data and the FIN from each side, and both GoAway.
  const few = await count(batchingYamux);
  assert(few <= 4, `${few}`);
  assert(await count(yamux as CreateYamux) >= 4 * few);
});

Deno.test("batchingYamux() flushes its batch before GoAway", LIBP2P, async () => {
  const sides = muxers([batchingYamux, batchingYamux]);
  const seen = Promise.withResolvers<Uint8Array>();
  sides.server.addEventListener("stream", ({ detail }) => {
    void detail.close();
    seen.resolve(readToEnd(detail));
  });
  const stream = await sides.client.createStream();
  stream.send(new Uint8Array([7]));
  await sides.client.close();
  assertEquals(await seen.promise, new Uint8Array([7]));
});

/** Largest receive window of a stream, a private field of Yamux. */
function windowOf(stream: Stream): unknown {
  return (stream as unknown as { maxStreamWindowSize?: number }).maxStreamWindowSize;
}

Deno.test(
  "streams over QUIC on loopback have a small receive window at both ends",
  LIBP2P,
  async () => {
    await using net = new TestNet();
    const server = await net.start();
    let accepted = Promise.withResolvers<Stream>();
    await server.handle(WINDOW_PROTOCOL, (stream) => accepted.resolve(stream));
    const windows: Record<string, unknown> = {};
    for (const transport of ["tcp", "quic"] as const) {
      accepted = Promise.withResolvers<Stream>();
      const client = await net.startClient();
      const stream = await client.dialProtocol(addressOf(server, transport), WINDOW_PROTOCOL);
      windows[transport] = [windowOf(stream), windowOf(await accepted.promise)];
    }
    assertEquals(windows, { tcp: [2 ** 21, 2 ** 21], quic: [2 ** 18, 2 ** 18] });
  },
);
