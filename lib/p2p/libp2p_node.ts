/**
 * Creates the libp2p node from its services, with limits on each.
 *
 * @module
 */
import { autoNAT, type AutoNATServiceInit } from "@libp2p/autonat";
import { circuitRelayServer, circuitRelayTransport } from "@libp2p/circuit-relay-v2";
import { generateKeyPairFromSeed } from "@libp2p/crypto/keys";
import { dcutr } from "@libp2p/dcutr";
import { identify, identifyPush } from "@libp2p/identify";
import { FaultTolerance, type Transport } from "@libp2p/interface";
import {
  type KadDHT,
  kadDHT,
  type KadDHTInit,
  passthroughMapper,
  removePrivateAddressesMapper,
} from "@libp2p/kad-dht";
import { type Ping, ping } from "@libp2p/ping";
import { isLoopback, isPrivate } from "@libp2p/utils";
import type { Multiaddr } from "@multiformats/multiaddr";
import { createLibp2p, type Libp2p, type Libp2pInit } from "libp2p";
import { RUNTIME_NAME, VERSION } from "../core/mod.ts";
import { BoundedDatastore } from "./state/bounded_datastore.ts";
import type { ReloadableGater } from "./access/connection_gater.ts";
import type { PrivateDials } from "./connectivity/dial_ranking.ts";
import {
  cachePeerMerges,
  dialBackOnNewConnection,
  type Libp2pComponents,
  limitPeerAddresses,
  limitRequests,
  type OnRefused,
  withObservedAddresses,
  withQuicListedAsV1,
} from "./patches/libp2p_components.ts";
import { matchQuicRelays } from "./patches/circuit_matcher.ts";
import { noiseEncryption } from "./patches/noise_crypto.ts";
import {
  type RelayComponents,
  type RelaySearchComponents,
  reserveOnPublicNodes,
  usableAddresses,
  withPacedWalk,
} from "./patches/public_relays.ts";
import {
  patchProviderRecords,
  RECORD_CLEANUP_MS,
  RECORD_VALIDITY_MS,
} from "./patches/provider_records.ts";
import { admitServersOnly } from "./patches/routing_table.ts";
import { sendLimitsInSeconds } from "./patches/relay_limits.ts";
import { SILENT_LOGGER } from "./network_events.ts";
import { createLocksWithoutChannel } from "./patches/open_handles.ts";
import { staggerDials } from "./patches/staggered_dials.ts";
import { batchingYamux, MAX_STREAM_WINDOW_BYTES } from "./patches/yamux.ts";
import { quic } from "./transports/quic.ts";
import { tcp } from "./transports/tcp.ts";

/** Protocol of the DHT of plasm nodes, which is separate from the public DHT of IPFS. */
export const KAD_PROTOCOL = "/plasm/kad/1.0.0";

/** Concurrent incoming handshakes of one transport, which `HandshakeLimiter` shares out. */
const MAX_HANDSHAKES = 256;

/** Most concurrent incoming handshakes of one address, whatever its rate: a quarter of all. */
const MAX_HANDSHAKES_PER_ADDRESS = 64;

/** Streams that may arrive before the local upgrade completes: a client may open all at once. */
const MAX_EARLY_STREAMS = 64;

/** Time limit for dialing one address, in milliseconds; QUIC has a shorter one. */
const ADDRESS_DIAL_TIMEOUT_MS = 6_000;

/** Interval between pings of a connection, in milliseconds; they detect vanished peers. */
const PING_INTERVAL_MS = 30_000;

/** Time limit of a ping, in milliseconds: over a slow link it waits behind all data written before it. */
const PING_TIMEOUT_MS = 60_000;

/** Reservations of a relay; each costs one connection. */
const MAX_RESERVATIONS = 64;

/** Bytes that one relayed connection may carry. Hole punching usually replaces it early. */
const RELAY_BYTES = 64n * 1024n * 1024n;

/** Lifetime of one relayed connection, in milliseconds. */
const RELAY_MS = 10 * 60 * 1000;

/** Delay before the DHT's first self-query, in milliseconds: a client's first search waits for it. */
const FIRST_SELF_QUERY_MS = 100;

/** Methods of NAT traversal. */
export interface NatOptions {
  /**
   * Verifies the node's addresses by asking peers to dial back.
   * @default {true}
   */
  autonat?: boolean | undefined;
  /**
   * Requests a port mapping from the router by UPnP.
   * @default {false}
   */
  upnp?: boolean | undefined;
  /**
   * Uses a relay if no other method works, and punches holes to replace relayed connections.
   * @default {true}
   */
  relay?: boolean | undefined;
  /**
   * Serves as a relay for other nodes.
   * @default {true}
   */
  relayServer?: boolean | undefined;
}

/** Limits on connections. */
export interface ConnectionLimits {
  /**
   * Open connections.
   * @default {256}
   */
  connections?: number | undefined;
  /**
   * Open connections of one peer.
   * @default {8}
   */
  connectionsPerPeer?: number | undefined;
  /**
   * Incoming connections of one IP address a second.
   * @default {16}
   */
  inboundPerSecond?: number | undefined;
  /**
   * Incoming streams of one connection.
   * @default {64}
   */
  streamsPerConnection?: number | undefined;
  /**
   * Time limit for dialing all addresses of a peer, in milliseconds.
   * @default {10000}
   */
  dialTimeoutMs?: number | undefined;
}

/** Options of {@linkcode createNode}. */
export interface NodeOptions {
  /** Ed25519 secret key, 32 bytes. */
  secretKey: Uint8Array;
  /** Multiaddrs to listen on. */
  listen: readonly string[];
  /** Multiaddrs to announce instead of the listening addresses. */
  announce: readonly string[];
  /** Mode in the DHT. A client queries it and answers no queries. */
  mode: "server" | "client";
  /** Announces and dials addresses of private networks. */
  allowPrivate: boolean;
  /** Private addresses to dial. @default {"last"; "never" without `allowPrivate`} */
  privateDials?: PrivateDials | undefined;
  /** Discovers nodes on the same link by multicast DNS. */
  mdns: boolean;
  nat: NatOptions;
  limits: ConnectionLimits;
  gater: ReloadableGater;
  /** Called when a peer exceeds its rate limit in the DHT. @default {none} */
  onFlood?: OnRefused | undefined;
  /** Transports, for tests and benches within one process. @default {QUIC and TCP} */
  transports?: Libp2pInit["transports"];
}

/** Node with the parts that libp2p's interface hides. */
export interface PlasmNode {
  libp2p: Libp2p;
  dht: KadDHT;
  ping: Ping;
  components: Libp2pComponents;
}

/** Creates a node without starting it. */
export async function createNode(options: NodeOptions): Promise<PlasmNode> {
  const { limits, nat, mode, allowPrivate } = options;
  const inboundPerSecond = limits.inboundPerSecond ?? 16;
  const perAddress = Math.min(2 * inboundPerSecond, MAX_HANDSHAKES_PER_ADDRESS);
  const handshakes = { total: MAX_HANDSHAKES, perAddress, perNetwork: 2 * perAddress };
  const isServer = mode === "server";
  let components: Libp2pComponents | undefined;
  matchQuicRelays();
  const services = {
    identify: identify(),
    identifyPush: identifyPush(),
    ping: ping(),
    dht: dhtService({
      protocol: KAD_PROTOCOL,
      clientMode: !isServer,
      peerInfoMapper: allowPrivate ? passthroughMapper : removePrivateAddressesMapper,
      // The publisher stores them again itself.
      reprovide: { validity: RECORD_VALIDITY_MS, interval: RECORD_CLEANUP_MS, threshold: 0 },
      initialQuerySelfInterval: FIRST_SELF_QUERY_MS,
    }, options.onFlood),
    ...(nat.autonat ?? true ? { autonat: autonatService() } : {}),
    ...(nat.upnp ? { upnp: await upnpService() } : {}),
    ...(nat.relay ?? true ? { dcutr: dcutrService() } : {}),
    ...((nat.relayServer ?? true) && isServer ? { relay: relayService() } : {}),
    // A service that only receives the components.
    components: (all: unknown) => {
      components = all as Libp2pComponents;
      return {};
    },
  } as unknown as NonNullable<Libp2pInit["services"]>;

  const libp2p = await createLibp2p({
    start: false,
    privateKey: await generateKeyPairFromSeed("Ed25519", options.secretKey),
    nodeInfo: { name: RUNTIME_NAME, version: VERSION, userAgent: `${RUNTIME_NAME}/${VERSION}` },
    logger: SILENT_LOGGER,
    datastore: new BoundedDatastore(),
    addresses: {
      listen: [...options.listen],
      announce: [...options.announce],
      announceFilter: (addresses) => announced(addresses, allowPrivate),
    },
    transports: [
      ...(options.transports ?? [quic({ handshakes }), tcp({ handshakes })]),
      relayTransport(),
    ],
    // A port in use fails the start instead of leaving the node unreachable.
    transportManager: { faultTolerance: FaultTolerance.FATAL_ALL },
    connectionEncrypters: [noiseEncryption()],
    streamMuxers: [
      batchingYamux({
        maxEarlyStreams: MAX_EARLY_STREAMS,
        maxInboundStreams: limits.streamsPerConnection ?? 64,
        streamOptions: { maxStreamWindowSize: MAX_STREAM_WINDOW_BYTES },
      }),
    ],
    connectionManager: {
      maxConnections: limits.connections ?? 256,
      inboundConnectionThreshold: inboundPerSecond,
      // The transports limit incomplete handshakes; this limit would let a flood shut out others.
      maxIncomingPendingConnections: 4 * MAX_HANDSHAKES,
      dialTimeout: limits.dialTimeoutMs ?? 10_000,
      addressDialTimeout: ADDRESS_DIAL_TIMEOUT_MS,
    },
    // The default aborts a connection whose ping takes over 5 s, as it does behind a large transfer.
    connectionMonitor: {
      pingInterval: PING_INTERVAL_MS,
      pingTimeout: { minTimeout: PING_TIMEOUT_MS, maxTimeout: PING_TIMEOUT_MS },
    },
    connectionGater: options.gater,
    ...(options.mdns ? { peerDiscovery: [await mdnsDiscovery()] } : {}),
    services,
  } as Libp2pInit);
  createLocksWithoutChannel(libp2p.peerStore, libp2p.peerId);
  limitPeerAddresses(libp2p.peerStore);
  cachePeerMerges(libp2p.peerStore);
  staggerDials(components!.connectionManager, {
    privateDials: options.privateDials ?? (allowPrivate ? "last" : "never"),
  });
  const parts = libp2p.services as unknown as { dht: KadDHT; ping: Ping };
  return { libp2p, dht: parts.dht, ping: parts.ping, components: components! };
}

/** Omits useless addresses, loopback ones if there are others, and private ones unless they are allowed. */
function announced(all: Multiaddr[], allowPrivate: boolean): Multiaddr[] {
  const addresses = usableAddresses(all);
  const external = addresses.filter((address) => !isLoopback(address));
  if (external.length === 0) return allowPrivate ? addresses : [];
  return allowPrivate ? external : external.filter((address) => !isPrivate(address));
}

function relayTransport(): NonNullable<Libp2pInit["transports"]>[number] {
  type Components = RelayComponents & RelaySearchComponents;
  const create = circuitRelayTransport() as unknown as (components: Components) => Transport;
  return ((components: Components) =>
    reserveOnPublicNodes(create(withPacedWalk(components)), components)) as never;
}

function dhtService(
  init: KadDHTInit,
  onFlood: OnRefused = () => {},
): (components: Libp2pComponents) => KadDHT {
  const create = kadDHT(init) as unknown as (components: Libp2pComponents) => KadDHT;
  return (components) => {
    const dht = patchProviderRecords(create(limitRequests(components, onFlood)));
    return admitServersOnly(dht, { peerStore: components.peerStore, protocol: KAD_PROTOCOL });
  };
}

function autonatService(): (components: Libp2pComponents) => unknown {
  const init: AutoNATServiceInit = {};
  const create = autoNAT(init) as unknown as (components: Libp2pComponents) => unknown;
  return (components) => {
    type Components = Libp2pComponents & RelaySearchComponents;
    const paced = withPacedWalk(components as Components, { isContinued: true });
    return create(dialBackOnNewConnection(paced));
  };
}

function dcutrService(): (components: Libp2pComponents) => unknown {
  const create = dcutr() as unknown as (components: Libp2pComponents) => unknown;
  return (components) => create(withObservedAddresses(components));
}

// UPnP and mDNS are loaded on demand, because they depend on XML, DNS and HTTP libraries.

async function upnpService(): Promise<(components: Libp2pComponents) => unknown> {
  const { uPnPNAT } = await import("@libp2p/upnp-nat");
  const create = uPnPNAT({ portMappingDescription: RUNTIME_NAME }) as unknown as (
    components: Libp2pComponents,
  ) => unknown;
  return (components) => create(withQuicListedAsV1(components));
}

async function mdnsDiscovery(): Promise<unknown> {
  const { mdns } = await import("@libp2p/mdns");
  return mdns({ serviceTag: "_plasm._udp.local" });
}

function relayService(): (components: Libp2pComponents) => unknown {
  const create = circuitRelayServer({
    reservations: {
      maxReservations: MAX_RESERVATIONS,
      defaultDurationLimit: RELAY_MS,
      defaultDataLimit: RELAY_BYTES,
    },
  }) as unknown as (components: Libp2pComponents) => unknown;
  return (components) => sendLimitsInSeconds(create(components));
}
