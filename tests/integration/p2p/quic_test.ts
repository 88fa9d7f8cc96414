import { assertEquals, assertRejects } from "@std/assert";
import type { Upgrader } from "@libp2p/interface";
import { multiaddr } from "@multiformats/multiaddr";
import { SILENT_LOGGER } from "../../../lib/p2p/network_events.ts";
import { quic } from "../../../lib/p2p/transports/quic.ts";
import { CERTIFICATE, SERVER_NAME } from "../../../lib/p2p/transports/quic.ts";
import { transportTests } from "../../fixtures/p2p/transport_set.ts";

const PEER = "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5";

Deno.test("quic dial() gives up in the middle of a handshake", async () => {
  const silent = Deno.listenDatagram({ hostname: "127.0.0.1", port: 0, transport: "udp" });
  const { port } = silent.addr as Deno.NetAddr;
  const controller = new AbortController();
  const reason = new Error("changed my mind");
  const dialled = quic()({ logger: SILENT_LOGGER }).dial(
    multiaddr(`/ip4/127.0.0.1/udp/${port}/quic`),
    { signal: controller.signal, upgrader: {} as Upgrader },
  );
  await silent.receive(); // The first packet is out: the handshake is under way.
  controller.abort(reason);
  assertEquals(await assertRejects(() => dialled), reason);
  silent.close();
});

Deno.test("quic refuses a standard libp2p peer in its handshake", async () => {
  // Such a peer says "libp2p" in ALPN (libp2p's TLS specification).
  const listener = quic()({ logger: SILENT_LOGGER }).createListener({ upgrader: {} as Upgrader });
  await listener.listen(multiaddr("/ip4/127.0.0.1/udp/0/quic"));
  const port = Number(listener.getAddrs()[0]!.getComponents()[1]!.value);
  const endpoint = new Deno.QuicEndpoint({ hostname: "127.0.0.1", port: 0 });
  await assertRejects(() =>
    Deno.connectQuic<false>({
      endpoint,
      hostname: "127.0.0.1",
      port,
      serverName: SERVER_NAME,
      caCerts: [CERTIFICATE],
      alpnProtocols: ["libp2p"],
    })
  );
  endpoint.close();
  await listener.close();
});

// After the tests above: libp2p's leftovers would be counted against them.
transportTests({
  name: "quic",
  create: quic,
  listen: "/ip4/127.0.0.1/udp/0/quic",
  accepts: [
    "/ip4/127.0.0.1/udp/4001/quic",
    "/ip6/::1/udp/4001/quic",
    "/dns4/node.example/udp/4001/quic",
    `/ip4/127.0.0.1/udp/4001/quic/p2p/${PEER}`,
  ],
  refuses: [
    "/ip4/127.0.0.1/tcp/4001",
    "/ip4/127.0.0.1/udp/4001",
    "/ip4/127.0.0.1/udp/4001/quic-v1",
    "/ip4/127.0.0.1/udp/4001/quic-v1/webtransport",
    "/ip4/127.0.0.1",
    `/ip4/127.0.0.1/udp/4001/quic/p2p/${PEER}/p2p-circuit`,
  ],
  dead: "/ip4/127.0.0.1/udp/1/quic",
  freesPort: false, // Deno keeps it until the endpoint is garbage collected
});
