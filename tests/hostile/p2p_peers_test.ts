import { assert, assertEquals, assertRejects } from "@std/assert";
import { PlasmError } from "../../lib/core/errors/errors.ts";
import { ephemeralIdentity } from "../../lib/core/identity.ts";
import { addressOf, LIBP2P, Recorder, TestNet } from "../fixtures/p2p/nodes.ts";

const PROTOCOL = "/plasm/test/1.0.0";

/** Copies bytes between a client and a TCP port, changing what comes from the server. */
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
      // Either side hung up.
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
          // Closed by its peer's end.
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

Deno.test("dialProtocol() goes through a man who only watches", LIBP2P, async () => {
  await using net = new TestNet();
  const server = await net.start();
  const served = Promise.withResolvers<string>();
  await server.handle(PROTOCOL, (stream, peerId) => {
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

Deno.test("dialProtocol() refuses a man in the middle who changes a byte", LIBP2P, async () => {
  await using net = new TestNet();
  const server = await net.start();
  await server.handle(PROTOCOL, (stream) => stream.close());
  const client = await net.startClient();
  // The first 60 bytes negotiate /noise in the clear; the handshake's answer follows them.
  await using man = proxy(netAddr(addressOf(server, "tcp")), (data, count) => {
    if (count <= 60 && count + data.length > 60) data[data.length - 1]! ^= 1;
  });
  const address = `/ip4/127.0.0.1/tcp/${man.port}/p2p/${server.peerId}`;
  const error = await assertRejects(() => client.dialProtocol(address, PROTOCOL), PlasmError);
  assertEquals(error.code, "no-peer");
  assertEquals(client.peers(), []);
});

for (const transport of ["tcp", "quic"] as const) {
  Deno.test(`dialProtocol() refuses a peer of another id by ${transport}`, LIBP2P, async () => {
    await using net = new TestNet();
    const server = await net.start();
    await server.handle(PROTOCOL, (stream) => stream.close());
    const { peerId } = await ephemeralIdentity();
    const client = await net.startClient();
    const address = addressOf(server, transport).replace(server.peerId, peerId);
    const error = await assertRejects(() => client.dialProtocol(address, PROTOCOL), PlasmError);
    assertEquals(error.code, "no-peer");
    assert(/identity|peer id|match/i.test(error.message), error.message);
    assertEquals(client.peers(), []);
  });
}

/** multistream-select frames: a length and a line. */
function lines(...texts: string[]): Uint8Array {
  return new TextEncoder().encode(
    texts.map((text) => String.fromCharCode(text.length + 1) + text + "\n").join(""),
  );
}

Deno.test("dialProtocol() refuses a peer that speaks only plaintext", LIBP2P, async () => {
  await using net = new TestNet();
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const answered = (async () => {
    const socket = await listener.accept();
    // Agrees to the negotiation, then has none of what is asked for but plaintext.
    await socket.write(lines("/multistream/1.0.0", "na", "/plaintext/2.0.0"));
    let asked = "";
    const buffer = new Uint8Array(1024);
    for (let count; (count = await socket.read(buffer).catch(() => null)) !== null;) {
      asked += new TextDecoder().decode(buffer.subarray(0, count));
    }
    socket.close();
    return asked;
  })();
  const { peerId } = await ephemeralIdentity();
  const client = await net.startClient();
  const address = `/ip4/127.0.0.1/tcp/${(listener.addr as Deno.NetAddr).port}/p2p/${peerId}`;
  await assertRejects(() => client.dialProtocol(address, PROTOCOL), PlasmError, "Cannot reach");
  listener.close();
  assert(!(await answered).includes("plaintext"));
});

Deno.test("a peer that asks for plaintext is turned away", LIBP2P, async () => {
  await using net = new TestNet();
  const server = await net.start();
  const socket = await Deno.connect(netAddr(addressOf(server, "tcp")));
  await socket.write(lines("/multistream/1.0.0", "/plaintext/2.0.0"));
  let answer = "";
  const buffer = new Uint8Array(1024);
  while (!answer.includes("na\n")) {
    const count = await socket.read(buffer);
    assert(count !== null, `connection ended after ${JSON.stringify(answer)}`);
    answer += new TextDecoder().decode(buffer.subarray(0, count));
  }
  assert(!answer.includes("plaintext"));
  assertEquals(server.peers(), []);
  socket.close();
});

Deno.test("deny and allow lists hold for peers, addresses and live changes", LIBP2P, async () => {
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
    server.setLists(lists);
    const before = seen.events.length;
    await assertRejects(dial, PlasmError, "Cannot reach", JSON.stringify(lists));
    await seen.until((event) =>
      seen.events.indexOf(event) >= before && event.event === "refused" &&
      event.error_code === "policy"
    );
  }
  server.setLists({ allow: [client.peerId, "127.0.0.1"], deny: ["10.0.0.0/8"] });
  const stream = await dial();
  await stream.close();
  const error = await assertRejects(
    () => Promise.reject(tryLists(server, ["nonsense"])),
    PlasmError,
  );
  assertEquals(error.code, "bad-config");
});

function tryLists(server: { setLists(lists: { deny: string[] }): void }, deny: string[]): unknown {
  try {
    server.setLists({ deny });
    return undefined;
  } catch (error) {
    return error;
  }
}

Deno.test("a peer over its rate is cut off, and others are not", LIBP2P, async () => {
  await using net = new TestNet();
  const seen = new Recorder();
  const server = await net.start({ log: seen.log });
  await server.handle(PROTOCOL, (stream) => stream.close(), { burst: 2, perSecond: 0.001 });
  const [greedy, modest] = [await net.startClient(), await net.startClient()];
  for (let i = 0; i < 3; i++) await greedy.dialProtocol(addressOf(server, "tcp"), PROTOCOL);
  const refused = await seen.until(({ event }) => event === "refused");
  assertEquals([refused.peer_id, refused.error_code], [greedy.peerId, "over-limit"]);
  const stream = await modest.dialProtocol(addressOf(server, "tcp"), PROTOCOL);
  await stream.close();
  assertEquals(seen.events.filter(({ event }) => event === "refused").length, 1);
});

Deno.test("a peer's connections beyond the limit are closed", LIBP2P, async () => {
  await using net = new TestNet();
  const seen = new Recorder();
  const server = await net.start({ log: seen.log, limits: { connectionsPerPeer: 2 } });
  const identity = await ephemeralIdentity();
  for (let i = 0; i < 3; i++) {
    const client = await net.startClient({ identity, bootstrap: [addressOf(server, "tcp")] });
    assertEquals(client.peerId, identity.peerId);
  }
  const refused = await seen.until(({ event }) => event === "refused");
  assertEquals([refused.peer_id, refused.error_code], [identity.peerId, "over-limit"]);
  assertEquals(refused.reason, "asked 3 connections, allowed 2");
});

Deno.test("a node that announces a public address counts as reachable", LIBP2P, async () => {
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
