/**
 * Makes libp2p recognize relayed addresses whose relay is dialed by `/udp/N/noise`.
 *
 * @module
 */
import { Circuit } from "@multiformats/multiaddr-matcher";
import { type Multiaddr, multiaddr } from "@multiformats/multiaddr";

/** Extends the matcher that all libp2p modules share. Safe to call twice. */
export function matchQuicRelays(): void {
  if (Circuit.matches === matches) return;
  Object.assign(Circuit, { matches, exactMatch });
}

const original = { ...Circuit };

/** As `Circuit.matches`; libp2p's own transports have other names. */
function matches(address?: Multiaddr): boolean {
  return original.matches(address) || original.matches(renamed(address));
}

function exactMatch(address?: Multiaddr): boolean {
  return original.exactMatch(address) || original.exactMatch(renamed(address));
}

/** The address with `/quic-v1` in place of `/noise`; undefined if it is not a relayed QUIC address. */
function renamed(address?: Multiaddr): Multiaddr | undefined {
  const names = address?.getComponents().map(({ name }) => name) ?? [];
  if (names[1] !== "udp" || names[2] !== "noise" || !names.includes("p2p-circuit")) {
    return undefined;
  }
  return multiaddr(address!.toString().replace("/noise", "/quic-v1"));
}
