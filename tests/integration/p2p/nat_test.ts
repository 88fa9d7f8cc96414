import { assert, assertEquals } from "@std/assert";
import { NatLab, whyNoLab } from "../../fixtures/p2p/nat_lab.ts";

const reason = await whyNoLab();
if (reason !== null) {
  console.log(`SKIPPED: the NAT tests need root, iproute2, nftables and miniupnpd: ${reason}`);
}
const LAB = { ignore: reason !== null };

const LISTEN = ["/ip4/0.0.0.0/udp/4001/quic", "/ip4/0.0.0.0/tcp/4001"];
const ANNOUNCE = ["/ip4/11.0.0.10/udp/4001/quic", "/ip4/11.0.0.10/tcp/4001"];
const BOOTSTRAP = [ANNOUNCE[0]!];

/** The third node: public, knows nothing but addresses, and a relay. */
const THIRD = { listen: LISTEN, announce: ANNOUNCE };

Deno.test("a node behind a router with UPnP becomes reachable by it", LAB, async () => {
  await using lab = await NatLab.create();
  await lab.startUpnp("router1");
  await lab.startNode("third", THIRD);
  const home = await lab.startNode("home1", {
    listen: LISTEN,
    bootstrap: BOOTSTRAP,
    nat: { upnp: true },
  });
  await home.send({ publish: true });
  const mapped = await home.until(({ step }) => step === "upnp_mapped");
  assert(mapped.address!.startsWith("/ip4/11.0.0.1/"), mapped.address);
  const verified = await home.until(({ step }) => step === "address_verified");
  assert(verified.address!.startsWith("/ip4/11.0.0.1/"), verified.address);
  assert(!home.events.some(({ step }) => step === "relay_search"));

  const stranger = await lab.startNode("stranger", { mode: "client", bootstrap: BOOTSTRAP });
  await stranger.send({ ask: `${verified.address}/p2p/${home.peerId}` });
  const answer = await stranger.until(({ event }) => event === "answer" || event === "failed");
  assertEquals([answer.event, answer.peer_id, answer.path], ["answer", home.peerId, "direct"]);
});

Deno.test("a node behind a router without UPnP becomes reachable by a relay", LAB, async () => {
  await using lab = await NatLab.create();
  await lab.startNode("third", THIRD);
  const home = await lab.startNode("home1", {
    listen: LISTEN,
    bootstrap: BOOTSTRAP,
    nat: { upnp: true },
  });
  await home.send({ publish: true });
  const reserved = await home.until(({ step }) => step === "relay_reserved");
  assertEquals(reserved.path, "relayed");
  const steps = home.events.map(({ step }) => step).filter((step) => step !== undefined);
  assertEquals(steps.slice(0, 4), [
    "upnp_search",
    "upnp_unavailable",
    "relay_search",
    "relay_reserved",
  ]);

  const stranger = await lab.startNode("stranger", { mode: "client", bootstrap: BOOTSTRAP });
  await stranger.send({ discover: true });
  const found = await stranger.until(({ event }) => event === "discovered" || event === "failed");
  assertEquals([found.event, found.peer_id], ["discovered", home.peerId]);
  assert(
    stranger.events.some(({ event, peer_id, path }) =>
      event === "connect" && peer_id === home.peerId && path === "relayed"
    ),
  );
});

Deno.test(
  "two nodes behind two routers find and reach each other, then directly",
  LAB,
  async () => {
    await using lab = await NatLab.create();
    await lab.startNode("third", THIRD);
    const options = { listen: LISTEN, bootstrap: BOOTSTRAP };
    const home1 = await lab.startNode("home1", options);
    const home2 = await lab.startNode("home2", options);
    await home1.until(({ step }) => step === "relay_reserved");
    await home2.until(({ step }) => step === "relay_reserved");
    await home1.send({ publish: true });
    await home1.until(({ event, error_code }) => event === "provide" && error_code === undefined);

    await home2.send({ discover: true });
    const found = await home2.until(({ event }) => event === "discovered" || event === "failed");
    assertEquals([found.event, found.peer_id], ["discovered", home1.peerId]);
    const punched = await home2.until(({ step, peer_id }) =>
      step === "hole_punched" && peer_id === home1.peerId
    );
    assertEquals([punched.path, punched.transport], ["direct", "quic"]);

    const relayed = home2.events.findLast(({ event, peer_id, path }) =>
      event === "connect" && peer_id === home1.peerId && path === "relayed"
    );
    assert(relayed !== undefined);
  },
);

Deno.test("two nodes on one link find each other by multicast DNS", LAB, async () => {
  await using lab = await NatLab.create();
  // Public addresses are told only once verified; these are private.
  await lab.addAddress("third", "192.168.9.10/24");
  await lab.addAddress("stranger", "192.168.9.20/24");
  const options = { listen: LISTEN, mdns: true, allowPrivate: true, nat: { relay: false } };
  const third = await lab.startNode("third", options);
  const stranger = await lab.startNode("stranger", options);
  const connected = await third.until(({ event }) => event === "connect");
  assertEquals([connected.peer_id, connected.path], [stranger.peerId, "direct"]);
});

Deno.test(
  "a node without a network joins when there is one, and comes back to it",
  LAB,
  async () => {
    await using lab = await NatLab.create();
    const third = await lab.startNode("third", THIRD);
    await lab.setLink("stranger", "down");
    const node = await lab.startNode("stranger", { mode: "client", bootstrap: BOOTSTRAP });
    const failed = await node.until(({ event }) => event === "bootstrap");
    assertEquals(failed.error_code, "no-peer");
    await lab.setLink("stranger", "up");
    await node.until(({ event, peer_id }) => event === "bootstrap" && peer_id === third.peerId);

    await lab.setLink("stranger", "down");
    await node.until(({ event, peer_id }) => event === "disconnect" && peer_id === third.peerId);
    const before = node.events.length;
    await lab.setLink("stranger", "up");
    await node.until(
      ({ event, peer_id }) => event === "bootstrap" && peer_id === third.peerId,
      before,
    );
  },
);
