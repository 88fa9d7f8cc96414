/**
 * Maintains connections to the bootstrap nodes, and dials the peers that multicast DNS discovers.
 *
 * @module
 */
import type { Connection } from "@libp2p/interface";
import { type Multiaddr, multiaddr } from "@multiformats/multiaddr";
import { peerIdFromString } from "@libp2p/peer-id";
import type { Libp2p } from "libp2p";
import { PlasmError } from "../../core/errors/mod.ts";
import { delay, retry } from "../../util/async/mod.ts";
import { transportOf } from "../addresses.ts";
import type { PlasmNode } from "../libp2p_node.ts";
import type { EmitEvent } from "../network_events.ts";
import { dialReasonOf } from "./dial_reason.ts";
import { isDnsaddr, resolveDnsaddr, type ResolveTxt } from "./dnsaddr.ts";

/** Status of one bootstrap address. */
export interface BootstrapStatus {
  address: string;
  /** Peer that answered at the address; null before the first answer. */
  peerId: string | null;
  connected: boolean;
  /** Dial time of the latest connection, in milliseconds. */
  latencyMs: number | null;
  /** Why the latest dial failed; null after a success. */
  error: string | null;
}

/** Bootstrap nodes of a node. */
export interface Bootstrap {
  /** Current status of each address. */
  status(): BootstrapStatus[];
  /** Resolves when each address has been dialed once. */
  dialed: Promise<void>;
}

/** Options of {@linkcode connectBootstrap}. */
export interface BootstrapOptions {
  node: PlasmNode;
  /** Multiaddrs of the bootstrap nodes. */
  addresses: readonly string[];
  emit: EmitEvent;
  /** Stops all dials. */
  signal: AbortSignal;
  /** Queries the TXT records of `/dnsaddr` addresses. @default {the resolver of the system} */
  resolveTxt?: ResolveTxt | undefined;
}

/** Delay after the first failed dial, in milliseconds. */
const MIN_BACKOFF_MS = 1_000;

/** Longest delay after a failed dial, in milliseconds. */
const MAX_BACKOFF_MS = 60_000;

/** Interval between checks of an open connection, in milliseconds. */
const CHECK_MS = 10_000;

/** Time limit of a dial, in milliseconds: a slower node does not help to join. */
const DIAL_TIMEOUT_MS = 15_000;

/**
 * Maintains a connection to each bootstrap node until the signal aborts; failed dials are repeated with backoff. The
 * address of this node is skipped: all nodes often share one list.
 *
 * @throws {PlasmError} `bad-config` if an address is not a multiaddr.
 */
export function connectBootstrap(options: BootstrapOptions): Bootstrap {
  const { node, addresses } = options;
  const self = node.libp2p.peerId.toString();
  const entries = addresses.map((text): BootstrapEntry => {
    const address = parse(text);
    const pinned = address.getComponents().findLast(({ name }) => name === "p2p")?.value ?? null;
    return {
      address,
      text,
      peerId: pinned,
      answered: null,
      latencyMs: null,
      error: null,
      dialed: Promise.withResolvers(),
    };
  }).filter(({ peerId }) => peerId !== self);
  for (const entry of entries) {
    void maintainConnection(entry, options).finally(() => entry.dialed.resolve());
  }
  return {
    status: () => entries.map((entry) => statusOf(entry, node)),
    dialed: Promise.all(entries.map(({ dialed }) => dialed.promise)).then(() => {}),
  };
}

/** Status of an address. A peer may be connected by another address or direction than the one that failed. */
function statusOf(entry: BootstrapEntry, node: PlasmNode): BootstrapStatus {
  const connected = isConnected(node, entry.peerId);
  return {
    address: entry.text,
    peerId: connected ? entry.peerId : entry.answered,
    connected,
    latencyMs: entry.latencyMs,
    error: connected ? null : entry.error,
  };
}

/**
 * Creates the error of a node that cannot join because no bootstrap node answers; names each with its reason.
 * Returns undefined if there is no bootstrap node, or one is connected or has not been dialed.
 */
export function bootstrapError(status: readonly BootstrapStatus[]): PlasmError | undefined {
  if (status.length === 0 || status.some(({ error }) => error === null)) return undefined;
  const reasons = status.map(({ address, error }) => `${address} (${error})`).join(", ");
  const nodes = status.length === 1 ? "the bootstrap node does" : "bootstrap nodes do";
  return new PlasmError("no-peer", `Cannot join the network: ${nodes} not answer: ${reasons}`, {
    hint: "Check the addresses of --bootstrap or network.bootstrap, and whether these nodes run",
    details: { bootstrap: status.map(({ address, error }) => ({ address, reason: error })) },
  });
}

function parse(text: string): Multiaddr {
  try {
    const address = multiaddr(text);
    for (const { name, value } of address.getComponents()) {
      if (name === "p2p") peerIdFromString(value ?? "");
    }
    return address;
  } catch (error) {
    throw new PlasmError("bad-config", `Cannot read bootstrap address: ${text}`, {
      hint: "Write a multiaddr such as /dns4/node.example/tcp/4001/p2p/12D3KooW...",
      cause: error,
    });
  }
}

interface BootstrapEntry {
  address: Multiaddr;
  /** Address as configured. */
  text: string;
  /** Peer at the address: the one that it names or that answered; null before. */
  peerId: string | null;
  /** Peer that answered; null before. */
  answered: string | null;
  latencyMs: number | null;
  /** Why the latest dial failed; null before a dial and after a success. */
  error: string | null;
  /** Resolves after the first dial. */
  dialed: PromiseWithResolvers<void>;
}

async function maintainConnection(
  entry: BootstrapEntry,
  options: BootstrapOptions,
): Promise<void> {
  const { node, signal } = options;
  while (!signal.aborted) {
    if (isConnected(node, entry.peerId)) {
      entry.dialed.resolve();
      await delay(CHECK_MS, { signal });
      continue;
    }
    try {
      const dial = () => dialBootstrap(entry, options);
      await retry(dial, { minMs: MIN_BACKOFF_MS, maxMs: MAX_BACKOFF_MS, signal });
    } catch {
      return; // The signal aborted.
    }
  }
}

/** Dials one bootstrap node, unless it has connected to this node in the meantime. */
async function dialBootstrap(entry: BootstrapEntry, options: BootstrapOptions): Promise<void> {
  const { node, emit, signal } = options;
  if (isConnected(node, entry.peerId)) return;
  const start = performance.now();
  const latency = () => Math.round(performance.now() - start);
  try {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(DIAL_TIMEOUT_MS)]);
    const connection = await dialAddress(entry.address, { ...options, signal: limit });
    const peerId = connection.remotePeer.toString();
    Object.assign(entry, { peerId, answered: peerId, latencyMs: latency(), error: null });
    emit({
      event: "bootstrap",
      peer_id: peerId,
      address: connection.remoteAddr.toString(),
      transport: transportOf(connection.remoteAddr),
      latency_ms: latency(),
    });
  } catch (error) {
    signal.throwIfAborted();
    entry.error = dialReasonOf(error);
    emit({
      event: "bootstrap",
      address: entry.address.toString(),
      error_code: "no-peer",
      reason: entry.error,
      latency_ms: latency(),
    });
    // retry() does not repeat a TypeError, and a library's may be one.
    throw new Error(entry.error, { cause: error });
  } finally {
    entry.dialed.resolve();
  }
  await refreshRoutingTable(node, signal);
}

/** Dials an address. Those of a `/dnsaddr` are dialed peer by peer, in random order, until one answers. */
async function dialAddress(
  address: Multiaddr,
  { node: { libp2p }, signal, resolveTxt }: BootstrapOptions,
): Promise<Connection> {
  if (!isDnsaddr(address)) return await libp2p.dial(address, { signal });
  const resolved = await resolveDnsaddr(address, { signal, resolveTxt });
  const peers = Map.groupBy(
    resolved,
    (each) => each.getComponents().findLast(({ name }) => name === "p2p")?.value,
  );
  peers.delete(libp2p.peerId.toString());
  const failures: unknown[] = [];
  const order = [...peers.values()].map((addresses) => ({ addresses, rank: Math.random() }));
  for (const { addresses } of order.sort((a, b) => a.rank - b.rank)) {
    try {
      return await libp2p.dial(addresses, { signal });
    } catch (error) {
      signal.throwIfAborted();
      failures.push(error);
    }
  }
  throw new AggregateError(failures, "No listed node answers");
}

function isConnected({ libp2p }: PlasmNode, peerId: string | null): boolean {
  return peerId !== null &&
    libp2p.getConnections().some(({ remotePeer }) => remotePeer.toString() === peerId);
}

/** Queries the DHT for neighbors now; its periodic refresh would take minutes. */
async function refreshRoutingTable({ dht }: PlasmNode, signal: AbortSignal): Promise<void> {
  try {
    await dht.refreshRoutingTable({ signal });
  } catch {
    // The DHT retries; only the connection matters here.
  }
}

/** Connections above which discovered peers are not dialed: the DHT finds the others. */
const MAX_NEIGHBORS = 32;

/** Dials the peers that multicast DNS discovers while the node has few connections. */
export function dialDiscoveredPeers(libp2p: Libp2p, signal: AbortSignal): void {
  libp2p.addEventListener("peer:discovery", ({ detail: { id } }) => {
    if (signal.aborted || libp2p.getConnections().length >= MAX_NEIGHBORS) return;
    if (libp2p.getConnections(id).length === 0) libp2p.dial(id, { signal }).catch(() => {});
  });
}
