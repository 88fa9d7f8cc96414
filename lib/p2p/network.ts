/**
 * The front of the peer network: what daemon and client use.
 * @module
 */
import type { Stream } from "@libp2p/interface";
import { peerIdFromString } from "@libp2p/peer-id";
import { multiaddr } from "@multiformats/multiaddr";
import { PlasmError } from "../core/errors/mod.ts";
import { pathOf, transportOf } from "./addresses.ts";
import { type BootstrapStatus, joinNetwork } from "./connectivity/bootstrap.ts";
import type { Candidate, DiscoverCriteria } from "./discovery/candidate.ts";
import type { Capability, CapabilityFields } from "./discovery/capability.ts";
import { CAPABILITY_PROTOCOL, serveCapability } from "./discovery/capability.ts";
import {
  ConnectionTracker,
  openConnection,
  type PeerConnection,
} from "./connectivity/connection_tracker.ts";
import { type DiscoverOptions, Discovery } from "./discovery/discovery.ts";
import { openOptimisticStream } from "./patches/optimistic_stream.ts";
import { type EmitEvent, reasonOf } from "./network_events.ts";
import { createGater, type Gater } from "./access/connection_gater.ts";
import { checkAddress, checkListenAddress } from "./addresses.ts";
import { dialNeighbours } from "./connectivity/bootstrap.ts";
import { NatLadder, type Reachability } from "./connectivity/nat_traversal.ts";
import type {
  DialOptions,
  HandleOptions,
  NetworkOptions,
  StreamHandler,
} from "./network_options.ts";
import { createNode, KAD_PROTOCOL, type PlasmNode } from "./libp2p_node.ts";
import { readPeer } from "./addresses.ts";
import { CapabilityPublisher } from "./discovery/capability_publisher.ts";
import { RateLimiter } from "../util/mod.ts";
import { Reputation } from "./state/reputation.ts";
import { StateKeeper } from "./state/saved_peers.ts";
import { fitWindow } from "./patches/stream_window.ts";

export type { HandleOptions, NetworkOptions, StreamHandler };

/** Dialling one peer by all its addresses and opening the stream. */
const DIAL_TIMEOUT_MS = 20_000;

/**
 * Joins the network.
 *
 * @throws {PlasmError} `bad-config` where an address or a list entry cannot be read, `busy` where
 * an address to listen on is in use
 */
export async function createNetwork(options: NetworkOptions): Promise<PlasmNetwork> {
  const nodeId = options.identity.peerId;
  const emit: EmitEvent = (event) => options.log?.({ ...event, node_id: nodeId });
  const gater = createGater({ allow: options.allow, deny: options.deny, emit });
  const node = await createNode({
    secretKey: options.identity.secretKey,
    listen: (options.listen ?? []).map((text) =>
      options.transports === undefined ? checkListenAddress(text) : text
    ),
    announce: (options.announce ?? []).map(checkAddress),
    mode: options.mode ?? "server",
    allowPrivate: options.allowPrivate ?? true,
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
  gater: Gater;
  emit: EmitEvent;
}

/** A node in the network. Made by {@linkcode createNetwork}. */
export class PlasmNetwork {
  #node: PlasmNode;
  #options: NetworkOptions;
  #gater: Gater;
  #emit: EmitEvent;
  #reputation = new Reputation();
  #connections: ConnectionTracker;
  #publisher: CapabilityPublisher;
  #discovery: Discovery;
  #nat: NatLadder | undefined;
  #state: StateKeeper | undefined;
  #bootstrap: readonly BootstrapStatus[] = [];
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
    this.#discovery = new Discovery({ node, reputation: this.#reputation, emit });
  }

  /** Called by {@linkcode createNetwork}. */
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
      await libp2p.stop();
      throw new PlasmError("busy", `Cannot start network: ${reasonOf(error)}`, {
        hint: `Is another program listening on ${listen.join(" or ")}?`,
        cause: error,
      });
    }
    this.#emit({ event: "network_started", address: this.addresses().join(" ") });
    this.#bootstrap = joinNetwork({
      node: this.#node,
      addresses: bootstrap,
      emit: this.#emit,
      signal,
    });
    if (stateDir !== undefined) {
      const connections = this.#connections;
      const reputation = this.#reputation;
      this.#state = new StateKeeper({
        stateDir,
        libp2p,
        reputation,
        connections,
        emit: this.#emit,
        signal,
      });
      await this.#state.start();
    }
    if (this.#options.mdns) dialNeighbours(libp2p, signal);
    if (listen.length > 0) {
      const nat = this.#options.nat ?? {};
      this.#nat = new NatLadder({ node: this.#node, nat, emit: this.#emit, signal });
    }
  }

  /** Leaves the network. May be called again. */
  async stop(): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    this.#stopping.abort();
    await this.#state?.save();
    await this.#node.libp2p.stop();
    this.#emit({ event: "network_stopped" });
  }

  /** Our own peer id. */
  get peerId(): string {
    return this.#options.identity.peerId;
  }

  /** What we tell others to dial, with our peer id. */
  addresses(): string[] {
    return this.#node.libp2p.getMultiaddrs().map(String);
  }

  /** All open connections. */
  peers(): PeerConnection[] {
    return this.#connections.list();
  }

  /** Whether and how strangers reach this node. */
  reachability(): Reachability {
    return this.#nat?.reachability ?? { status: "private", by: null, addresses: [] };
  }

  /** The bootstrap nodes and whether they answer. */
  bootstrap(): readonly BootstrapStatus[] {
    return this.#bootstrap;
  }

  /** Whether the node has joined: it has a connection, or no address to connect to. */
  isReady(): boolean {
    return !this.#stopping.signal.aborted &&
      (this.#bootstrap.length === 0 || this.#node.libp2p.getConnections().length > 0);
  }

  /** Peers in the DHT's routing table. */
  routingTableSize(): number {
    return (this.#node.dht as unknown as { routingTable: { size: number } }).routingTable.size;
  }

  /**
   * Searches for nodes; see {@linkcode Discovery.find}.
   *
   * @throws {DOMException} where the signal is aborted: its reason
   */
  discover(criteria: DiscoverCriteria, options?: DiscoverOptions): AsyncGenerator<Candidate> {
    return this.#discovery.find(criteria, options);
  }

  /**
   * Asks one peer what it can run.
   *
   * @param peer A peer id, or a multiaddr that ends with one
   * @throws {PlasmError} `no-peer`, `protocol`, `not-found`; `usage` where `peer` is neither
   */
  async ask(peer: string, { signal }: { signal?: AbortSignal } = {}): Promise<Candidate> {
    const target = readPeer(peer);
    const never = new AbortController().signal;
    return await this.#discovery.ask(
      { id: peerIdFromString(target.peerId), multiaddrs: target.addresses },
      signal ?? never,
    );
  }

  /**
   * Publishes the capabilities of this node; call it again on every change.
   *
   * @throws {PlasmError} `internal` where the fields do not follow the schema
   */
  async publish(fields: CapabilityFields): Promise<void> {
    await this.#publisher.publish(fields);
  }

  /** The document that others see; undefined before the first {@linkcode PlasmNetwork.publish}. */
  get capability(): Capability | undefined {
    return this.#publisher.document;
  }

  /** Notes how a job on a peer went; it counts in later searches. */
  noteOutcome(peerId: string, outcome: { ok: boolean }): void {
    this.#reputation.note(peerId, outcome);
  }

  /** Puts new allow and deny lists in place. @throws {PlasmError} `bad-config` */
  setLists(lists: { allow?: readonly string[]; deny?: readonly string[] }): void {
    this.#gater.setLists(lists);
  }

  /** Where a peer says that it can be reached, as multiaddrs; of none where it is not known. */
  async addressesOf(peerId: string): Promise<string[]> {
    const { peerStore } = this.#node.libp2p;
    const id = peerIdFromString(peerId);
    if (!await peerStore.has(id)) return [];
    return (await peerStore.get(id)).addresses.map(({ multiaddr }) => multiaddr.toString());
  }

  /** Takes note of where a peer can be reached. */
  async noteAddresses(peerId: string, addresses: readonly string[]): Promise<void> {
    const multiaddrs = addresses.map((text) => multiaddr(text));
    await this.#node.libp2p.peerStore.merge(peerIdFromString(peerId), { multiaddrs });
  }

  /**
   * Opens a stream to a peer.
   *
   * @param peer A peer id, or a multiaddr that ends with one
   * @throws {PlasmError} `no-peer` where it cannot be reached or does not speak the protocol,
   * `usage` where `peer` is neither
   * @throws {DOMException} where the signal is aborted: its reason
   */
  async dialProtocol(
    peer: string,
    protocol: string,
    { signal, early = false }: DialOptions = {},
  ): Promise<Stream> {
    const { peerId, addresses } = readPeer(peer);
    const { libp2p } = this.#node;
    const start = performance.now();
    const limit = AbortSignal.timeout(DIAL_TIMEOUT_MS);
    const both = signal === undefined ? limit : AbortSignal.any([signal, limit]);
    const describe = () => ({
      event: "dial" as const,
      peer_id: peerId,
      key: protocol,
      latency_ms: Math.round(performance.now() - start),
    });
    try {
      const id = peerIdFromString(peerId);
      const connection = openConnection(libp2p, id) ??
        await libp2p.dial(addresses.length > 0 ? addresses : id, { signal: both });
      const stream = early
        ? await openOptimisticStream(connection, protocol, { signal: both })
        : await connection.newStream(protocol, { signal: both, runOnLimitedConnection: true });
      fitWindow(stream, connection);
      const { remoteAddr } = connection;
      this.#emit({
        ...describe(),
        address: remoteAddr.toString(),
        transport: transportOf(remoteAddr),
        path: pathOf(remoteAddr),
      });
      return stream;
    } catch (error) {
      signal?.throwIfAborted();
      const reason = reasonOf(error);
      this.#emit({ ...describe(), error_code: "no-peer", reason });
      throw new PlasmError("no-peer", `Cannot reach peer ${peerId}: ${reason}`, { cause: error });
    }
  }

  /** Serves a protocol, each peer within its rate. Also over relayed connections. */
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
      const mayAgain = (): boolean => limiter.take(peerId);
      if (!mayAgain()) {
        refuse("over-limit", `more than ${perSecond} streams a second`);
        return;
      }
      fitWindow(stream, connection);
      try {
        await handler(stream, peerId, mayAgain);
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
