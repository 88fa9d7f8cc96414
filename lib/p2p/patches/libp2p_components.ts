/**
 * Internal components of libp2p: corrected and rate-limited views of them for its services, and a cache of merges into
 * the peer store.
 *
 * @module
 */
import type {
  Connection,
  Peer,
  PeerData,
  PeerId,
  PeerStore,
  Stream,
  Upgrader,
} from "@libp2p/interface";
import { type Multiaddr, multiaddr } from "@multiformats/multiaddr";
import { BoundedMap, RateLimiter } from "../../util/mod.ts";
import { quicAddress } from "../addresses.ts";
import { quic } from "../transports/quic.ts";
import type { TransportComponents } from "../transports/socket_transport.ts";
import { tcp } from "../transports/tcp.ts";

/** Address of this node and its source. */
export interface OwnAddress {
  multiaddr: Multiaddr;
  type: "transport" | "announce" | "observed" | "dns-mapping" | "ip-mapping";
  verified: boolean;
}

/** Handles a stream of a protocol. */
type Handler = (stream: Stream, connection: Connection) => void | Promise<void>;

/** Components of libp2p in use. Their types are in a package that libp2p does not export. */
export interface Libp2pComponents extends TransportComponents {
  upgrader: Upgrader;
  peerStore: PeerStore;
  addressManager: {
    getAddresses(): Multiaddr[];
    getObservedAddrs(): Multiaddr[];
    getAddressesWithMetadata(): OwnAddress[];
  };
  transportManager: { listen(addresses: Multiaddr[]): Promise<void> };
  registrar: {
    handle(protocol: string, handler: Handler, options?: unknown): Promise<void>;
  };
  connectionManager: {
    openConnection(address: Multiaddr, options?: { signal?: AbortSignal }): Promise<Connection>;
  };
}

/** Time limit of a dial-back, in milliseconds; the requester's stream waits for it. */
const DIAL_BACK_TIMEOUT_MS = 5_000;

/**
 * For AutoNAT: dials back on a new connection from a new port. libp2p would return (and then close) the connection of
 * the request, and a dial from the listening UDP port would pass through the NAT mapping of the request and prove nothing.
 */
export function dialBackOnNewConnection(components: Libp2pComponents): Libp2pComponents {
  return view(components, "connectionManager", {
    openConnection(address, { signal = AbortSignal.timeout(DIAL_BACK_TIMEOUT_MS) } = {}) {
      const transport = (quicAddress(address) === null ? tcp() : quic())(components);
      return transport.dial(address, { signal, upgrader: components.upgrader });
    },
  });
}

/**
 * For DCUtR: sends observed addresses to the peer although they are unverified. Behind a NAT they cannot be verified before both
 * sides punch.
 */
export function withObservedAddresses(components: Libp2pComponents): Libp2pComponents {
  const { addressManager } = components;
  return view(components, "addressManager", {
    getAddresses: () => [...addressManager.getAddresses(), ...addressManager.getObservedAddrs()],
  });
}

function listedAsV1(address: Multiaddr): Multiaddr {
  return multiaddr(address.toString().replace(/\/noise(?=$|\/)/, "/quic-v1"));
}

/** For UPnP, which maps UDP ports of `/quic-v1` addresses only. */
export function withQuicListedAsV1(components: Libp2pComponents): Libp2pComponents {
  const { addressManager } = components;
  return view(components, "addressManager", {
    getAddressesWithMetadata: () =>
      addressManager.getAddressesWithMetadata().map((address) =>
        quicAddress(address.multiaddr) === null
          ? address
          : { ...address, multiaddr: listedAsV1(address.multiaddr) }
      ),
  });
}

/** Bytes that count as one request: about the size of the smallest. A long stream counts as many requests. */
const REQUEST_BYTES = 64;

/** Requests that opening a stream counts as: it costs both sides more than a request. */
const STREAM_REQUESTS = 8;

/** Burst of an honest peer: it queries itself, provides all its topics and refreshes its routing table. */
const BURST_REQUESTS = 4096;

/** Requests a second in the long run. */
const REQUESTS_PER_SECOND = 256;

/** Called for each stream that is refused or aborted. */
export type OnRefused = (refusal: { peerId: string; reason: string }) => void;

/**
 * For the DHT: limits the rate of each peer's requests to registered protocols. Otherwise one peer could occupy a node with
 * well-formed requests.
 */
export function limitRequests(
  components: Libp2pComponents,
  onRefused: OnRefused,
  limiter: RateLimiter = new RateLimiter({ burst: BURST_REQUESTS, perSecond: REQUESTS_PER_SECOND }),
): Libp2pComponents {
  const { registrar } = components;
  const guard = (handler: Handler): Handler => (stream, connection) => {
    const peerId = connection.remotePeer.toString();
    const take = (requests: number): boolean => {
      if (limiter.take(peerId, requests)) return true;
      const reason = `more than ${REQUESTS_PER_SECOND * REQUEST_BYTES} bytes of requests a second`;
      // An aborted stream may still deliver buffered data, which must not be reported again.
      if (stream.status === "open") onRefused({ peerId, reason });
      stream.abort(new Error(reason));
      return false;
    };
    if (!take(STREAM_REQUESTS)) return;
    const handled = handler(stream, connection);
    // Added after the handler's listener: buffered data goes to the first listener, which must be the DHT's.
    stream.addEventListener("message", ({ data }) => {
      take(Math.ceil(data.byteLength / REQUEST_BYTES));
    });
    return handled;
  };
  const handle: Libp2pComponents["registrar"]["handle"] = (protocol, handler, options) =>
    registrar.handle(protocol, guard(handler), options);
  return overlay(components, { registrar: overlay(registrar, { handle }) });
}

function view<K extends keyof Libp2pComponents>(
  components: Libp2pComponents,
  part: K,
  changes: Partial<Libp2pComponents[K]>,
): Libp2pComponents {
  const changed = overlay(components[part], changes);
  return overlay(components, { [part]: changed } as Partial<Libp2pComponents>);
}

/** Returns a view of an object with some members replaced; methods are called on the original. */
export function overlay<T extends object>(target: T, changes: Partial<T>): T {
  return new Proxy(target, {
    get(object, key) {
      if (Object.hasOwn(changes, key)) return changes[key as keyof T];
      const value = Reflect.get(object, key, object);
      return typeof value === "function" ? value.bind(object) : value;
    },
  });
}

/** Cached merges: several for each connection of a node. */
const MAX_MERGES = 4096;

/** Lifetime of a cached merge, in milliseconds: the store evicts peers, and then the merge must run again. */
const MERGE_LIFETIME_MS = 60_000;

/** Text that identifies what a merge adds; undefined if it is not worth caching. */
function mergeKey(
  peerId: PeerId,
  { protocols, multiaddrs, ...more }: PeerData,
): string | undefined {
  if (Object.values(more).some((value) => value !== undefined)) return undefined;
  if (protocols !== undefined) {
    const isOne = protocols.length === 1 && multiaddrs === undefined;
    return isOne ? `${peerId} ${protocols[0]}` : undefined;
  }
  return multiaddrs === undefined ? undefined : `${peerId} ${multiaddrs.join(" ")}`;
}

/**
 * Skips merges that the peer store has already made. libp2p merges the protocol of every inbound stream, and the
 * addresses of up to 20 peers with each answer of the DHT; each merge reads, decodes and compares the peer's entry.
 */
export function cachePeerMerges(
  store: Pick<PeerStore, "merge" | "patch" | "save" | "delete">,
): void {
  const known = new BoundedMap<string, { peer: Peer; at: number }>(MAX_MERGES);
  /** When something else than a merge has changed a peer's entry. */
  const changed = new BoundedMap<string, number>(MAX_MERGES);
  const merge = store.merge.bind(store);
  store.merge = async (peerId, data, options) => {
    const key = mergeKey(peerId, data);
    if (key === undefined) return await merge(peerId, data, options);
    const at = performance.now();
    const before = known.get(key);
    const since = Math.max(at - MERGE_LIFETIME_MS, changed.get(`${peerId}`) ?? -Infinity);
    if (before !== undefined && before.at > since) return before.peer;
    const peer = await merge(peerId, data, options);
    known.set(key, { peer, at });
    return peer;
  };
  for (const name of ["patch", "save", "delete"] as const) {
    const change = store[name].bind(store) as (...args: unknown[]) => Promise<never>;
    store[name] = async (peerId: PeerId, ...args: unknown[]): Promise<never> => {
      changed.set(`${peerId}`, performance.now());
      return await change(peerId, ...args);
    };
  }
}

/** Most addresses of a peer in the peer store; an honest node has a handful. */
const MAX_PEER_ADDRESSES = 32;

/** Most addresses of a peer that one message adds. */
const MAX_ADDED_ADDRESSES = 16;

/**
 * Limits the addresses of each peer in the peer store: any peer can state any number of addresses of any other. The latest
 * ones stay, which are those of a connection after it was opened, and others up to the limit.
 */
export function limitPeerAddresses(store: Pick<PeerStore, "merge" | "patch">): void {
  const merge = store.merge.bind(store);
  store.merge = async (peerId, data, options) => {
    if (data.multiaddrs === undefined) return await merge(peerId, data, options);
    const added = data.multiaddrs.slice(0, MAX_ADDED_ADDRESSES);
    const peer = await merge(peerId, { ...data, multiaddrs: added }, options);
    if (peer.addresses.length <= MAX_PEER_ADDRESSES) return peer;
    const others = peer.addresses.map(({ multiaddr }) => multiaddr)
      .filter((address) => !added.some((other) => other.equals(address)));
    const multiaddrs = [...added, ...others].slice(0, MAX_PEER_ADDRESSES);
    return await store.patch(peerId, { multiaddrs }, options);
  };
}
