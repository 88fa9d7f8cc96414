import { assertEquals } from "@std/assert";
import { pbStream } from "@libp2p/utils";
import { createLibp2p, type Libp2p } from "libp2p";
import { ephemeralIdentity } from "../../../lib/core/identity.ts";
import { createConnectionGater } from "../../../lib/p2p/access/connection_gater.ts";
import { createNode } from "../../../lib/p2p/libp2p_node.ts";
import { SILENT_LOGGER } from "../../../lib/p2p/network_events.ts";
import { noiseEncryption } from "../../../lib/p2p/patches/noise_crypto.ts";
import { batchingYamux } from "../../../lib/p2p/patches/yamux.ts";
import { tcp } from "../../../lib/p2p/transports/tcp.ts";
import { LIBP2P } from "../../fixtures/p2p/nodes.ts";

// https://github.com/libp2p/specs/blob/master/relay/circuit-v2.md
const HOP = "/libp2p/circuit/relay/0.2.0/hop";
const STOP = "/libp2p/circuit/relay/0.2.0/stop";
/** `type` RESERVE of the hop protocol. */
const RESERVE = [0x08, 0];
/** `type` CONNECT of the hop protocol, followed by a `peer` with this many bytes. */
const connect = (length: number) => [0x08, 1, 0x12, length];
/** `type` STATUS and `status` OK of the stop protocol. */
const STOP_OK = [0x08, 1, 0x20, 100];

/** Numbers and nested fields of a protobuf message, by field number. */
type Fields = Map<number, number | Uint8Array>;

function decodeFields(bytes: Uint8Array): Fields {
  const fields: Fields = new Map();
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let scale = 1;; scale *= 128) {
      const byte = bytes[at++]!;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const value = varint();
    if (tag % 8 === 0) fields.set(tag >> 3, value);
    else fields.set(tag >> 3, bytes.subarray(at, at += value));
  }
  return fields;
}

/** Raw protobuf messages: what the codec would encode stays as it is. */
const RAW = {
  encode: (bytes: Uint8Array) => bytes,
  decode: (bytes: Uint8Array | { subarray(): Uint8Array }) => bytes.subarray(),
};

async function makeClient(): Promise<Libp2p> {
  const client = await createLibp2p({
    transports: [tcp()],
    connectionEncrypters: [noiseEncryption()],
    streamMuxers: [batchingYamux({})],
    logger: SILENT_LOGGER,
  });
  await client.start();
  return client;
}

Deno.test("a relay sends its duration limit in seconds in each message", LIBP2P, async () => {
  await using stack = new AsyncDisposableStack();
  const { secretKey } = await ephemeralIdentity();
  const { libp2p: relay } = await createNode({
    secretKey,
    listen: ["/ip4/127.0.0.1/tcp/0"],
    announce: [],
    mode: "server",
    allowPrivate: true,
    mdns: false,
    nat: { autonat: false, relay: false },
    limits: {},
    gater: createConnectionGater({ emit: () => {} }),
  });
  await relay.start();
  stack.defer(async () => await relay.stop());
  const [target, source] = [await makeClient(), await makeClient()];
  for (const client of [target, source]) stack.defer(async () => await client.stop());
  const [address] = relay.getMultiaddrs();
  const signal = AbortSignal.timeout(30_000);

  const stopRequest = Promise.withResolvers<Fields>();
  await target.handle(STOP, async (stream) => {
    const messages = pbStream(stream).pb(RAW);
    stopRequest.resolve(decodeFields(await messages.read({ signal })));
    await messages.write(new Uint8Array(STOP_OK), { signal });
  }, { runOnLimitedConnection: true });

  /** Sends a hop request and returns the response. */
  const request = async (client: Libp2p, message: number[]): Promise<Fields> => {
    const messages = pbStream(await client.dialProtocol(address!, HOP, { signal })).pb(RAW);
    await messages.write(new Uint8Array(message), { signal });
    return decodeFields(await messages.read({ signal }));
  };
  const reserved = await request(target, RESERVE);
  const id = target.peerId.toMultihash().bytes;
  const connected = await request(source, [...connect(id.length + 2), 0x0a, id.length, ...id]);

  const hasLimit = (fields: Fields, field: number) => {
    const limit = decodeFields(fields.get(field) as Uint8Array);
    return { seconds: limit.get(1), bytes: limit.get(2) };
  };
  const expected = { seconds: 600, bytes: 64 * 2 ** 20 };
  assertEquals(hasLimit(reserved, 4), expected);
  assertEquals(hasLimit(await stopRequest.promise, 3), expected);
  assertEquals({ status: connected.get(5), ...hasLimit(connected, 4) }, {
    status: 100,
    ...expected,
  });
  // The relay's timer has milliseconds.
  const { reservations } = relay.services.relay as unknown as {
    reservations: Iterable<[unknown, { limit: { duration: number } }]>;
  };
  assertEquals([...reservations].map(([, { limit }]) => limit.duration), [600_000]);
});
