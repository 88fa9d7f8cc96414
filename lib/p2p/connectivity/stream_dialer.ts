/**
 * Opens streams to peers, over an open connection or a new one.
 *
 * @module
 */
import type { Connection, Stream } from "@libp2p/interface";
import { peerIdFromString } from "@libp2p/peer-id";
import type { Libp2p } from "libp2p";
import { PlasmError } from "../../core/errors/mod.ts";
import { pathOf, readPeer, transportOf } from "../addresses.ts";
import type { EmitEvent } from "../network_events.ts";
import {
  multistreamHeader,
  openOptimisticStream,
  type OptimisticStream,
} from "../patches/optimistic_stream.ts";
import { limitReceiveWindow } from "../patches/yamux.ts";
import { closeOthers, openConnection } from "./connection_tracker.ts";
import { dialReasonOf } from "./dial_reason.ts";

/** Time limit for dialing all addresses of a peer and opening the stream, in milliseconds. */
const DIAL_TIMEOUT_MS = 20_000;

/** Options of a dial to a protocol. */
export interface DialOptions {
  /** Aborts the operation. @default {never} */
  signal?: AbortSignal | undefined;
  /** Whether to replace open connections to the peer, because they do not answer. @default {false} */
  isFresh?: boolean | undefined;
}

/** Options of {@linkcode dialOptimisticStream}. */
export interface DialOptimisticOptions extends DialOptions {
  libp2p: Libp2p;
  emit: EmitEvent;
  protocol: string;
}

/** Options of {@linkcode dialStream}. */
export interface DialStreamOptions extends DialOptimisticOptions {
  /** Opens the stream on the connection. */
  open: (connection: Connection, signal: AbortSignal) => Promise<Stream>;
}

/**
 * Opens a stream to a peer.
 *
 * @param peer Peer id, or a multiaddr that ends with one.
 * @throws {PlasmError} `no-peer` if the peer is unreachable or `open` fails, `usage` if `peer` is invalid.
 * @throws The signal's reason if it aborts.
 */
export async function dialStream(
  peer: string,
  { libp2p, emit, protocol, signal, isFresh = false, open }: DialStreamOptions,
): Promise<Stream> {
  const { peerId, addresses } = readPeer(peer);
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
    const current = isFresh ? undefined : openConnection(libp2p, id);
    const target = addresses.length > 0 ? addresses : id;
    const connection = current ?? await libp2p.dial(target, { signal: both, force: isFresh });
    if (isFresh) closeOthers(libp2p, connection);
    const stream = await open(connection, both);
    limitReceiveWindow(stream, connection);
    const { remoteAddr } = connection;
    emit({
      ...describe(),
      address: remoteAddr.toString(),
      transport: transportOf(remoteAddr),
      path: pathOf(remoteAddr),
    });
    return stream;
  } catch (error) {
    signal?.throwIfAborted();
    const reason = dialReasonOf(error);
    emit({ ...describe(), error_code: "no-peer", reason });
    throw new PlasmError("no-peer", `Cannot reach peer ${peerId}: ${reason}`, { cause: error });
  }
}

/**
 * Opens a stream without waiting for the peer to accept the protocol, which saves a round trip.
 *
 * @throws As {@linkcode dialStream}.
 */
export async function dialOptimisticStream(
  peer: string,
  options: DialOptimisticOptions,
): Promise<OptimisticStream> {
  const { protocol } = options;
  const stream = await dialStream(peer, {
    ...options,
    open: async (connection, signal) =>
      await openOptimisticStream(connection, protocol, { signal }),
  });
  return { stream, header: multistreamHeader(protocol) };
}
