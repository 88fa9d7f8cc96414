import { assert, assertEquals } from "@std/assert";
import { ephemeralIdentity } from "../../../lib/core/identity.ts";
import { addressOf, LIBP2P, TestNet } from "../../fixtures/p2p/nodes.ts";

const PROTOCOL = "/plasm/test/1.0.0";

/** TCP listener that accepts one connection and never answers; records when the peer ends it. */
class SilentListener implements AsyncDisposable {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #serving: Promise<void>;

  constructor(record: (what: string) => void) {
    const serve = async (): Promise<void> => {
      using socket = await this.#listener.accept();
      record("silent accepted");
      const buffer = new Uint8Array(1024);
      while (await socket.read(buffer) !== null);
      record("silent ended");
    };
    this.#serving = serve().catch(() => record("silent ended"));
  }

  get address(): string {
    return `/dns4/localhost/tcp/${this.#listener.addr.port}`;
  }

  /** Resolves when the peer has ended the connection. */
  get ended(): Promise<void> {
    return this.#serving;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    await this.#serving;
  }
}

Deno.test(
  "dialProtocol() connects while other addresses of the peer swallow packets",
  LIBP2P,
  async () => {
    await using net = new TestNet();
    const server = await net.start();
    await server.handle(PROTOCOL, (stream) => stream.close());
    const seen: string[] = [];
    // Never answers: its packets stay in the buffer of the socket.
    const datagrams = Deno.listenDatagram({ hostname: "127.0.0.1", port: 0, transport: "udp" });
    using _ = { [Symbol.dispose]: () => datagrams.close() };
    const { port } = datagrams.addr as Deno.NetAddr;
    {
      await using silent = new SilentListener((what) => seen.push(what));
      const client = await net.startClient({
        log: ({ event }) => event === "connect" && seen.push("connected"),
      });
      // Names count as public addresses, which are dialed before loopback.
      const works = addressOf(server, "tcp").replace(/\/p2p\/.*/, "");
      await client.addAddresses(server.peerId, [
        `/dns4/localhost/udp/${port}/noise`,
        silent.address,
        works,
      ]);
      const stream = await client.dialProtocol(server.peerId, PROTOCOL);
      await stream.close();
      await silent.ended;
      assertEquals(client.peers().map(({ address }) => address.replace(/\/p2p\/.*/, "")), [works]);
    }
    // libp2p would have waited for the time limits of both.
    assertEquals(seen, ["silent accepted", "connected", "silent ended"]);
  },
);

Deno.test(
  "limitPeerAddresses() limits the addresses of a peer from every source",
  LIBP2P,
  async () => {
    await using net = new TestNet();
    const node = await net.startClient();
    const { peerId } = await ephemeralIdentity();
    const address = (n: number): string => `/ip4/8.8.${n >> 8}.${n & 255}/tcp/1`;
    await node.addAddresses(peerId, Array.from({ length: 10_000 }, (_, n) => address(n)));
    assertEquals((await node.peerAddresses(peerId)).length, 16);
    for (let n = 10_000; n < 10_100; n++) await node.addAddresses(peerId, [address(n)]);
    const known = await node.peerAddresses(peerId);
    assertEquals(known.length, 32);
    assert(known.includes(address(10_099)));
  },
);
