import { assertEquals } from "@std/assert";
import { generateKeyPair } from "@libp2p/crypto/keys";
import type { PeerStore } from "@libp2p/interface";
import { peerIdFromPrivateKey } from "@libp2p/peer-id";
import { type Multiaddr, multiaddr } from "@multiformats/multiaddr";
import { RateLimiter } from "../../util/rate_limiter.ts";
import {
  cachePeerMerges,
  type Libp2pComponents,
  limitRequests,
  type OwnAddress,
  withObservedAddresses,
  withQuicListedAsV1,
} from "./libp2p_components.ts";

const KNOWN = "/ip4/192.0.2.1/tcp/4001";
const OBSERVED = "/ip4/198.51.100.7/udp/4001/noise";

class AddressManager {
  #known = [multiaddr(KNOWN)];

  getAddresses(): Multiaddr[] {
    return this.#known;
  }

  getObservedAddrs(): Multiaddr[] {
    return [multiaddr(OBSERVED)];
  }

  getAddressesWithMetadata(): OwnAddress[] {
    return [KNOWN, OBSERVED].map((text) => ({
      multiaddr: multiaddr(text),
      type: "transport",
      verified: true,
    }));
  }
}

function components(): Libp2pComponents {
  return {
    addressManager: new AddressManager(),
    logger: "untouched",
  } as unknown as Libp2pComponents;
}

Deno.test("withObservedAddresses() adds observed addresses and leaves the original alone", () => {
  const original = components();
  const { addressManager } = withObservedAddresses(original);
  assertEquals(addressManager.getAddresses().map(String), [KNOWN, OBSERVED]);
  assertEquals(addressManager.getObservedAddrs().map(String), [OBSERVED]);
  assertEquals(original.addressManager.getAddresses().map(String), [KNOWN]);
});

Deno.test("withQuicListedAsV1() renames QUIC only", () => {
  const view = withQuicListedAsV1(components());
  const shown = view.addressManager.getAddressesWithMetadata();
  assertEquals(shown.map(({ multiaddr }) => multiaddr.toString()), [
    KNOWN,
    "/ip4/198.51.100.7/udp/4001/quic-v1",
  ]);
  assertEquals(shown.map(({ verified }) => verified), [true, true]);
  assertEquals(view.logger as unknown, "untouched");
});

type Handler = Parameters<Libp2pComponents["registrar"]["handle"]>[1];

class FakeStream extends EventTarget {
  status = "open";
  abort(): void {
    this.status = "aborted";
  }
  send(bytes: number): void {
    this.dispatchEvent(Object.assign(new Event("message"), { data: new Uint8Array(bytes) }));
  }
}

/** Rate-limited registrar that records served and refused peers. */
function limited(options: { burst: number; perSecond: number }) {
  let clock = 0;
  let handle: Handler | undefined;
  const refused: string[] = [];
  const served: string[] = [];
  const registrar = {
    handle: (_protocol: string, handler: Handler) => {
      handle = handler;
      return Promise.resolve();
    },
  };
  const components = { registrar } as unknown as Libp2pComponents;
  const limiter = new RateLimiter({ ...options, now: () => clock });
  limitRequests(components, ({ peerId }) => refused.push(peerId), limiter).registrar
    .handle("/kad", (_stream, { remotePeer }) => void served.push(remotePeer.toString()));
  const open = (peerId: string): FakeStream => {
    const stream = new FakeStream();
    const connection = { remotePeer: { toString: () => peerId } };
    void handle!(stream as never, connection as never);
    return stream;
  };
  return { open, refused, served, pass: (ms: number) => clock += ms };
}

Deno.test("limitRequests() refuses streams of a peer above its rate limit, and no others", () => {
  const { open, refused, served, pass } = limited({ burst: 16, perSecond: 8 });
  assertEquals(["a", "a", "a", "b"].map((peer) => open(peer).status), [
    "open",
    "open",
    "aborted",
    "open",
  ]);
  assertEquals({ served, refused }, { served: ["a", "a", "b"], refused: ["a"] });
  pass(1000);
  assertEquals(open("a").status, "open");
});

Deno.test("limitRequests() aborts a stream with too many requests and reports it once", () => {
  const { open, refused } = limited({ burst: 16, perSecond: 8 });
  const stream = open("a");
  stream.send(64 * 8);
  assertEquals(stream.status, "open");
  stream.send(1);
  stream.send(64 * 100);
  assertEquals({ status: stream.status, refused }, { status: "aborted", refused: ["a"] });
});

Deno.test("cachePeerMerges() passes a repeated protocol or address list to the store once", async () => {
  const merged: unknown[] = [];
  const change = () => Promise.resolve();
  const store = {
    merge: (_: unknown, data: unknown) => Promise.resolve(merged.push(data)),
    delete: change,
    patch: change,
    save: change,
  } as unknown as PeerStore;
  cachePeerMerges(store);
  const [one, two] = [
    peerIdFromPrivateKey(await generateKeyPair("Ed25519")),
    peerIdFromPrivateKey(await generateKeyPair("Ed25519")),
  ];
  const job = { protocols: ["/job"] };
  const addresses = { multiaddrs: [multiaddr(KNOWN)] };
  for (let n = 0; n < 3; n++) {
    await store.merge(one, job);
    await store.merge(one, addresses);
  }
  assertEquals(merged, [job, addresses]);
  await store.merge(two, job);
  await store.merge(one, { protocols: ["/other"] });
  await store.merge(one, { multiaddrs: [multiaddr(KNOWN), multiaddr("/ip4/192.0.2.1/tcp/1")] });
  assertEquals(merged.length, 5);
  for (const more of [{ protocols: ["/job", "/other"] }, { ...job, tags: {} }, { tags: {} }]) {
    await store.merge(one, more);
    await store.merge(one, more);
  }
  assertEquals(merged.length, 11);
  for (const change of ["delete", "patch", "save"] as const) {
    await store[change](one, {});
    const before = merged.length;
    await store.merge(one, job);
    await store.merge(one, addresses);
    await store.merge(two, job);
    assertEquals(merged.length, before + 2);
  }
});
