/**
 * Starts a node of the peer network and provides its operations to daemon and clients.
 *
 * @module
 */
import type { Stream } from "@libp2p/interface";
import { peerIdFromString } from "@libp2p/peer-id";
import { multiaddr } from "@multiformats/multiaddr";
import type { Libp2p, Libp2pInit } from "libp2p";
import type { Identity } from "../core/mod.ts";
import { PlasmError } from "../core/errors/mod.ts";
import { RateLimiter } from "../util/mod.ts";
import { createConnectionGater, type ReloadableGater } from "./access/connection_gater.ts";
import type { ConnectionLimits } from "./base_host.ts";
import { checkAddress, checkListenAddress, readPeer, withTcp } from "./addresses.ts";
import {
  type Bootstrap,
  bootstrapError,
  type BootstrapStatus,
  connectBootstrap,
  dialDiscoveredPeers,
} from "./connectivity/bootstrap.ts";
import { ConnectionTracker, type PeerConnection } from "./connectivity/connection_tracker.ts";
import type { PrivateDials } from "./connectivity/dial_ranking.ts";
import type { ResolveTxt } from "./connectivity/dnsaddr.ts";
import { NatTraversal, type Reachability } from "./connectivity/nat_traversal.ts";
import {
  dialOptimisticStream,
  type DialOptions,
  dialStream,
} from "./connectivity/stream_dialer.ts";
import type { Candidate, DiscoverCriteria } from "./discovery/candidate.ts";
import {
  type Capability,
  CAPABILITY_PROTOCOL,
  type CapabilityFields,
  serveCapability,
} from "./discovery/capability.ts";
import { CapabilityPublisher } from "./discovery/capability_publisher.ts";
import { type DiscoverOptions, Discovery } from "./discovery/discovery.ts";
import { RecentCandidates, type RecentOptions } from "./discovery/recent_candidates.ts";
import { createNode, KAD_PROTOCOL, type NatOptions, type PlasmNode } from "./libp2p_node.ts";
import { type EmitEvent, type NetworkEvent, reasonOf } from "./network_events.ts";
import { limitReceiveWindow } from "./patches/yamux.ts";
import { stopWithTimers } from "./patches/open_handles.ts";
import type { OptimisticStream } from "./patches/optimistic_stream.ts";
import {
  type PeerOutcome,
  type PeerRecord,
  PeerStateStore,
  Reputation,
} from "./state/peer_state.ts";

/** Options of {@linkcode createNetwork}. */
export interface NetworkOptions {
  /** Identity of the node; its key signs receipts and authenticates the peer. */
  identity: Identity;
  /**
   * Multiaddrs to listen on. A QUIC address includes TCP on the same port, unless another address has TCP.
   * @default {[]: the node only dials}
   */
  listen?: readonly string[] | undefined;
  /**
   * Multiaddrs to announce instead of the listening addresses.
   * @default {[]}
   */
  announce?: readonly string[] | undefined;
  /**
   * Multiaddrs of the bootstrap nodes.
   * @default {[]}
   */
  bootstrap?: readonly string[] | undefined;
  /**
   * Queries the TXT records of `/dnsaddr` bootstrap addresses.
   * @default {the resolver of the system}
   */
  resolveTxt?: ResolveTxt | undefined;
  /**
   * Mode in the DHT. A client queries it and answers no queries.
   * @default {"server"}
   */
  mode?: "server" | "client" | undefined;
  /**
   * Private addresses that are dialed when a peer lists them: those of this machine's subnets (`near`), or others too
   * after all other addresses (`last`). With `never` none are announced either. Addresses that are given, such as those
   * of bootstrap nodes, are dialed anyway.
   * @default {"last"}
   */
  privateAddresses?: PrivateDials | undefined;
  /**
   * Discovers nodes on the same link by multicast DNS.
   * @default {false}
   */
  mdns?: boolean | undefined;
  /**
   * Methods of NAT traversal.
   * @default {all but UPnP}
   */
  nat?: NatOptions | undefined;
  /**
   * Limits on connections.
   * @default {see ConnectionLimits}
   */
  limits?: ConnectionLimits | undefined;
  /**
   * Peer ids and address ranges to allow; see {@linkcode createConnectionGater}.
   * @default {all}
   */
  allow?: readonly string[] | undefined;
  /**
   * Peer ids and address ranges to deny.
   * @default {[]}
   */
  deny?: readonly string[] | undefined;
  /**
   * Directory where known peers and their reputation are saved.
   * @default {none: nothing is saved}
   */
  stateDir?: string | undefined;
  /**
   * Receives events. Must not throw.
   * @default {none}
   */
  log?: ((event: NetworkEvent) => void) | undefined;
  /**
   * Transports, for tests and benches within one process.
   * @default {QUIC and TCP}
   */
  transports?: Libp2pInit["transports"];
}

/** Sender of an incoming stream. */
export interface StreamContext {
  /** Peer that opened the stream. */
  peerId: string;
  /** Counts another request on the stream as if it were a new stream; returns false above the peer's rate limit. */
  takeRequest: () => boolean;
}

/** Serves one stream of a protocol. The stream is reset if it throws. */
export type StreamHandler = (stream: Stream, context: StreamContext) => void | Promise<void>;

/** Options of {@linkcode PlasmNetwork.handle}. */
export interface HandleOptions {
  /**
   * Concurrent streams of one connection.
   * @default {32}
   */
  maxStreams?: number | undefined;
  /**
   * Streams that a peer may open at once after an idle period.
   * @default {32}
   */
  burst?: number | undefined;
  /**
   * Streams that a peer may open a second in the long run.
   * @default {8}
   */
  perSecond?: number | undefined;
}

/**
 * Starts a node.
 *
 * @throws {PlasmError} `bad-config` if an address or a list entry is invalid, `busy` if an address to listen on is in
 * use.
 */
export async function createNetwork(options: NetworkOptions): Promise<PlasmNetwork> {
  const nodeId = options.identity.peerId;
  const emit: EmitEvent = (event) => options.log?.({ ...event, node_id: nodeId });
  const gater = createConnectionGater({ allow: options.allow, deny: options.deny, emit });
  const node = await createNode({
    secretKey: options.identity.secretKey,
    listen: options.transports === undefined
      ? withTcp((options.listen ?? []).map(checkListenAddress))
      : options.listen ?? [],
    announce: (options.announce ?? []).map(checkAddress),
    mode: options.mode ?? "server",
    allowPrivate: options.privateAddresses !== "never",
    privateDials: options.privateAddresses,
    mdns: options.mdns ?? false,
    nat: options.nat ?? {},
    limits: options.limits ?? {},
    gater,
    onFlood: ({ peerId, reason }) =>
      emit({
        event: "refused",
        peer_id: peerId,
        key: KAD_PROTOCOL,
        error_code: "over-limit",
        reason,
      }),
    transports: options.transports,
  });
  const network = new PlasmNetwork({ node, options, gater, emit });
  await network.start();
  return network;
}

interface NetworkParts {
  node: PlasmNode;
  options: NetworkOptions;
  gater: ReloadableGater;
  emit: EmitEvent;
}

/** Node of the network, created by {@linkcode createNetwork}. */
export class PlasmNetwork {
  #node: PlasmNode;
  #options: NetworkOptions;
  #gater: ReloadableGater;
  #emit: EmitEvent;
  #reputation = new Reputation();
  #recent = new RecentCandidates(this.#reputation);
  #connections: ConnectionTracker;
  #publisher: CapabilityPublisher;
  #discovery: Discovery;
  #nat: NatTraversal | undefined;
  #state: PeerStateStore | undefined;
  #bootstrap: Bootstrap = { status: () => [], dialed: Promise.resolve() };
  #stopping = new AbortController();

  constructor({ node, options, gater, emit }: NetworkParts) {
    this.#node = node;
    this.#options = options;
    this.#gater = gater;
    this.#emit = emit;
    const maxPerPeer = options.limits?.connectionsPerPeer ?? 8;
    this.#connections = new ConnectionTracker({ libp2p: node.libp2p, emit, maxPerPeer });
    const { signal } = this.#stopping;
    this.#publisher = new CapabilityPublisher({ node, signer: options.identity, emit, signal });
    this.#discovery = new Discovery({
      node,
      reputation: this.#reputation,
      recent: this.#recent,
      emit,
      joinFailure: () => this.#joinFailure(),
    });
  }

  /** Starts the node; {@linkcode createNetwork} calls it. */
  async start(): Promise<void> {
    const { libp2p } = this.#node;
    const { signal } = this.#stopping;
    const { bootstrap = [], stateDir, listen = [] } = this.#options;
    try {
      await libp2p.start();
      await this.handle(
        CAPABILITY_PROTOCOL,
        (stream) => serveCapability(stream, this.#publisher.document),
      );
    } catch (error) {
      await stopWithTimers(this.#node);
      throw new PlasmError("busy", `Cannot start network: ${reasonOf(error)}`, {
        hint: `Is another program listening on ${listen.join(" or ")}?`,
        cause: error,
      });
    }
    this.#emit({ event: "network-started", address: this.addresses().join(" ") });
    this.#bootstrap = connectBootstrap({
      node: this.#node,
      addresses: bootstrap,
      emit: this.#emit,
      signal,
      resolveTxt: this.#options.resolveTxt,
    });
    if (stateDir !== undefined) {
      const connections = this.#connections;
      const reputation = this.#reputation;
      this.#state = new PeerStateStore({
        stateDir,
        libp2p,
        reputation,
        connections,
        emit: this.#emit,
        signal,
      });
      await this.#state.start();
    }
    if (this.#options.mdns) dialDiscoveredPeers(libp2p, signal);
    if (listen.length > 0) {
      const nat = this.#options.nat ?? {};
      this.#nat = new NatTraversal({ node: this.#node, nat, emit: this.#emit, signal });
    }
  }

  /** Stops the node. Safe to call twice. */
  async stop(): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    this.#stopping.abort();
    await this.#publisher.withdraw();
    await this.#state?.save();
    await stopWithTimers(this.#node);
    this.#emit({ event: "network-stopped" });
  }

  /** Peer id of this node. */
  get peerId(): string {
    return this.#options.identity.peerId;
  }

  /** Announced addresses, with the peer id. */
  addresses(): string[] {
    return this.#node.libp2p.getMultiaddrs().map(String);
  }

  /** Open connections. */
  peers(): PeerConnection[] {
    return this.#connections.list();
  }

  /** Reachability of this node from other networks. */
  reachability(): Reachability {
    return this.#nat?.reachability ?? { status: "private", by: null, addresses: [] };
  }

  /** Status of each bootstrap node. */
  bootstrap(): readonly BootstrapStatus[] {
    return this.#bootstrap.status();
  }

  /** Reports whether the node has joined: it has a connection, or no bootstrap node. */
  isReady(): boolean {
    return !this.#stopping.signal.aborted &&
      (this.bootstrap().length === 0 || this.#node.libp2p.getConnections().length > 0);
  }

  /** Number of peers in the DHT's routing table. */
  routingTableSize(): number {
    return (this.#node.dht as unknown as { routingTable: { size: number } }).routingTable.size;
  }

  /**
   * Searches for nodes; see {@linkcode Discovery.find}.
   *
   * @throws {PlasmError} `no-peer`, naming each bootstrap node, if none answers and the node has no other connection.
   * @throws The signal's reason if it aborts.
   */
  discover(criteria: DiscoverCriteria, options?: DiscoverOptions): AsyncGenerator<Candidate> {
    return this.#discovery.find(criteria, options);
  }

  /** Candidates that have answered lately, the best first; see {@linkcode RecentCandidates.list}. */
  recentCandidates(criteria: DiscoverCriteria, options: RecentOptions): Candidate[] {
    return this.#recent.list(criteria, options);
  }

  /**
   * Queries the capabilities of one peer.
   *
   * @param peer Peer id, or a multiaddr that ends with one.
   * @throws {PlasmError} `no-peer`, `protocol` or `not-found`; `usage` if `peer` is invalid.
   */
  async queryPeer(peer: string, { signal }: { signal?: AbortSignal } = {}): Promise<Candidate> {
    const { peerId, addresses } = readPeer(peer);
    const isKnown = addresses.length > 0 || (await this.peerAddresses(peerId)).length > 0;
    const target = { id: peerIdFromString(peerId), multiaddrs: addresses };
    return await this.#discovery.queryPeer(target, { signal, isKnown });
  }

  /** Resolves when the first dials have completed, to an error if the node has no connection then. */
  async #joinFailure(): Promise<PlasmError | undefined> {
    await Promise.all([this.#bootstrap.dialed, this.#state?.redialed]);
    // Nodes on the same link may connect at any time.
    if (this.#options.mdns || this.#node.libp2p.getConnections().length > 0) return undefined;
    return bootstrapError(this.bootstrap());
  }

  /**
   * Publishes the capabilities of this node. Call it again on every change.
   *
   * @throws {PlasmError} `internal` if the fields violate the schema.
   */
  async publish(fields: CapabilityFields): Promise<void> {
    await this.#publisher.publish(fields);
  }

  /** Published document; undefined before the first {@linkcode PlasmNetwork.publish}. */
  get capability(): Capability | undefined {
    return this.#publisher.document;
  }

  /** Records the outcome of a job on a peer, which affects its score in later searches. */
  recordOutcome(peerId: string, outcome: PeerOutcome): void {
    this.#reputation.recordJob(peerId, outcome);
    if (!outcome.ok) this.#recent.delete(peerId);
  }

  /** What is known of other peers' past results. */
  records(): { peerId: string; record: Readonly<PeerRecord> }[] {
    return this.#reputation.all();
  }

  /**
   * Replaces the allow and deny lists.
   *
   * @throws {PlasmError} `bad-config` if an entry is invalid.
   */
  setAccessLists(lists: { allow?: readonly string[]; deny?: readonly string[] }): void {
    this.#gater.setAccessLists(lists);
  }

  /** Known multiaddrs of a peer; none for an unknown peer. */
  async peerAddresses(peerId: string): Promise<string[]> {
    const { peerStore } = this.#node.libp2p;
    const id = peerIdFromString(peerId);
    if (!await peerStore.has(id)) return [];
    return (await peerStore.get(id)).addresses.map(({ multiaddr }) => multiaddr.toString());
  }

  /** Adds multiaddrs of a peer to the peer store. */
  async addAddresses(peerId: string, addresses: readonly string[]): Promise<void> {
    const multiaddrs = addresses.map((text) => multiaddr(text));
    await this.#node.libp2p.peerStore.merge(peerIdFromString(peerId), { multiaddrs });
  }

  /**
   * Opens a stream to a peer.
   *
   * @param peer Peer id, or a multiaddr that ends with one.
   * @throws {PlasmError} `no-peer` if the peer is unreachable or does not support the protocol, `usage` if `peer` is
   * invalid.
   * @throws The signal's reason if it aborts.
   */
  async dialProtocol(
    peer: string,
    protocol: string,
    options: DialOptions = {},
  ): Promise<Stream> {
    return await dialStream(peer, {
      ...options,
      ...this.#dialing(),
      protocol,
      open: async (connection, signal) =>
        await connection.newStream(protocol, { signal, runOnLimitedConnection: true }),
    });
  }

  /**
   * Opens a stream without waiting for the peer to accept the protocol, which saves a round trip.
   *
   * @param peer Peer id, or a multiaddr that ends with one.
   * @throws {PlasmError} `no-peer` if the peer is unreachable, `usage` if `peer` is invalid.
   * @throws The signal's reason if it aborts.
   */
  async dialOptimistic(
    peer: string,
    protocol: string,
    options: DialOptions = {},
  ): Promise<OptimisticStream> {
    return await dialOptimisticStream(peer, { ...options, ...this.#dialing(), protocol });
  }

  #dialing(): { libp2p: Libp2p; emit: EmitEvent } {
    return { libp2p: this.#node.libp2p, emit: this.#emit };
  }

  /** Serves a protocol with a rate limit for each peer, also over relayed connections. */
  async handle(
    protocol: string,
    handler: StreamHandler,
    { maxStreams = 32, burst = 32, perSecond = 8 }: HandleOptions = {},
  ): Promise<void> {
    const limiter = new RateLimiter({ burst, perSecond });
    await this.#node.libp2p.handle(protocol, async (stream, connection) => {
      const peerId = connection.remotePeer.toString();
      const refuse = (code: "over-limit" | "protocol", reason: string) => {
        this.#emit({ event: "refused", peer_id: peerId, key: protocol, error_code: code, reason });
        stream.abort(new Error(reason));
      };
      const takeRequest = (): boolean => limiter.take(peerId);
      if (!takeRequest()) {
        refuse("over-limit", `more than ${perSecond} streams a second`);
        return;
      }
      limitReceiveWindow(stream, connection);
      try {
        await handler(stream, { peerId, takeRequest });
      } catch (error) {
        refuse("protocol", reasonOf(error));
      }
    }, { maxInboundStreams: maxStreams, runOnLimitedConnection: true });
  }

  /** Stops serving a protocol. */
  async unhandle(protocol: string): Promise<void> {
    await this.#node.libp2p.unhandle(protocol);
  }
}
