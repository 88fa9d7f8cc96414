/**
 * Creates the libp2p node from its services, with limits on each.
 *
 * @module
 */
import { autoNAT, type AutoNATServiceInit } from "@libp2p/autonat";
import { circuitRelayServer } from "@libp2p/circuit-relay-v2";
import { dcutr } from "@libp2p/dcutr";
import { identify, identifyPush } from "@libp2p/identify";
import {
  type KadDHT,
  kadDHT,
  type KadDHTInit,
  passthroughMapper,
  removePrivateAddressesMapper,
} from "@libp2p/kad-dht";
import { type Ping, ping } from "@libp2p/ping";
import { RUNTIME_NAME } from "../core/mod.ts";
import { createHost, type HostOptions, type PlasmHost } from "./base_host.ts";
import {
  dialBackOnNewConnection,
  type Libp2pComponents,
  limitRequests,
  type OnRefused,
  withObservedAddresses,
  withQuicListedAsV1,
} from "./patches/libp2p_components.ts";
import {
  patchProviderRecords,
  RECORD_CLEANUP_MS,
  RECORD_VALIDITY_MS,
} from "./patches/provider_records.ts";
import { type RelaySearchComponents, withPacedWalk } from "./patches/public_relays.ts";
import { sendLimitsInSeconds } from "./patches/relay_limits.ts";
import { admitServersOnly } from "./patches/routing_table.ts";

/** Protocol of the DHT of plasm nodes, which is separate from the public DHT of IPFS. */
export const KAD_PROTOCOL = "/plasm/kad/1.0.0";

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

/** Options of {@linkcode createNode}. */
export interface NodeOptions extends Omit<HostOptions, "services" | "peerDiscovery"> {
  /** Mode in the DHT. A client queries it and answers no queries. */
  mode: "server" | "client";
  /** Discovers nodes on the same link by multicast DNS. */
  mdns: boolean;
  nat: NatOptions;
  /** Called when a peer exceeds its rate limit in the DHT. @default {none} */
  onFlood?: OnRefused | undefined;
}

/** Node with the parts that libp2p's interface hides. */
export interface PlasmNode extends PlasmHost {
  dht: KadDHT;
  ping: Ping;
}

/** Creates a node without starting it. */
export async function createNode(options: NodeOptions): Promise<PlasmNode> {
  const { nat, mode } = options;
  const isServer = mode === "server";
  const { libp2p, components } = await createHost({
    ...options,
    ...(options.mdns ? { peerDiscovery: [await mdnsDiscovery()] } : {}),
    services: {
      identify: identify(),
      identifyPush: identifyPush(),
      ping: ping(),
      dht: dhtService(options),
      ...(nat.autonat ?? true ? { autonat: autonatService() } : {}),
      ...(nat.upnp ? { upnp: await upnpService() } : {}),
      ...(nat.relay ?? true ? { dcutr: dcutrService() } : {}),
      ...((nat.relayServer ?? true) && isServer ? { relay: relayService() } : {}),
    },
  });
  const { dht, ping: pings } = libp2p.services as unknown as { dht: KadDHT; ping: Ping };
  return { libp2p, dht, ping: pings, components };
}

/** Creates the DHT of a node from libp2p's components. */
export function dhtService(
  { mode, allowPrivate, onFlood = () => {} }: Pick<
    NodeOptions,
    "mode" | "allowPrivate" | "onFlood"
  >,
): (components: Libp2pComponents) => KadDHT {
  const init: KadDHTInit = {
    protocol: KAD_PROTOCOL,
    clientMode: mode === "client",
    peerInfoMapper: allowPrivate ? passthroughMapper : removePrivateAddressesMapper,
    // The publisher stores them again itself.
    reprovide: { validity: RECORD_VALIDITY_MS, interval: RECORD_CLEANUP_MS, threshold: 0 },
    initialQuerySelfInterval: FIRST_SELF_QUERY_MS,
  };
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
