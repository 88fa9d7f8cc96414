import { assert, assertEquals, assertGreater, assertLess, assertRejects } from "@std/assert";
import { tempDir } from "../../fixtures/temp_dir.ts";
import { PlasmError } from "../../../lib/core/errors/errors.ts";
import { ephemeralIdentity } from "../../../lib/core/identity.ts";
import { CAPABILITY_PROTOCOL } from "../../../lib/p2p/discovery/capability.ts";
import { KAD_PROTOCOL } from "../../../lib/p2p/libp2p_node.ts";
import { PEERS_FILE, REPUTATION_FILE } from "../../../lib/p2p/state/peer_state.ts";
import { FIELDS } from "../../fixtures/p2p/identities.ts";
import { addressOf, LIBP2P, Recorder, TestNet } from "../../fixtures/p2p/nodes.ts";

function portOf(multiaddr: string): number {
  return Number(multiaddr.split("/")[4]);
}

Deno.test("a dial prefers QUIC when both transports are reachable", LIBP2P, async () => {
  await using net = new TestNet();
  const seen = new Recorder();
  const server = await net.start();
  await server.publish(FIELDS);
  const boot = await net.start({ bootstrap: [addressOf(server, "tcp")], log: seen.log });
  await seen.until(({ event }) => event === "bootstrap");
  // The client learns both addresses from the DHT.
  const client = await net.startClient({ bootstrap: [addressOf(boot, "tcp")] });
  const candidate = await client.queryPeer(server.peerId);
  assertEquals(candidate.transport, "quic");
});

Deno.test("a dial falls back to TCP when UDP fails", LIBP2P, async () => {
  await using temp = await tempDir();
  const stateDir = temp.path;
  await using net = new TestNet();
  const server = await net.start({ listen: ["/ip4/127.0.0.1/tcp/0"] });
  // QUIC is tried first, on a port without a listener.
  const addresses = ["/ip4/127.0.0.1/udp/1/noise", addressOf(server, "tcp")];
  const peers = [{ id: server.peerId, addresses, last_seen: 1 }];
  await Deno.writeTextFile(`${stateDir}/${PEERS_FILE}`, JSON.stringify({ version: 1, peers }));
  const seen = new Recorder();
  const client = await net.startClient({ stateDir, log: seen.log });
  const connected = await seen.until(({ event }) => event === "connect");
  assertEquals({ peerId: connected.peer_id, transport: connected.transport }, {
    peerId: server.peerId,
    transport: "tcp",
  });
  assertEquals(client.peers().map(({ transport, path }) => [transport, path]), [[
    "tcp",
    "direct",
  ]]);
});

Deno.test("a node reconnects to its peers without a bootstrap node", LIBP2P, async () => {
  await using temp = await tempDir();
  const stateDir = temp.path;
  await using net = new TestNet();
  const friend = await net.start();
  const seen = new Recorder();
  const node = await net.start({
    stateDir,
    bootstrap: [addressOf(friend, "tcp")],
    log: seen.log,
  });
  await seen.until(({ event }) => event === "bootstrap");
  await node.stop();
  const { mode } = await Deno.stat(`${stateDir}/${PEERS_FILE}`);
  assertEquals(mode! & 0o777, 0o600);

  const again = new Recorder();
  await net.start({ stateDir, log: again.log });
  const restored = await again.until(({ event }) => event === "peer-store");
  assertEquals({ count: restored.count, errorCode: restored.error_code }, {
    count: 1,
    errorCode: undefined,
  });
  await again.until(({ event, peer_id }) => event === "connect" && peer_id === friend.peerId);
});

for (
  const [what, content] of [["invalid JSON", "{"], ["an unknown version", '{"version":9}'], [
    "no content",
    "",
  ]]
) {
  Deno.test(`a node replaces a state file with ${what}`, LIBP2P, async () => {
    await using temp = await tempDir();
    const stateDir = temp.path;
    await using net = new TestNet();
    for (const file of [PEERS_FILE, REPUTATION_FILE]) {
      await Deno.writeTextFile(`${stateDir}/${file}`, content!);
    }
    const seen = new Recorder();
    const node = await net.start({ stateDir, log: seen.log });
    const event = await seen.until(({ event }) => event === "peer-store");
    assertEquals(event.error_code, "state");
    await node.stop();
    const written = JSON.parse(await Deno.readTextFile(`${stateDir}/${PEERS_FILE}`));
    assertEquals(written, { version: 1, peers: [] });
  });
}

Deno.test("a node skips invalid entries of a state file", LIBP2P, async () => {
  await using temp = await tempDir();
  const stateDir = temp.path;
  await using net = new TestNet();
  const { peerId } = await ephemeralIdentity();
  const peers = [
    { id: peerId, addresses: ["/ip4/127.0.0.1/tcp/1"], last_seen: 1 },
    { id: "nobody", addresses: ["/ip4/127.0.0.1/tcp/1"], last_seen: 1 },
    { id: peerId, addresses: ["not an address"], last_seen: 1 },
    { id: peerId, addresses: "/ip4/127.0.0.1/tcp/1", last_seen: 1 },
    null,
    7,
  ];
  await Deno.writeTextFile(`${stateDir}/${PEERS_FILE}`, JSON.stringify({ version: 1, peers }));
  const seen = new Recorder();
  await net.start({ stateDir, log: seen.log });
  assertEquals((await seen.until(({ event }) => event === "peer-store")).count, 1);
});

for (const transport of ["tcp", "quic"] as const) {
  Deno.test(`createNetwork() reports a ${transport} port in use with a hint`, LIBP2P, async () => {
    await using net = new TestNet();
    const first = await net.start();
    const listen = [addressOf(first, transport).replace(/\/p2p\/.*/, "")];
    const error = await assertRejects(() => net.start({ listen }), PlasmError);
    assertEquals(error.code, "busy");
    assert(error.hint?.includes(listen[0]!), error.hint);
  });
}

Deno.test("createNetwork() rejects invalid options before it starts the node", LIBP2P, async () => {
  await using net = new TestNet();
  for (
    const options of [
      { listen: ["127.0.0.1:4001"] },
      { listen: ["/ip4/127.0.0.1/udp/0/quic-v1"] },
      { announce: ["/ip4/1.2.3/tcp/1"] },
      { deny: ["everyone"] },
    ]
  ) {
    const error = await assertRejects(() => net.start(options), PlasmError);
    assertEquals(error.code, "bad-config", JSON.stringify(options));
  }
  const client = await net.startClient();
  const error = await assertRejects(() => client.dialProtocol("nobody", "/x"), PlasmError);
  assertEquals(error.code, "usage");
});

Deno.test(
  "a node reports unreachable bootstrap nodes and joins once one is up",
  LIBP2P,
  async () => {
    await using net = new TestNet();
    // Accepts connections and sends nothing.
    const slow = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const held: Deno.TcpConn[] = [];
    const holding = (async () => {
      for await (const socket of slow) held.push(socket);
    })();
    // A port that is free at this moment.
    const probe = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = probe.addr as Deno.NetAddr;
    probe.close();
    const late = `/ip4/127.0.0.1/tcp/${port}`;
    const dead = "/ip4/127.0.0.1/tcp/1";
    const nameless = "/dns4/no-such-host.invalid/tcp/4001";
    const silent = `/ip4/127.0.0.1/tcp/${(slow.addr as Deno.NetAddr).port}`;
    const seen = new Recorder();
    const bootstrap = [dead, nameless, silent, late];
    const node = await net.start({ bootstrap, log: seen.log });
    assert(!node.isReady());
    for (const address of [dead, nameless, late]) {
      const event = await seen.until((e) => e.event === "bootstrap" && e.address === address);
      assertEquals(event.error_code, "no-peer");
      assert(event.reason);
    }
    const boot = await net.start({ listen: [late] });
    await seen.until(({ event, peer_id }) => event === "bootstrap" && peer_id === boot.peerId);
    assert(node.isReady());
    const status = node.bootstrap().find(({ address }) => address === late)!;
    assertEquals({ connected: status.connected, peerId: status.peerId, error: status.error }, {
      connected: true,
      peerId: boot.peerId,
      error: null,
    });
    assertEquals(node.bootstrap().filter(({ connected }) => connected).length, 1);
    slow.close();
    await holding.catch(() => {});
    for (const socket of held) socket.close();
  },
);

Deno.test("a node drops garbage on its ports and continues to serve", LIBP2P, async () => {
  await using net = new TestNet();
  const server = await net.start({ limits: { inboundPerSecond: 1000 } });
  const hostname = "127.0.0.1";
  const port = portOf(addressOf(server, "tcp"));
  const inputs = [
    new Uint8Array([0]),
    new Uint8Array(70_000).fill(0xff),
    crypto.getRandomValues(new Uint8Array(4096)),
    new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n"),
    new TextEncoder().encode("\x13/multistream/1.0.0\n\x07/noise\n\x00\x20half a frame"),
    new TextEncoder().encode("\x13/multistream/1.0.0\n\x07/noise\n\xff\xff"),
  ];
  for (const input of inputs) {
    const socket = await Deno.connect({ hostname, port });
    // The server may close the connection at any byte.
    await socket.write(input).catch(() => {});
    await socket.closeWrite().catch(() => {});
    const buffer = new Uint8Array(1024);
    while (await socket.read(buffer).catch(() => null) !== null);
    socket.close();
  }
  const udp = Deno.listenDatagram({ hostname, port: 0, transport: "udp" });
  const target = { hostname, port: portOf(addressOf(server, "quic")), transport: "udp" } as const;
  for (const input of inputs) await udp.send(input.subarray(0, 1200), target);
  udp.close();
  assertEquals(server.peers(), []);
  await server.publish(FIELDS);
  const client = await net.startClient();
  for (const transport of ["quic", "tcp"] as const) {
    await client.queryPeer(addressOf(server, transport));
  }
});

for (
  const protocol of [CAPABILITY_PROTOCOL, KAD_PROTOCOL, "/ipfs/id/push/1.0.0", "/ipfs/ping/1.0.0"]
) {
  Deno.test(
    `a node resets a stream of ${protocol} with garbage and continues to serve`,
    LIBP2P,
    async () => {
      await using net = new TestNet();
      const server = await net.start();
      await server.publish(FIELDS);
      const client = await net.startClient();
      const inputs = [
        new Uint8Array([0xff, 0xff, 0xff, 0xff, 0x0f]), // a frame of 4 GiB
        new Uint8Array([200, 1, 1, 2, 3]), // half a frame
        new Uint8Array([3, 0xff, 0xff, 0xff]),
        new Uint8Array([0]),
        crypto.getRandomValues(new Uint8Array(2000)),
      ];
      for (const input of inputs) {
        const stream = await client.dialProtocol(addressOf(server, "tcp"), protocol);
        try {
          stream.send(input);
          await stream.close();
        } catch {
          // The server has reset the stream, as expected.
        }
        stream.abort(new Error("done"));
      }
      assertEquals((await client.queryPeer(server.peerId)).peerId, server.peerId);
    },
  );
}

Deno.test("a node limits a peer that opens streams endlessly and never reads", LIBP2P, async () => {
  await using net = new TestNet();
  const seen = new Recorder();
  const server = await net.start({ log: seen.log });
  await server.publish(FIELDS);
  const client = await net.startClient();
  let refused = 0;
  for (let i = 0; i < 60; i++) {
    try {
      const stream = await client.dialProtocol(addressOf(server, "tcp"), CAPABILITY_PROTOCOL);
      stream.pause();
    } catch {
      refused++;
    }
  }
  // Open streams wait for a request; 32 are allowed at once, and further ones are refused.
  const reported = seen.events.filter(({ event }) => event === "refused").length;
  assertGreater(refused + reported, 0);
  const other = await net.startClient();
  assertEquals((await other.queryPeer(addressOf(server, "tcp"))).peerId, server.peerId);
});

Deno.test("a node limits idle connections and remains reachable", LIBP2P, async () => {
  await using net = new TestNet();
  const server = await net.start({ limits: { inboundPerSecond: 10_000 } });
  await server.publish(FIELDS);
  const port = portOf(addressOf(server, "tcp"));
  const sockets: Deno.TcpConn[] = [];
  const ends: Promise<unknown>[] = [];
  let ended = 0;
  const TOTAL = 1000;
  for (let i = 0; i < TOTAL; i++) {
    const socket = await Deno.connect({ hostname: "127.0.0.1", port });
    sockets.push(socket);
    const end = (async () => {
      const buffer = new Uint8Array(64);
      while (await socket.read(buffer).catch(() => null) !== null);
      ended++;
    })();
    ends.push(end);
  }
  // Connections beyond the limit are closed at once, the others when their handshake times out.
  await Promise.all(ends);
  assertEquals(ended, TOTAL);
  assertLess(server.peers().length, 1);
  for (const socket of sockets) socket.close();
  const client = await net.startClient();
  assertEquals((await client.queryPeer(addressOf(server, "tcp"))).peerId, server.peerId);
});
