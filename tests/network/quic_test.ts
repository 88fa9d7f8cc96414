import { quic } from "../../lib/network/transports/quic.ts";
import { transportTests } from "./transport_set.ts";

const PEER = "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5";

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
