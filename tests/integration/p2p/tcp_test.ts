import { tcp } from "../../../lib/p2p/transports/tcp.ts";
import { transportTests } from "../../fixtures/p2p/transport_set.ts";

const PEER = "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5";

transportTests({
  name: "tcp",
  create: tcp,
  listen: "/ip4/127.0.0.1/tcp/0",
  accepts: [
    "/ip4/127.0.0.1/tcp/4001",
    "/ip6/::1/tcp/4001",
    "/dns4/node.example/tcp/4001",
    `/ip4/127.0.0.1/tcp/4001/p2p/${PEER}`,
  ],
  refuses: [
    "/ip4/127.0.0.1/udp/4001/noise",
    "/ip4/127.0.0.1/tcp/4001/ws",
    "/ip4/127.0.0.1",
    "/dnsaddr/node.example",
    `/ip4/127.0.0.1/tcp/4001/p2p/${PEER}/p2p-circuit`,
  ],
  dead: "/ip4/127.0.0.1/tcp/1",
  freesPort: true,
});
