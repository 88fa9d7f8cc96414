/**
 * Events that the network reports. The daemon logs them; tests assert their order.
 *
 * @module
 */
import type { ErrorCode } from "../core/errors/mod.ts";
import type { ComponentLogger, Logger } from "@libp2p/interface";

/** What happened. */
export type NetworkEventName =
  /** The node listens. */
  | "network_started"
  | "network_stopped"
  /** A bootstrap address was tried; `error_code` where it did not answer. */
  | "bootstrap"
  /** Peers of the last run were read back, or could not be. */
  | "peer_store"
  /** We dialled; `address` and `transport` say by which way it worked. */
  | "dial"
  | "connect"
  | "disconnect"
  /** A DHT lookup ended; `count` providers were found. */
  | "query"
  /** Our provider records were put into the DHT under `count` keys. */
  | "provide"
  | "capability_published"
  | "capability_seen"
  | "capability_refused"
  /** A step towards being reachable: see {@linkcode NatStep}. */
  | "nat"
  /** A peer was cut off: over a limit, or it broke the protocol. */
  | "refused";

/** A step towards being reachable. */
export type NatStep =
  | "upnp_search"
  | "upnp_mapped"
  | "upnp_unavailable"
  | "address_verified"
  | "relay_search"
  | "relay_reserved"
  | "relay_lost"
  | "hole_punched";

/** One event, as it is logged: snake_case, flat. */
export interface NetworkEvent {
  event: NetworkEventName;
  /** Our own peer id. */
  node_id: string;
  /** Whom it is about. */
  peer_id?: string | undefined;
  address?: string | undefined;
  transport?: Transport | undefined;
  direction?: "inbound" | "outbound" | undefined;
  path?: Path | undefined;
  step?: NatStep | undefined;
  latency_ms?: number | undefined;
  count?: number | undefined;
  /** What was looked up or provided. */
  key?: string | undefined;
  error_code?: ErrorCode | undefined;
  /** For people: why. */
  reason?: string | undefined;
}

/** An event before it is known whose it is. */
export type NetworkEventDetails = Omit<NetworkEvent, "node_id">;

/** Takes events. Must not throw. */
export type EmitEvent = (event: NetworkEventDetails) => void;

/** How bytes travel. */
export type Transport = "tcp" | "quic" | "memory" | "other";

/** Whether a connection goes straight to the peer. */
export type Path = "direct" | "relayed";

/** A thrown value's message, on one line and short enough for a log. */
export function reasonOf(error: unknown): string {
  const text = error instanceof AggregateError && error.errors.length > 0
    ? error.errors.map(reasonOf).join("; ")
    : error instanceof Error
    ? error.message || error.name
    : String(error);
  return text.replaceAll(/\s+/g, " ").slice(0, 300);
}

function silent(): void {}

const SILENT: Logger = Object.assign(silent, {
  error: silent,
  trace: silent,
  enabled: false,
  newScope: () => SILENT,
});

/** A logger that drops everything. */
export const SILENT_LOGGER: ComponentLogger = { forComponent: () => SILENT };
