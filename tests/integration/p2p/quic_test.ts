import { assertEquals, assertRejects } from "@std/assert";
import type { Upgrader } from "@libp2p/interface";
import { multiaddr } from "@multiformats/multiaddr";
import { SILENT_LOGGER } from "../../../lib/p2p/network_events.ts";
import { quic } from "../../../lib/p2p/transports/quic.ts";
import { CERTIFICATE, SERVER_NAME } from "../../../lib/p2p/transports/quic.ts";
import { transportTests } from "../../fixtures/p2p/transport_set.ts";

const PEER = "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5";

Deno.test("quic dial() rejects with the reason when the signal aborts during the handshake", async () => {
  const silent = Deno.listenDatagram({ hostname: "127.0.0.1", port: 0, transport: "udp" });
  const { port } = silent.addr as Deno.NetAddr;
  const controller = new AbortController();
  const reason = new Error("Cancelled");
  const dialled = quic()({ logger: SILENT_LOGGER }).dial(
    multiaddr(`/ip4/127.0.0.1/udp/${port}/noise`),
    { signal: controller.signal, upgrader: {} as Upgrader },
  );
  await silent.receive(); // The handshake has started.
  controller.abort(reason);
  assertEquals(await assertRejects(() => dialled), reason);
  silent.close();
});

/**
 * Listens, and dials the port without libp2p: first with a handshake that fails, then with one that succeeds, so that the
 * listener has seen the failure. A rejection without a handler fails the test run.
 */
async function failHandshake(options: { caCerts?: string[]; alpn: string }): Promise<void> {
  const listener = quic()({ logger: SILENT_LOGGER }).createListener({ upgrader: {} as Upgrader });
  await listener.listen(multiaddr("/ip4/127.0.0.1/udp/0/noise"));
  const port = Number(listener.getAddrs()[0]!.getComponents()[1]!.value);
  const endpoint = new Deno.QuicEndpoint({ hostname: "127.0.0.1", port: 0 });
  const dial = ({ caCerts, alpn }: typeof options): Promise<Deno.QuicConn> =>
    Deno.connectQuic<false>({
      endpoint,
      hostname: "127.0.0.1",
      port,
      serverName: SERVER_NAME,
      ...(caCerts === undefined ? {} : { caCerts }),
      alpnProtocols: [alpn],
    });
  await assertRejects(() => dial(options));
  const conn = await dial({ caCerts: [CERTIFICATE], alpn: "plasm/1" });
  conn.close({ closeCode: 0, reason: "" });
  endpoint.close();
  await listener.close();
}

Deno.test("quic rejects the handshake of a standard libp2p peer", async () => {
  // Its ALPN is "libp2p" by libp2p's TLS specification.
  await failHandshake({ caCerts: [CERTIFICATE], alpn: "libp2p" });
});

Deno.test("quic handles a peer that closes the connection during its handshake", async () => {
  // Without `caCerts` the peer refuses the certificate.
  await failHandshake({ alpn: "plasm/1" });
});

// After the tests above: the sanitizers would count what libp2p leaves behind against them.
transportTests({
  name: "quic",
  create: quic,
  listen: "/ip4/127.0.0.1/udp/0/noise",
  accepts: [
    "/ip4/127.0.0.1/udp/4001/noise",
    "/ip6/::1/udp/4001/noise",
    "/dns4/node.example/udp/4001/noise",
    `/ip4/127.0.0.1/udp/4001/noise/p2p/${PEER}`,
  ],
  refuses: [
    "/ip4/127.0.0.1/tcp/4001",
    "/ip4/127.0.0.1/udp/4001",
    "/ip4/127.0.0.1/udp/4001/quic",
    "/ip4/127.0.0.1/udp/4001/quic-v1",
    "/ip4/127.0.0.1/udp/4001/quic-v1/webtransport",
    "/ip4/127.0.0.1",
    `/ip4/127.0.0.1/udp/4001/noise/p2p/${PEER}/p2p-circuit`,
  ],
  dead: "/ip4/127.0.0.1/udp/1/noise",
  freesPort: false, // Deno keeps it until the endpoint is garbage collected
});
