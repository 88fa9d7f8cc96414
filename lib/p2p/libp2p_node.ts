/**
 * The libp2p node: which parts it is made of, and the bounds on each.
 * @module
 */
import { autoNAT, type AutoNATServiceInit } from "@libp2p/autonat";
import { circuitRelayServer, circuitRelayTransport } from "@libp2p/circuit-relay-v2";
import { generateKeyPairFromSeed } from "@libp2p/crypto/keys";
import { dcutr } from "@libp2p/dcutr";
import { identify, identifyPush } from "@libp2p/identify";
import { FaultTolerance } from "@libp2p/interface";
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
import { compareAddresses } from "./addresses.ts";
import { BoundedDatastore } from "./state/bounded_datastore.ts";
import { limitRequests, type OnRefused } from "./access/dht_rate_limit.ts";
import type { Gater } from "./access/connection_gater.ts";
import {
  dialBackOnNewConnection,
  type Libp2pComponents,
  withObservedAddresses,
  withQuicListedAsV1,
} from "./patches/libp2p_components.ts";
import { noiseEncryption } from "./patches/noise_crypto.ts";
import { SILENT_LOGGER } from "./network_events.ts";
import { cachePeerMerges } from "./patches/peer_store_cache.ts";
import { MAX_STREAM_WINDOW_BYTES } from "./patches/stream_window.ts";
import { batchingYamux } from "./patches/batching_yamux.ts";
import { quic } from "./transports/quic.ts";
import { tcp } from "./transports/tcp.ts";

/** The DHT of plasm nodes, apart from the public one of IPFS. */
export const KAD_PROTOCOL = "/plasm/kad/1.0.0";

/** Handshakes under way at once; more are dropped, so that half-open connections stay few. */
const MAX_PENDING_INBOUND = 64;
/** Streams that may arrive before our side of an upgrade is done: a client may open all at once. */
const MAX_EARLY_STREAMS = 64;
/** One address of a peer; QUIC has its own, shorter. */
const ADDRESS_DIAL_TIMEOUT_MS = 6_000;

/** How often a connection is tried: a peer that vanished without a word is let go soon after. */
const PING_INTERVAL_MS = 30_000;

/** How long a ping may take: over a slow link it waits behind all that was written before it. */
const PING_TIMEOUT_MS = 60_000;
/** Reservations a relay holds; each costs one connection. */
const MAX_RESERVATIONS = 64;
/** What one relayed connection may carry, and for how long. Hole punching makes it short-lived. */
const RELAY_BYTES = 64n * 1024n * 1024n;
const RELAY_MS = 10 * 60 * 1000;
/** The DHT holds queries back until its first look for itself; a client's search waits for that. */
const FIRST_SELF_QUERY_MS = 100;
/** Provider records kept in memory; the DHT's own default is for a much larger network. */
const PROVIDER_CACHE = 1024;

/** Which ways to be reachable are tried. */
export interface NatOptions {
  /**
   * Whether peers are asked if they can reach us.
   * @default {true}
   */
  autonat?: boolean | undefined;
  /**
   * Whether the router is asked for a port by UPnP.
   * @default {false}
   */
  upnp?: boolean | undefined;
  /**
   * Whether a relay is used where nothing else works, and connections through it are made direct.
   * @default {true}
   */
  relay?: boolean | undefined;
  /**
   * Whether others may use this node as a relay.
   * @default {true}
   */
  relayServer?: boolean | undefined;
}

/** Bounds on connections. */
export interface ConnectionLimits {
  /** @default {256} */
  connections?: number | undefined;
  /** @default {8} */
  connectionsPerPeer?: number | undefined;
  /**
   * Connections accepted from one address in a second.
   * @default {16}
   */
  inboundPerSecond?: number | undefined;
  /** @default {64} */
  streamsPerConnection?: number | undefined;
  /** @default {10000} */
  dialTimeoutMs?: number | undefined;
}

/** What a {@linkcode createNode} is made of. */
export interface NodeOptions {
  /** 32 bytes. */
  secretKey: Uint8Array;
  listen: readonly string[];
  announce: readonly string[];
  /** A client asks the DHT and answers nothing. */
  mode: "server" | "client";
  /** Whether addresses of private networks are told and dialled. */
  allowPrivate: boolean;
  mdns: boolean;
  nat: NatOptions;
  limits: ConnectionLimits;
  gater: Gater;
  /** Called for each peer over its DHT rate. @default {none} */
  onFlood?: OnRefused | undefined;
  /** In place of TCP and QUIC, for tests and benches in one process. */
  transports?: Libp2pInit["transports"];
}

/** A node and the parts of it that libp2p does not show. */
export interface PlasmNode {
  libp2p: Libp2p;
  dht: KadDHT;
  ping: Ping;
  internals: Libp2pComponents;
}

/** Makes a node. It is not started. */
export async function createNode(options: NodeOptions): Promise<PlasmNode> {
  const { limits, nat, mode, allowPrivate } = options;
  const isServer = mode === "server";
  let internals: Libp2pComponents | undefined;
  const services = {
    identify: identify(),
    identifyPush: identifyPush(),
    ping: ping(),
    dht: dhtService({
      protocol: KAD_PROTOCOL,
      clientMode: !isServer,
      peerInfoMapper: allowPrivate ? passthroughMapper : removePrivateAddressesMapper,
      providers: { cacheSize: PROVIDER_CACHE },
      initialQuerySelfInterval: FIRST_SELF_QUERY_MS,
    }, options.onFlood),
    ...(nat.autonat ?? true ? { autonat: autonatService() } : {}),
    ...(nat.upnp ? { upnp: await upnpService() } : {}),
    ...(nat.relay ?? true ? { dcutr: dcutrService() } : {}),
    ...((nat.relayServer ?? true) && isServer ? { relay: relayService() } : {}),
    internals: (components: unknown) => {
      internals = components as Libp2pComponents;
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
      ...(options.transports ?? [quic(), tcp()]),
      circuitRelayTransport() as NonNullable<Libp2pInit["transports"]>[number],
    ],
    // A port in use is an error, not a node that cannot be reached.
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
      inboundConnectionThreshold: limits.inboundPerSecond ?? 16,
      maxIncomingPendingConnections: MAX_PENDING_INBOUND,
      dialTimeout: limits.dialTimeoutMs ?? 10_000,
      addressDialTimeout: ADDRESS_DIAL_TIMEOUT_MS,
      addressSorter: compareAddresses,
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
  cachePeerMerges(libp2p.peerStore);
  const parts = libp2p.services as unknown as { dht: KadDHT; ping: Ping };
  return { libp2p, dht: parts.dht, ping: parts.ping, internals: internals! };
}

/** Loopback addresses are announced only if there are no others, private ones only if configured. */
function announced(addresses: Multiaddr[], allowPrivate: boolean): Multiaddr[] {
  const elsewhere = addresses.filter((address) => !isLoopback(address));
  if (elsewhere.length === 0) return allowPrivate ? addresses : [];
  return allowPrivate ? elsewhere : elsewhere.filter((address) => !isPrivate(address));
}

function dhtService(
  init: KadDHTInit,
  onFlood: OnRefused = () => {},
): (components: Libp2pComponents) => KadDHT {
  const make = kadDHT(init) as unknown as (components: Libp2pComponents) => KadDHT;
  return (components) => make(limitRequests(components, onFlood));
}

function autonatService(): (components: Libp2pComponents) => unknown {
  const init: AutoNATServiceInit = {};
  const make = autoNAT(init) as unknown as (components: Libp2pComponents) => unknown;
  return (components) => make(dialBackOnNewConnection(components));
}

function dcutrService(): (components: Libp2pComponents) => unknown {
  const make = dcutr() as unknown as (components: Libp2pComponents) => unknown;
  return (components) => make(withObservedAddresses(components));
}

// UPnP and mDNS are loaded where they are wanted: they bring XML, DNS and HTTP with them.

async function upnpService(): Promise<(components: Libp2pComponents) => unknown> {
  const { uPnPNAT } = await import("@libp2p/upnp-nat");
  const make = uPnPNAT({ portMappingDescription: RUNTIME_NAME }) as unknown as (
    components: Libp2pComponents,
  ) => unknown;
  return (components) => make(withQuicListedAsV1(components));
}

async function mdnsDiscovery(): Promise<unknown> {
  const { mdns } = await import("@libp2p/mdns");
  return mdns({ serviceTag: "_plasm._udp.local" });
}

function relayService(): unknown {
  return circuitRelayServer({
    reservations: {
      maxReservations: MAX_RESERVATIONS,
      defaultDurationLimit: RELAY_MS,
      defaultDataLimit: RELAY_BYTES,
    },
  });
}
