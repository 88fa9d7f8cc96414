/**
 * Multiaddrs: what they mean to a socket, how an operator or a user writes them, and the order in which they are
 * dialled.
 *
 * @module
 */
import { type Component, type Multiaddr, multiaddr } from "@multiformats/multiaddr";
import type { Path, Transport } from "./network_events.ts";
import { isLoopback, isPrivate } from "@libp2p/utils";
import { PlasmError } from "../core/errors/mod.ts";
import { peerIdFromString } from "@libp2p/peer-id";

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

/** Where a socket connects to or listens. */
export interface SocketAddress {
  /** A literal IP address or a host name. */
  hostname: string;
  /** 0 lets the system choose, when listening. */
  port: number;
  /** Whether the address names IPv6. */
  ipv6: boolean;
}

const HOSTS = new Set(["ip4", "ip6", "dns", "dns4", "dns6"]);
const MAPPED_IPV4 = "::ffff:";

/**
 * Reads `/<host>/tcp/<port>`, optionally with a peer id.
 *
 * @returns null where the multiaddr is anything else
 */
export function tcpAddress(address: Multiaddr): SocketAddress | null {
  return socketAddress(address.getComponents(), ["tcp"]);
}

/**
 * Reads `/<host>/udp/<port>/quic`, optionally with a peer id.
 *
 * The name is the one of QUIC drafts, which standard peers no longer dial; `/quic-v1` promises the
 * libp2p TLS handshake, which Deno's QUIC cannot speak (no client certificates). A peer that dials
 * `/quic` all the same fails at ALPN, before any byte of ours.
 *
 * @returns null where the multiaddr is anything else
 */
export function quicAddress(address: Multiaddr): SocketAddress | null {
  return socketAddress(address.getComponents(), ["udp", "quic"]);
}

function socketAddress(parts: Component[], layers: readonly string[]): SocketAddress | null {
  const [host, ...rest] = parts;
  if (host === undefined || !HOSTS.has(host.name) || !host.value) return null;
  if (rest.at(-1)?.name === "p2p") rest.pop();
  if (rest.length !== layers.length) return null;
  if (!rest.every((part, index) => part.name === layers[index])) return null;
  const ipv6 = host.name === "ip6" || host.name === "dns6";
  return { hostname: host.value, port: Number(rest[0]?.value), ipv6 };
}

/** Makes the multiaddr of a socket's address; IPv4 seen through an IPv6 socket is IPv4. */
export function toMultiaddr(address: Deno.NetAddr, layer: "tcp" | "quic"): Multiaddr {
  const hostname = address.hostname.startsWith(MAPPED_IPV4)
    ? address.hostname.slice(MAPPED_IPV4.length)
    : address.hostname;
  const host = hostname.includes(":") ? "ip6" : "ip4";
  const above = layer === "tcp" ? `tcp/${address.port}` : `udp/${address.port}/quic`;
  return multiaddr(`/${host}/${hostname}/${above}`);
}

/** A multiaddr in its usual form. @throws {PlasmError} `bad-config` */
export function checkAddress(text: string): string {
  try {
    return multiaddr(text).toString();
  } catch (error) {
    throw new PlasmError("bad-config", `Cannot read address: ${text}`, {
      hint: "Write a multiaddr such as /ip4/0.0.0.0/tcp/4001 or /ip4/0.0.0.0/udp/4001/quic",
      cause: error,
    });
  }
}

/**
 * An address to listen on: one that no transport of ours takes would only be found out while starting.
 *
 * @throws {PlasmError} `bad-config`
 */
export function checkListenAddress(text: string): string {
  const address = multiaddr(checkAddress(text));
  if (tcpAddress(address) === null && quicAddress(address) === null) {
    throw new PlasmError("bad-config", `Cannot listen on ${text}: it is neither TCP nor QUIC`, {
      hint:
        "Write /ip4/0.0.0.0/tcp/4001 or /ip4/0.0.0.0/udp/4001/quic; /quic-v1 is another protocol",
    });
  }
  return address.toString();
}

/**
 * Reads a peer id, or a multiaddr that ends with one.
 *
 * @throws {PlasmError} `usage` where it is neither
 */
export function readPeer(text: string): { peerId: string; addresses: Multiaddr[] } {
  try {
    if (!text.startsWith("/")) return { peerId: peerIdFromString(text).toString(), addresses: [] };
    const address = multiaddr(text);
    const last = address.getComponents().findLast(({ name }) => name === "p2p");
    const peerId = peerIdFromString(last?.value ?? "").toString();
    // A bare /p2p/ address says no way: the peer store or the DHT knows one.
    return { peerId, addresses: text === `/p2p/${peerId}` ? [] : [address] };
  } catch (error) {
    throw new PlasmError("usage", `Cannot read peer: ${text}`, {
      hint: "Give a peer id such as 12D3KooW..., or a multiaddr that ends with /p2p/<peer id>",
      cause: error,
    });
  }
}
