/**
 * Which multiaddrs are ours, and what they mean to a socket.
 * @module
 */
import { type Component, type Multiaddr, multiaddr } from "@multiformats/multiaddr";

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
