import { connect, type Socket } from "node:net";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { PlasmError } from "../../lib/core/errors/errors.ts";
import { ephemeralIdentity } from "../../lib/core/identity.ts";
import { forEachLimited } from "../../lib/util/async/mod.ts";
import { CERTIFICATE, SERVER_NAME } from "../../lib/p2p/transports/quic.ts";
import { concat } from "../../lib/util/bytes.ts";
import { addressOf, LIBP2P, Recorder, TestNet } from "../fixtures/p2p/nodes.ts";

const PROTOCOL = "/plasm/test/1.0.0";

/** TCP proxy that can modify bytes from the server. */
function proxy(
  target: Deno.ConnectOptions,
  change: (data: Uint8Array, count: number) => void,
): AsyncDisposable & { port: number } {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const open: Deno.TcpConn[] = [];
  const pump = async (from: Deno.TcpConn, to: Deno.TcpConn, isFromServer: boolean) => {
    const buffer = new Uint8Array(65536);
    let count = 0;
    try {
      for (;;) {
        const length = await from.read(buffer);
        if (length === null) break;
        const data = buffer.slice(0, length);
        if (isFromServer) change(data, count);
        count += length;
        await to.write(data);
      }
      await to.closeWrite();
    } catch {
      // Closed by either side.
    }
  };
  const serving = (async () => {
    for await (const client of listener) {
      const server = await Deno.connect(target);
      open.push(client, server);
      void pump(client, server, false);
      void pump(server, client, true);
    }
  })().catch(() => {});
  return {
    port: (listener.addr as Deno.NetAddr).port,
    async [Symbol.asyncDispose]() {
      listener.close();
      for (const socket of open) {
        try {
          socket.close();
        } catch {
          // Closed by the peer.
        }
      }
      await serving;
    },
  };
}

function netAddr(multiaddr: string): { hostname: string; port: number } {
  const [, , hostname, , port] = multiaddr.split("/");
  return { hostname: hostname!, port: Number(port) };
}

Deno.test("dialProtocol() connects through a passive proxy", LIBP2P, async () => {
  await using net = new TestNet();
  const server = await net.start();
  const served = Promise.withResolvers<string>();
  await server.handle(PROTOCOL, (stream, { peerId }) => {
    served.resolve(peerId);
    return stream.close();
  });
  await using man = proxy(netAddr(addressOf(server, "tcp")), () => {});
  const client = await net.startClient();
  const address = `/ip4/127.0.0.1/tcp/${man.port}/p2p/${server.peerId}`;
  const stream = await client.dialProtocol(address, PROTOCOL);
  assertEquals(await served.promise, client.peerId);
  await stream.close();
});

Deno.test(
  "dialProtocol() rejects a connection on which a proxy changes a byte",
  LIBP2P,
  async () => {
    await using net = new TestNet();
    const server = await net.start();
    await server.handle(PROTOCOL, (stream) => stream.close());
    const client = await net.startClient();
    // The first 60 bytes negotiate /noise in plaintext; the handshake's response follows.
    await using man = proxy(netAddr(addressOf(server, "tcp")), (data, count) => {
      if (count <= 60 && count + data.length > 60) data[data.length - 1]! ^= 1;
    });
    const address = `/ip4/127.0.0.1/tcp/${man.port}/p2p/${server.peerId}`;
    const error = await assertRejects(() => client.dialProtocol(address, PROTOCOL), PlasmError);
    assertEquals(error.code, "no-peer");
    assertEquals(client.peers(), []);
  },
);

for (const transport of ["tcp", "quic"] as const) {
  Deno.test(
    `dialProtocol() rejects a peer with a different id over ${transport}`,
    LIBP2P,
    async () => {
      await using net = new TestNet();
      const server = await net.start();
      await server.handle(PROTOCOL, (stream) => stream.close());
      const { peerId } = await ephemeralIdentity();
      const client = await net.startClient();
      const address = addressOf(server, transport).replace(server.peerId, peerId);
      const error = await assertRejects(() => client.dialProtocol(address, PROTOCOL), PlasmError);
      assertEquals(error.code, "no-peer");
      assert(/another peer answers/.test(error.message), error.message);
      assertEquals(client.peers(), []);
    },
  );
}

/** Encodes multistream-select frames: a length and a line each. */
function lines(...texts: string[]): Uint8Array {
  return new TextEncoder().encode(
    texts.map((text) => String.fromCharCode(text.length + 1) + text + "\n").join(""),
  );
}

Deno.test("dialProtocol() rejects a peer that offers only plaintext", LIBP2P, async () => {
  await using net = new TestNet();
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const received = (async () => {
    const socket = await listener.accept();
    // Accepts multistream-select, then supports nothing but plaintext.
    await socket.write(lines("/multistream/1.0.0", "na", "/plaintext/2.0.0"));
    let text = "";
    const buffer = new Uint8Array(1024);
    for (let count; (count = await socket.read(buffer).catch(() => null)) !== null;) {
      text += new TextDecoder().decode(buffer.subarray(0, count));
    }
    socket.close();
    return text;
  })();
  const { peerId } = await ephemeralIdentity();
  const client = await net.startClient();
  const address = `/ip4/127.0.0.1/tcp/${(listener.addr as Deno.NetAddr).port}/p2p/${peerId}`;
  await assertRejects(() => client.dialProtocol(address, PROTOCOL), PlasmError, "Cannot reach");
  listener.close();
  assert(!(await received).includes("plaintext"));
});

Deno.test("a node rejects a peer that requests plaintext", LIBP2P, async () => {
  await using net = new TestNet();
  const server = await net.start();
  const socket = await Deno.connect(netAddr(addressOf(server, "tcp")));
  await socket.write(lines("/multistream/1.0.0", "/plaintext/2.0.0"));
  let response = "";
  const buffer = new Uint8Array(1024);
  while (!response.includes("na\n")) {
    const count = await socket.read(buffer);
    assert(count !== null, `connection closed after ${JSON.stringify(response)}`);
    response += new TextDecoder().decode(buffer.subarray(0, count));
  }
  assert(!response.includes("plaintext"));
  assertEquals(server.peers(), []);
  socket.close();
});

Deno.test(
  "a node enforces deny and allow lists for peers, addresses and live changes",
  LIBP2P,
  async () => {
    await using net = new TestNet();
    const seen = new Recorder();
    const server = await net.start({ log: seen.log });
    await server.handle(PROTOCOL, (stream) => stream.close());
    const client = await net.startClient();
    const dial = () => client.dialProtocol(addressOf(server, "tcp"), PROTOCOL);

    for (
      const lists of [
        { deny: [client.peerId] },
        { allow: [(await ephemeralIdentity()).peerId] },
        { deny: ["127.0.0.0/8"] },
        { allow: ["10.0.0.0/8"] },
        { allow: [client.peerId], deny: [client.peerId] },
      ]
    ) {
      server.setAccessLists(lists);
      const before = seen.events.length;
      await assertRejects(dial, PlasmError, "Cannot reach", JSON.stringify(lists));
      await seen.until((event) =>
        seen.events.indexOf(event) >= before && event.event === "refused" &&
        event.error_code === "policy"
      );
    }
    server.setAccessLists({ allow: [client.peerId, "127.0.0.1"], deny: ["10.0.0.0/8"] });
    const stream = await dial();
    await stream.close();
    const error = await assertRejects(
      () => Promise.reject(tryLists(server, ["nonsense"])),
      PlasmError,
    );
    assertEquals(error.code, "bad-config");
  },
);

function tryLists(
  server: { setAccessLists(lists: { deny: string[] }): void },
  deny: string[],
): unknown {
  try {
    server.setAccessLists({ deny });
    return undefined;
  } catch (error) {
    return error;
  }
}

Deno.test("a node disconnects a peer over its rate limit and no other", LIBP2P, async () => {
  await using net = new TestNet();
  const seen = new Recorder();
  const server = await net.start({ log: seen.log });
  await server.handle(PROTOCOL, (stream) => stream.close(), { burst: 2, perSecond: 0.001 });
  const [greedy, modest] = [await net.startClient(), await net.startClient()];
  for (let i = 0; i < 3; i++) await greedy.dialProtocol(addressOf(server, "tcp"), PROTOCOL);
  const refused = await seen.until(({ event }) => event === "refused");
  assertEquals({ peerId: refused.peer_id, errorCode: refused.error_code }, {
    peerId: greedy.peerId,
    errorCode: "over-limit",
  });
  const stream = await modest.dialProtocol(addressOf(server, "tcp"), PROTOCOL);
  await stream.close();
  assertEquals(seen.events.filter(({ event }) => event === "refused").length, 1);
});

/** Start of a Noise handshake as multistream-select frames: both protocol names and a first message. */
function handshakeStart(): Uint8Array {
  const frame = (text: string): Uint8Array => new TextEncoder().encode(`${text}\n`);
  const lines = ["/multistream/1.0.0", "/noise"].map(frame);
  const key = crypto.getRandomValues(new Uint8Array(32));
  return concat([
    ...lines.flatMap((line) => [Uint8Array.of(line.length), line]),
    Uint8Array.of(0, 32),
    key,
  ]);
}

/** Opens a connection that stops within its handshake; resolves when the node has responded or closed it. */
async function stallHandshake(port: number, localAddress: string): Promise<Socket> {
  const socket = connect({ host: "127.0.0.1", port, localAddress });
  const { promise, resolve } = Promise.withResolvers<void>();
  for (const event of ["data", "close", "error"]) socket.on(event, () => resolve());
  socket.write(handshakeStart());
  await promise;
  return socket;
}

/** Addresses in 127.0.0.0/8 that spread over networks. */
function loopbackAddresses(count: number, networks: number): string[] {
  return Array.from({ length: count }, (_, n) => {
    const network = 1 + n % networks;
    return `127.${network >> 8}.${network & 255}.${1 + Math.floor(n / networks) % 250}`;
  });
}

for (
  const [name, networks] of [
    ["a node completes handshakes while 500 addresses of two networks stall theirs", 2],
    ["a node completes handshakes while 500 networks stall theirs", 500],
  ] as const
) {
  Deno.test(name, LIBP2P, async () => {
    await using net = new TestNet();
    const server = await net.start();
    await server.handle(PROTOCOL, (stream) => stream.close());
    const { port } = netAddr(addressOf(server, "tcp"));
    await using resources = new AsyncDisposableStack();
    const task = async (address: string): Promise<void> => {
      const socket = await stallHandshake(port, address);
      resources.defer(() => void socket.destroy());
    };
    await forEachLimited(loopbackAddresses(500, networks), { limit: 50, task });
    const client = await net.startClient();
    for (const transport of ["tcp", "quic"] as const) {
      const stream = await client.dialProtocol(addressOf(server, transport), PROTOCOL);
      await stream.close();
    }
  });
}

/** Starts QUIC handshakes from an address that never receives the node's packets. */
async function stallQuic(
  server: Deno.NetAddr,
  { hostname, count, resources }: {
    hostname: string;
    count: number;
    resources: AsyncDisposableStack;
  },
): Promise<void> {
  const relay = Deno.listenDatagram({ transport: "udp", hostname, port: 0 });
  resources.defer(() => relay.close());
  const endpoint = new Deno.QuicEndpoint({ hostname, port: 0 });
  resources.defer(() => endpoint.close());
  for (let n = 0; n < count; n++) {
    const dial = Deno.connectQuic<false>({
      endpoint,
      hostname,
      port: (relay.addr as Deno.NetAddr).port,
      serverName: SERVER_NAME,
      caCerts: [CERTIFICATE],
      alpnProtocols: ["plasm/1"],
    });
    dial.catch(() => {}); // ends with the endpoint
    // Forwards the client's packets until the node responds, and drops the response.
    while (true) {
      const [packet, from] = await relay.receive();
      if ((from as Deno.NetAddr).port === server.port) break;
      await relay.send(packet, server);
    }
  }
}

Deno.test("a node completes QUIC handshakes while ten networks stall theirs", LIBP2P, async () => {
  await using net = new TestNet();
  const server = await net.start();
  await server.handle(PROTOCOL, (stream) => stream.close());
  const address = addressOf(server, "quic");
  const target: Deno.NetAddr = { transport: "udp", ...netAddr(address) };
  await using resources = new AsyncDisposableStack();
  await Promise.all(
    loopbackAddresses(10, 10).map((hostname) =>
      stallQuic(target, { hostname, count: 30, resources })
    ),
  );
  const client = await net.startClient();
  const stream = await client.dialProtocol(address, PROTOCOL);
  await stream.close();
});

Deno.test("a node closes a peer's connections beyond the limit", LIBP2P, async () => {
  await using net = new TestNet();
  const seen = new Recorder();
  const server = await net.start({ log: seen.log, limits: { connectionsPerPeer: 2 } });
  const identity = await ephemeralIdentity();
  for (let i = 0; i < 3; i++) {
    const client = await net.startClient({ identity, bootstrap: [addressOf(server, "tcp")] });
    assertEquals(client.peerId, identity.peerId);
  }
  const refused = await seen.until(({ event }) => event === "refused");
  assertEquals({ peerId: refused.peer_id, errorCode: refused.error_code }, {
    peerId: identity.peerId,
    errorCode: "over-limit",
  });
  assertEquals(refused.reason, "asked 3 connections, allowed 2");
});

Deno.test("a node that announces a public address is reported as reachable", LIBP2P, async () => {
  await using net = new TestNet();
  const open = await net.start({ announce: ["/ip4/11.0.0.9/tcp/4001"] });
  assertEquals(open.reachability(), {
    status: "public",
    by: "direct",
    addresses: ["/ip4/11.0.0.9/tcp/4001"],
  });
  const closed = await net.start({ nat: { autonat: true, relay: false } });
  assertEquals(closed.reachability(), { status: "unknown", by: null, addresses: [] });
  const client = await net.startClient();
  assertEquals(client.reachability().status, "private");
});
