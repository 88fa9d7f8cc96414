/**
 * One set of tests that every transport passes.
 * @module
 */
import { assert, assertEquals, assertGreater, assertLess, assertRejects } from "@std/assert";
import { noise, pureJsCrypto } from "@chainsafe/libp2p-noise";
import { yamux } from "@libp2p/yamux";
import { createLibp2p, type Libp2p } from "libp2p";
import type {
  Connection,
  Listener,
  MultiaddrConnection,
  Stream,
  Transport,
  Upgrader,
} from "@libp2p/interface";
import { type Multiaddr, multiaddr } from "@multiformats/multiaddr";
import { bytes, readAll, sendAll, sha256 } from "./bytes.ts";
import { LIBP2P } from "./helpers.ts";
import { SILENT_LOGGER } from "../../lib/network/silent_logger.ts";
import type { TransportComponents } from "../../lib/network/transports/tcp.ts";

/** What the set needs to know of a transport. */
export interface TransportUnderTest {
  name: string;
  create: () => (components: TransportComponents) => Transport;
  /** Listens on loopback, the system's choice of port. */
  listen: string;
  /** Addresses it must take. */
  accepts: string[];
  /** Addresses it must leave to others. */
  refuses: string[];
  /** Where nobody listens. */
  dead: string;
  /** Whether close() frees the port at once. */
  freesPort: boolean;
}

/** libp2p gives a close 5 s to send the rest; a slow machine under coverage takes longer. */
const UNHURRIED_MS = 300_000;

const PROTOCOL = "/test/1.0.0";
const MIB = 1024 * 1024;

interface Pair {
  listener: Listener;
  dialed: MultiaddrConnection;
  accepted: MultiaddrConnection;
}

/** An upgrader that leaves the raw connection as it is. */
function rawUpgrader(onInbound: (connection: MultiaddrConnection) => void): Upgrader {
  return {
    upgradeInbound: (connection: MultiaddrConnection) => {
      onInbound(connection);
      return Promise.resolve();
    },
    upgradeOutbound: (connection: MultiaddrConnection) =>
      Promise.resolve(connection as unknown as Connection),
  } as unknown as Upgrader;
}

async function rawPair(transport: Transport, listen: string): Promise<Pair> {
  const inbound = Promise.withResolvers<MultiaddrConnection>();
  const upgrader = rawUpgrader(inbound.resolve);
  const listener = transport.createListener({ upgrader });
  await listener.listen(multiaddr(listen));
  const { signal } = new AbortController();
  const dialed = await transport.dial(listener.getAddrs()[0]!, { upgrader, signal });
  const raw = dialed as unknown as MultiaddrConnection;
  raw.send(new Uint8Array([1])); // A QUIC stream is not seen before its first byte.
  const accepted = await inbound.promise;
  const first = await accepted[Symbol.asyncIterator]().next();
  assertEquals(first.value?.byteLength, 1);
  return { listener, dialed: raw, accepted };
}

function closed(connection: MultiaddrConnection): Promise<string> {
  if (["closed", "aborted", "reset"].includes(connection.status)) {
    return Promise.resolve(connection.status);
  }
  return new Promise((resolve) =>
    connection.addEventListener("close", () => resolve(connection.status), { once: true })
  );
}

async function makeNode(test: TransportUnderTest, listen: string[]): Promise<Libp2p> {
  return await createLibp2p({
    addresses: { listen },
    transports: [test.create()],
    connectionEncrypters: [noise({ crypto: pureJsCrypto })],
    streamMuxers: [yamux({ maxEarlyStreams: 128 })],
    logger: SILENT_LOGGER,
    connectionManager: { maxConnections: 300 },
    // A ping behind 64 MiB may take longer than the monitor's patience.
    connectionMonitor: { enabled: false },
  });
}

/** Two full nodes: Noise and Yamux over the transport. */
async function withNodes(
  test: TransportUnderTest,
  body: (nodes: { server: Libp2p; client: Libp2p; address: Multiaddr }) => Promise<void>,
): Promise<void> {
  const server = await makeNode(test, [test.listen]);
  const client = await makeNode(test, []);
  try {
    await body({ server, client, address: server.getMultiaddrs()[0]! });
  } finally {
    await client.stop();
    await server.stop();
  }
}

/** Registers the set. */
export function transportTests(test: TransportUnderTest): void {
  const make = (): Transport => test.create()({ logger: SILENT_LOGGER });
  const signal = (): AbortSignal => new AbortController().signal;

  Deno.test(`${test.name} listenFilter() and dialFilter() take only their own addresses`, () => {
    const transport = make();
    const all = [...test.accepts, ...test.refuses].map((text) => multiaddr(text));
    const taken = all.slice(0, test.accepts.length);
    assertEquals(transport.listenFilter(all), taken);
    assertEquals(transport.dialFilter(all), taken);
  });

  Deno.test(`${test.name} getAddrs() names the port the system chose`, async () => {
    const listener = make().createListener({ upgrader: rawUpgrader(() => {}) });
    assertEquals(listener.getAddrs(), []);
    await listener.listen(multiaddr(test.listen));
    const [address, ...others] = listener.getAddrs();
    assertEquals(others, []);
    const port = Number(address!.getComponents()[1]!.value);
    assertGreater(port, 0);
    assertEquals(address!.toString(), test.listen.replace("/0", `/${port}`));
    await listener.close();
    assertEquals(listener.getAddrs(), []);
  });

  Deno.test(`${test.name} listen() refuses a second address and one in use`, async () => {
    const transport = make();
    const upgrader = rawUpgrader(() => {});
    const listener = transport.createListener({ upgrader });
    await listener.listen(multiaddr(test.listen));
    await assertRejects(() => listener.listen(multiaddr(test.listen)), Error, "in use");
    const other = transport.createListener({ upgrader });
    await assertRejects(() => other.listen(listener.getAddrs()[0]!), Deno.errors.AddrInUse);
    await listener.close();
  });

  Deno.test(`${test.name} close() ends its connections, and it may listen again`, async () => {
    const transport = make();
    const { listener, dialed, accepted } = await rawPair(transport, test.listen);
    const address = listener.getAddrs()[0]!;
    const events: string[] = [];
    listener.addEventListener("close", () => events.push("close"));
    listener.addEventListener("listening", () => events.push("listening"));
    const gone = closed(dialed);
    await listener.close();
    await listener.close();
    assertEquals(accepted.status, "aborted");
    assert(["closed", "reset", "aborted"].includes(await gone));
    await listener.listen(test.freesPort ? address : multiaddr(test.listen));
    assertEquals(listener.getAddrs().length, 1);
    await listener.close();
    assertEquals(events, ["close", "listening", "close"]);
  });

  Deno.test(`${test.name} dial() rejects with an aborted signal's reason`, async () => {
    const transport = make();
    const upgrader = rawUpgrader(() => {});
    const reason = new Error("changed my mind");
    const dialled = transport.dial(multiaddr(test.dead), {
      upgrader,
      signal: AbortSignal.abort(reason),
    });
    assertEquals(await assertRejects(() => dialled), reason);
  });

  Deno.test(`${test.name} dial() gives up when its signal is aborted`, async () => {
    // The socket connects; the upgrade above it is where the signal finds it.
    const transport = make();
    const controller = new AbortController();
    const reason = new Error("changed my mind");
    const hanging = rawUpgrader(() => {});
    hanging.upgradeOutbound = ((_connection: unknown, options: { signal: AbortSignal }) => {
      controller.abort(reason);
      return new Promise((_resolve, reject) => reject(options.signal.reason));
    }) as Upgrader["upgradeOutbound"];
    const listener = transport.createListener({ upgrader: hanging });
    await listener.listen(multiaddr(test.listen));
    const dialled = transport.dial(listener.getAddrs()[0]!, {
      upgrader: hanging,
      signal: controller.signal,
    });
    assertEquals(await assertRejects(() => dialled), reason);
    await listener.close();
  });

  Deno.test(`${test.name} dial() of a dead port rejects`, async () => {
    const upgrader = rawUpgrader(() => {});
    await assertRejects(() => make().dial(multiaddr(test.dead), { upgrader, signal: signal() }));
  });

  Deno.test(`${test.name} close() delivers what was written before`, async () => {
    const { listener, dialed, accepted } = await rawPair(make(), test.listen);
    const data = bytes(4 * MIB, 1);
    const received = readAll(accepted);
    dialed.send(data);
    await dialed.close();
    assertEquals(dialed.status, "closed");
    assertEquals(await sha256(await received), await sha256(data));
    assertEquals(await closed(accepted), "closed");
    await listener.close();
  });

  Deno.test(`${test.name} abort() ends the other side too`, async () => {
    const { listener, dialed, accepted } = await rawPair(make(), test.listen);
    const other = closed(accepted);
    dialed.abort(new Error("enough"));
    assertEquals(dialed.status, "aborted");
    assert(["reset", "closed"].includes(await other));
    await listener.close();
  });

  Deno.test(`${test.name} a peer that does not read stops the writer`, async () => {
    const { listener, dialed, accepted } = await rawPair(make(), test.listen);
    accepted.pause();
    const chunk = bytes(MIB, 2);
    let sent = 0;
    // No socket buffer here holds this much; without back-pressure send() would stay true.
    while (sent < 256 && dialed.send(chunk)) sent++;
    assertLess(sent, 256);
    assert(dialed.writableNeedsDrain);
    assertLess(accepted.readBufferLength, 2 * MIB);
    const received = readAll(accepted);
    accepted.resume();
    await dialed.onDrain();
    await dialed.close();
    assertEquals((await received).byteLength, (sent + 1) * MIB);
    await listener.close();
  });

  Deno.test(`${test.name} a stream closed for writing still reads`, LIBP2P, async () => {
    await withNodes(test, async ({ server, client, address }) => {
      await server.handle(PROTOCOL, async (stream) => {
        const asked = await readAll(stream);
        stream.send(asked.toReversed());
        await stream.close();
      });
      const stream = await client.dialProtocol(address, PROTOCOL);
      stream.send(new Uint8Array([1, 2, 3]));
      const answer = readAll(stream);
      await stream.close();
      assertEquals(await answer, new Uint8Array([3, 2, 1]));
    });
  });

  Deno.test(`${test.name} a stream's reset leaves its neighbours alone`, LIBP2P, async () => {
    await withNodes(test, async ({ server, client, address }) => {
      const streams: Stream[] = [];
      const opened = Promise.withResolvers<void>();
      await server.handle(PROTOCOL, (stream) => {
        streams.push(stream);
        if (streams.length === 2) opened.resolve();
      });
      const first = await client.dialProtocol(address, PROTOCOL);
      const second = await client.dialProtocol(address, PROTOCOL);
      await opened.promise;
      const reset = new Promise<Event>((resolve) => streams[0]!.addEventListener("close", resolve));
      first.abort(new Error("enough"));
      await reset;
      assertEquals(streams[0]!.status, "reset");
      const received = readAll(streams[1]!);
      second.send(new Uint8Array([7]));
      await second.close();
      assertEquals(await received, new Uint8Array([7]));
      await streams[1]!.close();
    });
  });

  Deno.test(`${test.name} carries a hundred streams at once`, LIBP2P, async () => {
    await withNodes(test, async ({ server, client, address }) => {
      await server.handle(PROTOCOL, async (stream) => {
        const data = await readAll(stream);
        await sendAll(stream, data);
        await stream.close();
      }, { maxInboundStreams: 128 });
      const connection = await client.dial(address);
      const answers = Array.from({ length: 100 }, async (_, index) => {
        const stream = await connection.newStream(PROTOCOL, { maxOutboundStreams: 128 });
        const data = bytes(4096, index + 1);
        const answer = readAll(stream);
        await sendAll(stream, data);
        await stream.close();
        assertEquals(await answer, data);
      });
      await Promise.all(answers);
    });
  });

  Deno.test(`${test.name} carries 64 MiB each way, unchanged`, LIBP2P, async () => {
    await withNodes(test, async ({ server, client, address }) => {
      const up = bytes(64 * MIB, 3);
      const down = bytes(64 * MIB, 4);
      const received = Promise.withResolvers<string>();
      await server.handle(PROTOCOL, async (stream) => {
        const reading = readAll(stream).then(sha256).then(received.resolve, received.reject);
        await sendAll(stream, down);
        await stream.close({ signal: AbortSignal.timeout(UNHURRIED_MS) });
        await reading;
      });
      const stream = await client.dialProtocol(address, PROTOCOL);
      const reading = readAll(stream).then(sha256);
      await sendAll(stream, up);
      await stream.close({ signal: AbortSignal.timeout(UNHURRIED_MS) });
      assertEquals(await reading, await sha256(down));
      assertEquals(await received.promise, await sha256(up));
    });
  });
}
