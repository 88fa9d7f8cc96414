/**
 * What an address says about the way there, and which address is dialled first.
 * @module
 */
import type { Multiaddr } from "@multiformats/multiaddr";
import type { Path, Transport } from "../network_events.ts";
import { isLoopback, isPrivate } from "@libp2p/utils";

/** Whether a multiaddr leads through a relay. */
export function pathOf(address: Multiaddr): Path {
  return address.getComponents().some(({ name }) => name === "p2p-circuit") ? "relayed" : "direct";
}

/** By what a multiaddr's first hop travels. */
export function transportOf(address: Multiaddr): Transport {
  const names = address.getComponents().map(({ name }) => name);
  if (names.includes("quic")) return "quic";
  if (names.includes("memory")) return "memory";
  return names.includes("tcp") ? "tcp" : "other";
}

/** The host of a multiaddr, empty where it has none. */
export function hostOf(address: Multiaddr): string {
  return address.getComponents()[0]?.value ?? "";
}

const TRANSPORT_ORDER: readonly Transport[] = ["memory", "quic", "tcp", "other"];

/**
 * Orders addresses for dialling: straight before relayed, public before private before loopback;
 * for one host QUIC, then TCP, so that a network that swallows UDP costs one wait, not one for each
 * host.
 */
export function compareAddresses(
  { multiaddr: a }: { multiaddr: Multiaddr },
  { multiaddr: b }: { multiaddr: Multiaddr },
): number {
  return Number(pathOf(a) === "relayed") - Number(pathOf(b) === "relayed") ||
    Number(isLoopback(a)) - Number(isLoopback(b)) ||
    Number(isPrivate(a)) - Number(isPrivate(b)) ||
    compareText(hostOf(a), hostOf(b)) ||
    TRANSPORT_ORDER.indexOf(transportOf(a)) - TRANSPORT_ORDER.indexOf(transportOf(b));
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
