import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { buildGoProgram } from "../../fixtures/interop/go_program.ts";
import { NatLab, whyNoLab } from "../../fixtures/p2p/nat_lab.ts";
import type { NodeArguments } from "../../fixtures/p2p/nat_node.ts";
import { tempDir } from "../../fixtures/temp_dir.ts";

const reason = await whyNoLab();
if (reason !== null) {
  console.log(`SKIPPED: the NAT tests need root, iproute2, nftables and miniupnpd: ${reason}`);
}
const LAB = { ignore: reason !== null };

const LISTEN = ["/ip4/0.0.0.0/udp/4001/noise", "/ip4/0.0.0.0/tcp/4001"];
const ANNOUNCE = ["/ip4/11.0.0.10/udp/4001/noise", "/ip4/11.0.0.10/tcp/4001"];
const BOOTSTRAP = [ANNOUNCE[0]!];

/** Public node that is the bootstrap node and a relay. */
const THIRD = { listen: LISTEN, announce: ANNOUNCE };

Deno.test("a node behind a router with UPnP becomes reachable by a port mapping", LAB, async () => {
  await using lab = await NatLab.create();
  await lab.startUpnp("router1");
  await lab.startNode("third", THIRD);
  const home = await lab.startNode("home1", {
    listen: LISTEN,
    bootstrap: BOOTSTRAP,
    nat: { upnp: true },
  });
  await home.send({ publish: true });
  const mapped = await home.until(({ step }) => step === "upnp-mapped");
  assert(mapped.address!.startsWith("/ip4/11.0.0.1/"), mapped.address);
  const verified = await home.until(({ step }) => step === "address-verified");
  assert(verified.address!.startsWith("/ip4/11.0.0.1/"), verified.address);
  assert(!home.events.some(({ step }) => step === "relay-search"));

  const stranger = await lab.startNode("stranger", { mode: "client", bootstrap: BOOTSTRAP });
  await stranger.send({ query: `${verified.address}/p2p/${home.peerId}` });
  const answer = await stranger.until(({ event }) => event === "answer" || event === "failed");
  assertEquals({ event: answer.event, peerId: answer.peer_id, path: answer.path }, {
    event: "answer",
    peerId: home.peerId,
    path: "direct",
  });
});

/** Places from which a client reaches a node that also lists private addresses, by description. */
const PLACES: Record<string, (lab: NatLab) => Promise<string>> = {
  "a public host whose default route drops packets": async (lab) => {
    await lab.addSwallowingRoute("stranger");
    return "stranger";
  },
  "another home with the same Docker subnet": async (lab) => {
    await lab.addDockerBridge("home2");
    return "home2";
  },
};

Deno.test("a node behind a router without UPnP becomes reachable by a relay", LAB, async (t) => {
  await using temp = await tempDir();
  const goProgram = await buildGoProgram(temp.path);
  await using lab = await NatLab.create();
  await lab.addDockerBridge("home1");
  const third = await lab.startNode("third", { ...THIRD, privateAddresses: "last" });
  const home = await lab.startNode("home1", {
    listen: LISTEN,
    bootstrap: BOOTSTRAP,
    privateAddresses: "last",
    nat: { upnp: true },
  });
  await home.send({ publish: true });
  const reserved = await home.until(({ step }) => step === "relay-reserved");
  assertEquals(reserved.path, "relayed");
  // Only the public addresses of the relay, each once and with its id.
  assert(reserved.address!.startsWith("/ip4/11.0.0.10/"), reserved.address);
  assert(reserved.address!.includes(`/p2p/${third.peerId}/p2p-circuit`), reserved.address);
  const steps = home.events.map(({ step }) => step).filter((step) => step !== undefined);
  assertEquals(steps.slice(0, 4), [
    "upnp-search",
    "upnp-unavailable",
    "relay-search",
    "relay-reserved",
  ]);

  for (const [what, prepare] of Object.entries(PLACES)) {
    await t.step(`by a client on ${what}`, async () => {
      const place = await prepare(lab);
      if (goProgram !== undefined) {
        const found = JSON.parse(
          await lab.run(place, goProgram, "find", ANNOUNCE[1]! + `/p2p/${third.peerId}`),
        );
        assertEquals(found.peer_id, home.peerId);
        assertStringIncludes(found.dialed, "/p2p-circuit");
        const listed = found.listed.join(" ");
        for (const address of ["/192.168.1.2/", "/172.17.0.1/"]) {
          assertStringIncludes(listed, address);
        }
        console.log(`go-libp2p: ${found.ms} ms`);
      }
      const client = await lab.startNode(place, {
        mode: "client",
        bootstrap: BOOTSTRAP,
        privateAddresses: "last",
      });
      const begin = performance.now();
      await client.send({ discover: true });
      const found = await client.until(({ event }) => event === "discovered" || event === "failed");
      const ms = performance.now() - begin;
      assertEquals({ event: found.event, peerId: found.peer_id }, {
        event: "discovered",
        peerId: home.peerId,
      });
      assert(
        client.events.some(({ event, peer_id, path }) =>
          event === "connect" && peer_id === home.peerId && path === "relayed"
        ),
      );
      // Its first dial succeeded: one after the other, the addresses would have exceeded the time limit.
      assert(
        !client.events.some(({ event, peer_id, error_code }) =>
          event === "dial" && peer_id === home.peerId && error_code !== undefined
        ),
      );
      console.log(`plasm: ${Math.round(ms)} ms`);
    });
  }
});

Deno.test(
  "two nodes behind two routers connect by a relay, then directly",
  LAB,
  async () => {
    await using lab = await NatLab.create();
    await lab.startNode("third", THIRD);
    const options = { listen: LISTEN, bootstrap: BOOTSTRAP };
    const home1 = await lab.startNode("home1", options);
    const home2 = await lab.startNode("home2", options);
    await home1.until(({ step }) => step === "relay-reserved");
    await home2.until(({ step }) => step === "relay-reserved");
    await home1.send({ publish: true });
    await home1.until(({ event, error_code }) => event === "provide" && error_code === undefined);

    await home2.send({ discover: true });
    const found = await home2.until(({ event }) => event === "discovered" || event === "failed");
    assertEquals({ event: found.event, peerId: found.peer_id }, {
      event: "discovered",
      peerId: home1.peerId,
    });
    const punched = await home2.until(({ step, peer_id }) =>
      step === "hole-punched" && peer_id === home1.peerId
    );
    assertEquals({ path: punched.path, transport: punched.transport }, {
      path: "direct",
      transport: "quic",
    });

    const relayed = home2.events.findLast(({ event, peer_id, path }) =>
      event === "connect" && peer_id === home1.peerId && path === "relayed"
    );
    assert(relayed !== undefined);
  },
);

Deno.test("two nodes on one link discover each other by multicast DNS", LAB, async () => {
  await using lab = await NatLab.create();
  // Public addresses are announced only once verified; these are private.
  await lab.addAddress("third", "192.168.9.10/24");
  await lab.addAddress("stranger", "192.168.9.20/24");
  const options: NodeArguments = {
    listen: LISTEN,
    mdns: true,
    privateAddresses: "last",
    nat: { relay: false },
  };
  const third = await lab.startNode("third", options);
  const stranger = await lab.startNode("stranger", options);
  const connected = await third.until(({ event }) => event === "connect");
  assertEquals({ peerId: connected.peer_id, path: connected.path }, {
    peerId: stranger.peerId,
    path: "direct",
  });
});

Deno.test(
  "a node joins when its link comes up, and rejoins after an outage",
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
    // A query of the DHT may reconnect it before the next dial of the bootstrap address is due.
    await node.until(
      ({ event, peer_id }) => event === "connect" && peer_id === third.peerId,
      before,
    );
  },
);
