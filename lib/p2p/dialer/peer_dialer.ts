/**
 * Client of one job: dials nodes whose addresses it is given, under its own key.
 *
 * @module
 */
import { identify } from "@libp2p/identify";
import { peerIdFromString } from "@libp2p/peer-id";
import { multiaddr } from "@multiformats/multiaddr";
import type { Identity } from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import { createConnectionGater } from "../access/connection_gater.ts";
import { readPeer } from "../addresses.ts";
import { createHost, type PlasmHost } from "../base_host.ts";
import { openConnection } from "../connectivity/connection_tracker.ts";
import type { PrivateDials } from "../connectivity/dial_ranking.ts";
import { dialReasonOf } from "../connectivity/dial_reason.ts";
import { dialOptimisticStream, type DialOptions } from "../connectivity/stream_dialer.ts";
import { type DiscoverCriteria, isMatch } from "../discovery/candidate.ts";
import { type Capability, fetchCapability } from "../discovery/capability.ts";
import { stopWithTimers } from "../patches/open_handles.ts";
import type { OptimisticStream } from "../patches/optimistic_stream.ts";

/** Time limit for dialing a node and reading its document, in milliseconds. */
const QUERY_TIMEOUT_MS = 15_000;

/** Options of {@linkcode PeerDialer.start}. */
export interface PeerDialerOptions {
  /** Key that nodes see. */
  identity: Identity;
  /** Private addresses that are dialed. @default {"last"} */
  privateAddresses?: PrivateDials | undefined;
  /** Peer ids and address ranges to allow. @default {all} */
  allow?: readonly string[] | undefined;
  /** Peer ids and address ranges to deny. @default {[]} */
  deny?: readonly string[] | undefined;
}

/** Node that has answered, with its verified document. */
export interface DialedNode {
  peerId: string;
  capability: Capability;
}

/** Dials nodes at given addresses. It neither listens nor discovers, and identifies itself only when asked. */
export class PeerDialer implements AsyncDisposable {
  readonly #host: PlasmHost;
  readonly #identity: Identity;
  #stopped: Promise<void> | undefined;

  private constructor(host: PlasmHost, identity: Identity) {
    this.#host = host;
    this.#identity = identity;
  }

  /**
   * Starts a dialer.
   *
   * @throws {PlasmError} `bad-config` if a list entry is invalid
   */
  static async start(
    { identity, privateAddresses, allow, deny }: PeerDialerOptions,
  ): Promise<PeerDialer> {
    const host = await createHost({
      secretKey: identity.secretKey,
      allowPrivate: privateAddresses !== "never",
      privateDials: privateAddresses,
      gater: createConnectionGater({ allow, deny, emit: () => {} }),
      // Relays need the service; a job needs nothing that a node would state.
      services: { identify: identify({ runOnConnectionOpen: false }) },
    });
    await host.libp2p.start();
    return new PeerDialer(host, identity);
  }

  /** Peer id that nodes see. */
  get peerId(): string {
    return this.#identity.peerId;
  }

  /** Adds addresses of a node. */
  async addAddresses(peerId: string, addresses: readonly string[]): Promise<void> {
    const multiaddrs = addresses.map((text) => multiaddr(text));
    await this.#host.libp2p.peerStore.merge(peerIdFromString(peerId), { multiaddrs });
  }

  /** Address of the open connection to a node; undefined without one. */
  addressOf(peerId: string): string | undefined {
    return openConnection(this.#host.libp2p, peerIdFromString(peerId))?.remoteAddr.toString();
  }

  /**
   * Asks a node for its capabilities.
   *
   * @param peer Peer id with known addresses, or a multiaddr that ends with one.
   * @throws {PlasmError} `no-peer` if it is unreachable or does not meet the criteria, `protocol` or `not-found` as for
   * `fetchCapability`; `usage` if `peer` is invalid
   * @throws The signal's reason if it aborts.
   */
  async query(
    peer: string,
    { signal, criteria = {} }: { signal: AbortSignal; criteria?: DiscoverCriteria },
  ): Promise<DialedNode> {
    const { peerId, addresses } = readPeer(peer);
    const { libp2p } = this.#host;
    const id = peerIdFromString(peerId);
    const both = AbortSignal.any([signal, AbortSignal.timeout(QUERY_TIMEOUT_MS)]);
    if (addresses.length > 0) await libp2p.peerStore.merge(id, { multiaddrs: addresses });
    const connection = openConnection(libp2p, id) ??
      await libp2p.dial(id, { signal: both }).catch((error) => {
        signal.throwIfAborted();
        const reason = dialReasonOf(error);
        throw new PlasmError("no-peer", `Cannot reach peer ${peerId}: ${reason}`, { cause: error });
      });
    const capability = await fetchCapability(connection, { signal: both });
    if (!isMatch(capability, criteria)) {
      throw new PlasmError("no-peer", `Cannot use peer ${peerId}: it does not meet the criteria`);
    }
    return { peerId, capability };
  }

  /**
   * Opens a stream without waiting for the node to accept the protocol.
   *
   * @throws As `dialOptimisticStream`.
   */
  async dialOptimistic(
    peer: string,
    protocol: string,
    options: DialOptions = {},
  ): Promise<OptimisticStream> {
    const { libp2p } = this.#host;
    return await dialOptimisticStream(peer, { ...options, libp2p, emit: () => {}, protocol });
  }

  /** Closes all connections. Safe to call twice. */
  async [Symbol.asyncDispose](): Promise<void> {
    await (this.#stopped ??= stopWithTimers(this.#host));
  }
}
