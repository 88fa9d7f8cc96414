import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { multiaddr } from "@multiformats/multiaddr";
import { ephemeralIdentity } from "../../../lib/core/identity.ts";
import { PlasmError } from "../../../lib/core/errors/errors.ts";
import { MAX_ADDRESSES, resolveDnsaddr } from "../../../lib/p2p/connectivity/dnsaddr.ts";
import { addressOf, LIBP2P, Recorder, TestNet } from "../../fixtures/p2p/nodes.ts";
import { TxtServer } from "../../fixtures/p2p/txt_server.ts";

const [A, B] = [(await ephemeralIdentity()).peerId, (await ephemeralIdentity()).peerId];

async function resolve(server: TxtServer, address: string): Promise<string[]> {
  const { signal } = new AbortController();
  const { resolveTxt } = server;
  return (await resolveDnsaddr(multiaddr(address), { signal, resolveTxt })).map(String);
}

Deno.test("resolveDnsaddr() follows other names and returns pinned addresses only", async () => {
  const direct = `/ip4/192.0.2.1/tcp/4001/p2p/${A}`;
  const nested = `/ip4/192.0.2.2/tcp/4001/p2p/${B}`;
  await using server = new TxtServer({
    "_dnsaddr.nodes.test": [
      `dnsaddr=${direct}`,
      `dnsaddr=${direct}`,
      `dnsaddr=/dnsaddr/b.test/p2p/${B}`,
      "dnsaddr=/ip4/192.0.2.3/tcp/4001", // no peer id
      "dnsaddr=/dnsaddr/unpinned.test",
      "dnsaddr=/ip4/300.0.0.1/tcp/4001",
      "v=spf1 -all",
    ],
    "_dnsaddr.b.test": [`dnsaddr=${nested}`, `dnsaddr=/ip4/192.0.2.4/tcp/1/p2p/${A}`],
  });
  assertEquals(await resolve(server, "/dnsaddr/nodes.test"), [direct, nested]);
  assertEquals(server.queries, ["_dnsaddr.nodes.test", "_dnsaddr.b.test"]);
  // A peer id in the configured address pins the records.
  assertEquals(await resolve(server, `/dnsaddr/nodes.test/p2p/${A}`), [direct]);
});

Deno.test("resolveDnsaddr() limits addresses, queries and the length of records", async () => {
  const many = Array.from({ length: 99 }, (_, at) => `/ip4/192.0.2.${at}/tcp/1/p2p/${A}`);
  const long = `/dns4/${"a".repeat(500)}/tcp/1/p2p/${A}`;
  const records = [[`dnsaddr=${long}`], ...many.map((text) => [`dnsaddr=${text}`])];
  const { signal } = new AbortController();
  const resolved = await resolveDnsaddr(multiaddr("/dnsaddr/many.test"), {
    signal,
    resolveTxt: () => Promise.resolve(records),
  });
  assertEquals(resolved.map(String), many.slice(0, MAX_ADDRESSES));

  let queries = 0;
  const resolveTxt = () => {
    queries++;
    return Promise.resolve([[`dnsaddr=/dnsaddr/n${queries}.test/p2p/${A}`]]);
  };
  await assertRejects(
    () => resolveDnsaddr(multiaddr("/dnsaddr/loop.test"), { signal, resolveTxt }),
    PlasmError,
    "no usable TXT record at _dnsaddr.loop.test",
  );
  assertEquals(queries, 8);
});

Deno.test("resolveDnsaddr() throws when the name does not exist", async () => {
  await using server = new TxtServer({});
  const error = await assertRejects(() => resolve(server, "/dnsaddr/none.test"), PlasmError);
  assertEquals(error.code, "no-peer");
  assertStringIncludes(error.message, "no usable TXT record at _dnsaddr.none.test");
});

Deno.test("a node joins through the nodes that a TXT record lists", LIBP2P, async () => {
  await using net = new TestNet();
  const boot = await net.start();
  await using server = new TxtServer({
    "_dnsaddr.nodes.test": [
      `dnsaddr=/ip4/127.0.0.1/tcp/1/p2p/${B}`,
      // The key of another node: the handshake fails.
      `dnsaddr=${addressOf(boot, "tcp").replace(boot.peerId, A)}`,
      `dnsaddr=${addressOf(boot, "tcp")}`,
    ],
  });
  const seen = new Recorder();
  const bootstrap = ["/dnsaddr/nodes.test"];
  const node = await net.startClient({ bootstrap, resolveTxt: server.resolveTxt, log: seen.log });
  await seen.until(({ event, error_code }) => event === "bootstrap" && error_code === undefined);
  const [status] = node.bootstrap();
  assertEquals({ address: status!.address, peer: status!.peerId, connected: status!.connected }, {
    address: "/dnsaddr/nodes.test",
    peer: boot.peerId,
    connected: true,
  });

  const lost = await net.startClient({
    bootstrap: ["/dnsaddr/none.test"],
    resolveTxt: server.resolveTxt,
  });
  await assertRejects(
    () => Array.fromAsync(lost.discover({}, { limit: 1, timeoutMs: 60_000 })),
    PlasmError,
    "/dnsaddr/none.test (no usable TXT record at _dnsaddr.none.test)",
  );
});
