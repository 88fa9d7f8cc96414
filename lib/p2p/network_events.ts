/**
 * Types of the events that the network reports; the daemon logs them, and tests check their order.
 *
 * @module
 */
import type { ErrorCode } from "../core/errors/mod.ts";
import type { ComponentLogger, Logger } from "@libp2p/interface";

/** Name of an event. */
export type NetworkEventName =
  /** The node is listening. */
  | "network-started"
  | "network-stopped"
  /** A bootstrap address was dialed; `error_code` if it did not answer. */
  | "bootstrap"
  /** Peers of the last run were restored; `error_code` if they could not be. */
  | "peer-store"
  /** A peer was dialed; `address` and `transport` are those of the connection. */
  | "dial"
  | "connect"
  | "disconnect"
  /** A DHT lookup ended with `count` providers. */
  | "query"
  /** Provider records of this node were stored in the DHT under `count` keys. */
  | "provide"
  | "capability-published"
  | "capability-seen"
  | "capability-refused"
  /** A step of NAT traversal: see {@linkcode NatStep}. */
  | "nat"
  /** A peer was refused: it exceeded a limit, is denied or violated a protocol. */
  | "refused";

/** Step of NAT traversal. */
export type NatStep =
  | "upnp-search"
  | "upnp-mapped"
  | "upnp-unavailable"
  | "address-verified"
  | "relay-search"
  | "relay-reserved"
  | "relay-lost"
  | "hole-punched";

/** Event in the form of the log: flat, in snake_case. */
export interface NetworkEvent {
  event: NetworkEventName;
  /** Peer id of this node. */
  node_id: string;
  /** Peer id of the other node. */
  peer_id?: string | undefined;
  address?: string | undefined;
  transport?: Transport | undefined;
  direction?: "inbound" | "outbound" | undefined;
  path?: Path | undefined;
  step?: NatStep | undefined;
  latency_ms?: number | undefined;
  count?: number | undefined;
  /** Key of a lookup or of records, or name of a protocol. */
  key?: string | undefined;
  error_code?: ErrorCode | undefined;
  /** Reason in plain text. */
  reason?: string | undefined;
}

/** Event without the peer id of this node, which is added on output. */
export type NetworkEventDetails = Omit<NetworkEvent, "node_id">;

/** Receives events. Must not throw. */
export type EmitEvent = (event: NetworkEventDetails) => void;

/** Transport of a connection. */
export type Transport = "tcp" | "quic" | "memory" | "other";

/** Path of a connection. */
export type Path = "direct" | "relayed";

/** Message of a thrown value, on one line and at most 300 characters. */
export function reasonOf(error: unknown): string {
  const text = error instanceof AggregateError && error.errors.length > 0
    ? error.errors.map(reasonOf).join("; ")
    : error instanceof Error
    ? error.message || error.name
    : String(error);
  return text.replaceAll(/\s+/g, " ").slice(0, 300);
}

/** Converts a thrown value to an error. */
export function toError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}

function silent(): void {}

const SILENT: Logger = Object.assign(silent, {
  error: silent,
  trace: silent,
  enabled: false,
  newScope: () => SILENT,
});

/** Logger for libp2p that discards everything. */
export const SILENT_LOGGER: ComponentLogger = { forComponent: () => SILENT };
