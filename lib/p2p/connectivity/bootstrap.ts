/**
 * Joins the network through bootstrap nodes and mDNS, and joins again after a connection is lost.
 *
 * @module
 */
import { type Multiaddr, multiaddr } from "@multiformats/multiaddr";
import { PlasmError } from "../../core/errors/mod.ts";
import { transportOf } from "../addresses.ts";
import { type EmitEvent, reasonOf } from "../network_events.ts";
import type { PlasmNode } from "../libp2p_node.ts";
import { sleep } from "../../util/async/mod.ts";
import type { Libp2p } from "libp2p";

/** What is known of one bootstrap address. */
export interface BootstrapStatus {
  address: string;
  /** Who answered there; null before anyone did. */
  peerId: string | null;
  connected: boolean;
  /** Of the latest answer. */
  latencyMs: number | null;
  /** Why the latest try failed; null where it did not. */
  error: string | null;
}

/** What {@linkcode joinNetwork} works with. */
export interface BootstrapOptions {
  node: PlasmNode;
  addresses: readonly string[];
  emit: EmitEvent;
  /** Ends it. */
  signal: AbortSignal;
}

/** The wait after the first failure; it doubles up to {@linkcode MAX_BACKOFF_MS}. */
const MIN_BACKOFF_MS = 1_000;
const MAX_BACKOFF_MS = 60_000;
/** How often a connection to a bootstrap node is looked after. */
const CHECK_MS = 10_000;
/** A node that is slower than this is no help in joining. */
const DIAL_TIMEOUT_MS = 15_000;

/**
 * Keeps a connection to each bootstrap node, for ever. What fails is tried again, ever more rarely.
 *
 * @returns The status of each address, kept up to date
 * @throws {PlasmError} `bad-config` where an address is no multiaddr
 */
export function joinNetwork(options: BootstrapOptions): readonly BootstrapStatus[] {
  const entries = options.addresses.map((text) => {
    const status: BootstrapStatus = {
      address: text,
      peerId: null,
      connected: false,
      latencyMs: null,
      error: null,
    };
    return { address: parse(text), status };
  });
  const self = `/p2p/${options.node.libp2p.peerId}`;
  for (const entry of entries) {
    // One list for all nodes is usual: it names this node too.
    if (!entry.address.toString().endsWith(self)) void keepConnected(entry, options);
  }
  return entries.map(({ status }) => status);
}

function parse(text: string): Multiaddr {
  try {
    return multiaddr(text);
  } catch (error) {
    throw new PlasmError("bad-config", `Cannot read bootstrap address: ${text}`, {
      hint: "Write a multiaddr such as /dns4/node.example/tcp/4001/p2p/12D3KooW...",
      cause: error,
    });
  }
}

async function keepConnected(
  { address, status }: { address: Multiaddr; status: BootstrapStatus },
  { node, emit, signal }: BootstrapOptions,
): Promise<void> {
  let backoff = MIN_BACKOFF_MS;
  while (!signal.aborted) {
    if (isConnected(node, status.peerId)) {
      await sleep(CHECK_MS, signal);
      continue;
    }
    status.connected = false;
    const start = performance.now();
    try {
      const limit = AbortSignal.any([signal, AbortSignal.timeout(DIAL_TIMEOUT_MS)]);
      const connection = await node.libp2p.dial(address, { signal: limit });
      const latencyMs = Math.round(performance.now() - start);
      const peerId = connection.remotePeer.toString();
      Object.assign(status, { peerId, connected: true, latencyMs, error: null });
      emit({
        event: "bootstrap",
        peer_id: peerId,
        address: connection.remoteAddr.toString(),
        transport: transportOf(connection.remoteAddr),
        latency_ms: latencyMs,
      });
      backoff = MIN_BACKOFF_MS;
      await fillTable(node, signal);
    } catch (error) {
      if (signal.aborted) return;
      status.error = reasonOf(error);
      emit({
        event: "bootstrap",
        address: address.toString(),
        error_code: "no-peer",
        reason: status.error,
        latency_ms: Math.round(performance.now() - start),
      });
      await sleep(backoff, signal);
      backoff = Math.min(backoff * 2, MAX_BACKOFF_MS);
    }
  }
}

function isConnected({ libp2p }: PlasmNode, peerId: string | null): boolean {
  return peerId !== null &&
    libp2p.getConnections().some(({ remotePeer }) => remotePeer.toString() === peerId);
}

/** Queries the DHT for neighbours at once; its periodic refresh would take minutes. */
async function fillTable({ dht }: PlasmNode, signal: AbortSignal): Promise<void> {
  try {
    await dht.refreshRoutingTable({ signal });
  } catch {
    // The DHT retries; only the connection matters here.
  }
}

/** Neighbours beyond this are found by the DHT, like everyone else. */
const MAX_NEIGHBOURS = 32;

/** Dials whom multicast DNS finds, for as long as few are connected. */
export function dialNeighbours(libp2p: Libp2p, signal: AbortSignal): void {
  libp2p.addEventListener("peer:discovery", ({ detail: { id } }) => {
    if (signal.aborted || libp2p.getConnections().length >= MAX_NEIGHBOURS) return;
    if (libp2p.getConnections(id).length === 0) libp2p.dial(id, { signal }).catch(() => {});
  });
}
