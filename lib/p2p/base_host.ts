/**
 * Creates a libp2p host with the transports, encryption, multiplexing and limits that all hosts of plasm share. The
 * services of a host are given.
 *
 * @module
 */
import { circuitRelayTransport } from "@libp2p/circuit-relay-v2";
import { generateKeyPairFromSeed } from "@libp2p/crypto/keys";
import { FaultTolerance, type Transport } from "@libp2p/interface";
import { isLoopback, isPrivate } from "@libp2p/utils";
import type { Multiaddr } from "@multiformats/multiaddr";
import { createLibp2p, type Libp2p, type Libp2pInit } from "libp2p";
import { RUNTIME_NAME, VERSION } from "../core/mod.ts";
import type { ReloadableGater } from "./access/connection_gater.ts";
import type { PrivateDials } from "./connectivity/dial_ranking.ts";
import { SILENT_LOGGER } from "./network_events.ts";
import { matchQuicRelays } from "./patches/circuit_matcher.ts";
import {
  cachePeerMerges,
  type Libp2pComponents,
  limitPeerAddresses,
} from "./patches/libp2p_components.ts";
import { noiseEncryption } from "./patches/noise_crypto.ts";
import { createLocksWithoutChannel } from "./patches/open_handles.ts";
import {
  type RelayComponents,
  type RelaySearchComponents,
  reserveOnPublicNodes,
  usableAddresses,
  withPacedWalk,
} from "./patches/public_relays.ts";
import { staggerDials } from "./patches/staggered_dials.ts";
import { batchingYamux, MAX_STREAM_WINDOW_BYTES } from "./patches/yamux.ts";
import { BoundedDatastore } from "./state/bounded_datastore.ts";
import { quic } from "./transports/quic.ts";
import { tcp } from "./transports/tcp.ts";

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

/** Options of {@linkcode createHost}. */
export interface HostOptions {
  /** Ed25519 secret key, 32 bytes. */
  secretKey: Uint8Array;
  /** Multiaddrs to listen on. @default {[]: the host only dials} */
  listen?: readonly string[] | undefined;
  /** Multiaddrs to announce instead of the listening addresses. @default {[]} */
  announce?: readonly string[] | undefined;
  /** Announces and dials addresses of private networks. */
  allowPrivate: boolean;
  /** Private addresses to dial. @default {"last"; "never" without `allowPrivate`} */
  privateDials?: PrivateDials | undefined;
  limits?: ConnectionLimits | undefined;
  gater: ReloadableGater;
  /** Transports, for tests and benches within one process. @default {QUIC and TCP} */
  transports?: Libp2pInit["transports"];
  /** Discovers peers besides the services. @default {none} */
  peerDiscovery?: unknown[] | undefined;
  services: Record<string, unknown>;
}

/** Host with the parts that libp2p's interface hides. */
export interface PlasmHost {
  libp2p: Libp2p;
  components: Libp2pComponents;
}

/** Creates a host without starting it. */
export async function createHost(options: HostOptions): Promise<PlasmHost> {
  const { limits = {}, allowPrivate } = options;
  const inboundPerSecond = limits.inboundPerSecond ?? 16;
  const perAddress = Math.min(2 * inboundPerSecond, MAX_HANDSHAKES_PER_ADDRESS);
  const handshakes = { total: MAX_HANDSHAKES, perAddress, perNetwork: 2 * perAddress };
  let components: Libp2pComponents | undefined;
  matchQuicRelays();
  const libp2p = await createLibp2p({
    start: false,
    privateKey: await generateKeyPairFromSeed("Ed25519", options.secretKey),
    nodeInfo: { name: RUNTIME_NAME, version: VERSION, userAgent: `${RUNTIME_NAME}/${VERSION}` },
    logger: SILENT_LOGGER,
    datastore: new BoundedDatastore(),
    addresses: {
      listen: [...options.listen ?? []],
      announce: [...options.announce ?? []],
      announceFilter: (addresses: Multiaddr[]) => announced(addresses, allowPrivate),
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
    ...(options.peerDiscovery === undefined ? {} : { peerDiscovery: options.peerDiscovery }),
    services: {
      ...options.services,
      // A service that only receives the components.
      components: (all: unknown) => {
        components = all as Libp2pComponents;
        return {};
      },
    },
  } as unknown as Libp2pInit);
  createLocksWithoutChannel(libp2p.peerStore, libp2p.peerId);
  limitPeerAddresses(libp2p.peerStore);
  cachePeerMerges(libp2p.peerStore);
  staggerDials(components!.connectionManager, {
    privateDials: options.privateDials ?? (allowPrivate ? "last" : "never"),
  });
  return { libp2p, components: components! };
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
