import { assertEquals, assertRejects } from "@std/assert";
import type { Connection } from "@libp2p/interface";
import { type Multiaddr, multiaddr } from "@multiformats/multiaddr";
import type { PrivateDials } from "../connectivity/dial_ranking.ts";
import { type DialQueue, staggerDials } from "./staggered_dials.ts";

const RELAY = "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5";
const RELAYED = `/ip4/9.9.9.9/tcp/1/p2p/${RELAY}/p2p-circuit`;

/** What happens at an address. */
type Answer = "accepts" | "refuses" | "swallows";

interface ConnectOptions {
  signal?: AbortSignal;
  privateDials?: PrivateDials;
}

/** Dial queue of a peer with these addresses. */
class FakePeer {
  /** Addresses dialed so far. */
  readonly dialed: string[] = [];
  /** Addresses whose dials were aborted. */
  readonly aborted: string[] = [];
  readonly given = new Set<string>();
  /** Called for each dial. */
  onDial: () => void = () => {};
  readonly #queue: DialQueue;

  constructor(answers: Record<string, Answer>) {
    this.#queue = {
      maxPeerAddrsToDial: 25,
      addressDialTimeout: 60_000,
      components: {
        transportManager: {
          dial: async (address, { signal }) => await this.#dial(address, answers, signal),
        },
        peerStore: { merge: () => Promise.resolve() },
      },
      calculateMultiaddrs: (_peerId, given) =>
        Promise.resolve(
          (given.size > 0 ? [...given] : Object.keys(answers))
            .map((text) => ({ multiaddr: multiaddr(text) })),
        ),
      dialPeer: () => Promise.reject(new Error("Not replaced")),
    };
  }

  async #dial(
    address: Multiaddr,
    answers: Record<string, Answer>,
    signal: AbortSignal,
  ): Promise<Connection> {
    const text = address.toString();
    this.dialed.push(text);
    this.onDial();
    const answer = answers[text];
    if (answer === "refuses") throw new Error(`${text} refused`);
    if (answer === "accepts") return { remoteAddr: address } as Connection;
    return await new Promise((_, reject) => {
      signal.addEventListener("abort", () => {
        this.aborted.push(text);
        reject(signal.reason);
      });
    });
  }

  async connect({ signal = new AbortController().signal, privateDials }: ConnectOptions = {}) {
    staggerDials({ dialQueue: this.#queue }, { isNear: () => false, privateDials });
    const { remoteAddr } = await this.#queue.dialPeer({ multiaddrs: this.given }, signal);
    return remoteAddr.toString();
  }
}

Deno.test("staggerDials() uses the first address that works while others swallow packets", async () => {
  const peer = new FakePeer({
    "/ip4/8.8.8.8/udp/1/noise": "swallows",
    "/ip4/8.8.8.8/tcp/1": "swallows",
    "/ip4/192.168.1.2/tcp/1": "swallows",
    [RELAYED]: "accepts",
  });
  assertEquals(await peer.connect(), RELAYED);
  assertEquals(peer.dialed, ["/ip4/8.8.8.8/udp/1/noise", "/ip4/8.8.8.8/tcp/1", RELAYED]);
  assertEquals(peer.aborted, peer.dialed.slice(0, 2));
});

Deno.test("staggerDials() dials the next address at once when no dial is running", async () => {
  const peer = new FakePeer({
    "/ip4/8.8.8.8/udp/1/noise": "refuses",
    [RELAYED]: "refuses",
    "/ip4/8.8.8.8/tcp/1": "refuses",
  });
  const error = await assertRejects(() => peer.connect(), AggregateError);
  assertEquals(error.errors.map(({ message }) => message), [
    "/ip4/8.8.8.8/udp/1/noise refused",
    "/ip4/8.8.8.8/tcp/1 refused",
    `${RELAYED} refused`,
  ]);
});

Deno.test("staggerDials() dials addresses that another dial of the peer adds", async () => {
  const answers: Record<string, Answer> = {
    "/ip4/8.8.8.8/udp/1/noise": "swallows",
    "/ip4/8.8.8.8/tcp/1": "accepts",
  };
  const peer = new FakePeer(answers);
  peer.given.add("/ip4/8.8.8.8/udp/1/noise");
  const connecting = peer.connect();
  peer.given.add("/ip4/8.8.8.8/tcp/1");
  assertEquals(await connecting, "/ip4/8.8.8.8/tcp/1");
});

Deno.test("staggerDials() limits the addresses of a peer that lists 10,000", async () => {
  const answers: Record<string, Answer> = {};
  for (let n = 0; n < 10_000; n++) answers[`/ip4/8.8.${n >> 8}.${n & 255}/tcp/1`] = "refuses";
  const peer = new FakePeer(answers);
  await assertRejects(() => peer.connect(), AggregateError);
  assertEquals(peer.dialed.length, 25);
});

Deno.test("staggerDials() aborts all dials when the signal aborts", async () => {
  const peer = new FakePeer({ "/ip4/8.8.8.8/tcp/1": "swallows", "/ip4/8.8.8.8/tcp/2": "swallows" });
  const stop = new AbortController();
  const connecting = peer.connect({ signal: stop.signal });
  peer.onDial = () => queueMicrotask(() => stop.abort(new Error("stopped")));
  await assertRejects(() => connecting, Error, "stopped");
  assertEquals({ dialed: peer.dialed, aborted: peer.aborted }, {
    dialed: ["/ip4/8.8.8.8/tcp/1"],
    aborted: ["/ip4/8.8.8.8/tcp/1"],
  });
});

Deno.test("staggerDials() dials excluded private addresses only when they are given", async () => {
  const address = "/ip4/192.168.1.2/tcp/1";
  const peer = new FakePeer({ [address]: "accepts" });
  await assertRejects(
    () => peer.connect({ privateDials: "near" }),
    Error,
    "which network.private_addresses excludes",
  );
  peer.given.add(address);
  assertEquals(await peer.connect({ privateDials: "near" }), address);
});
