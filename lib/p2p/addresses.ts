/**
 * Parses and checks multiaddrs, and converts them to and from socket addresses.
 *
 * @module
 */
import { peerIdFromString } from "@libp2p/peer-id";
import { type Component, type Multiaddr, multiaddr } from "@multiformats/multiaddr";
import { PlasmError } from "../core/errors/mod.ts";
import type { Path, Transport } from "./network_events.ts";

/** Path of a multiaddr: direct, or through a relay. */
export function pathOf(address: Multiaddr): Path {
  return address.getComponents().some(({ name }) => name === "p2p-circuit") ? "relayed" : "direct";
}

/** Transport of a multiaddr's first hop. */
export function transportOf(address: Multiaddr): Transport {
  const names = address.getComponents().map(({ name }) => name);
  if (names.includes("udp") && names.includes("noise")) return "quic";
  if (names.includes("memory")) return "memory";
  return names.includes("tcp") ? "tcp" : "other";
}

/** Host of a multiaddr; empty if it has none. */
export function hostOf(address: Multiaddr): string {
  return address.getComponents()[0]?.value ?? "";
}

/** Address that a socket connects to or listens on. */
export interface SocketAddress {
  /** A literal IP address or a host name. */
  hostname: string;
  /** When listening, 0 stands for a port that the system chooses. */
  port: number;
  /** Whether the address is an IPv6 address or resolves to one. */
  ipv6: boolean;
}

const HOSTS = new Set(["ip4", "ip6", "dns", "dns4", "dns6"]);

/** IPv4-mapped IPv6 address in its usual form (RFC 4291, section 2.5.5.2). */
const MAPPED_IPV4 = /^::ffff:(?=[\d.]+$)/i;

/** Converts an IPv4-mapped IPv6 address to IPv4; returns other texts unchanged. */
export function unmapIpv4(address: string): string {
  return address.replace(MAPPED_IPV4, "");
}

/**
 * Parses `/<host>/tcp/<port>`, optionally with a peer id.
 *
 * @returns Null for any other multiaddr.
 */
export function tcpAddress(address: Multiaddr): SocketAddress | null {
  return socketAddress(address.getComponents(), ["tcp"]);
}

/**
 * Parses `/<host>/udp/<port>/noise`, optionally with a peer id.
 *
 * The name is not `/quic`, which stands for QUIC drafts, nor `/quic-v1`, which implies libp2p's TLS handshake
 * (docs/adr/0018). Other implementations can parse it and have no transport for it.
 *
 * @returns Null for any other multiaddr.
 */
export function quicAddress(address: Multiaddr): SocketAddress | null {
  return socketAddress(address.getComponents(), ["udp", "noise"]);
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

/** Converts a socket's address to a multiaddr; an IPv4-mapped IPv6 address becomes IPv4. */
export function toMultiaddr(address: Deno.NetAddr, layer: "tcp" | "quic"): Multiaddr {
  const hostname = unmapIpv4(address.hostname);
  const host = hostname.includes(":") ? "ip6" : "ip4";
  const above = layer === "tcp" ? `tcp/${address.port}` : `udp/${address.port}/noise`;
  return multiaddr(`/${host}/${hostname}/${above}`);
}

/**
 * Normalizes a multiaddr.
 *
 * @throws {PlasmError} `bad-config` if it is invalid.
 */
export function checkAddress(text: string): string {
  try {
    return multiaddr(text).toString();
  } catch (error) {
    throw new PlasmError("bad-config", `Cannot read address: ${text}`, {
      hint: "Write a multiaddr such as /ip4/0.0.0.0/tcp/4001 or /ip4/0.0.0.0/udp/4001/noise",
      cause: error,
    });
  }
}

/**
 * Normalizes a multiaddr to listen on. Without this check, an unsupported transport would fail only at start.
 *
 * @throws {PlasmError} `bad-config` if it is invalid or of an unsupported transport.
 */
export function checkListenAddress(text: string): string {
  const address = multiaddr(checkAddress(text));
  if (tcpAddress(address) === null && quicAddress(address) === null) {
    throw new PlasmError("bad-config", `Cannot listen on ${text}: it is neither TCP nor QUIC`, {
      hint:
        "Write /ip4/0.0.0.0/tcp/4001 or /ip4/0.0.0.0/udp/4001/noise; /quic-v1 is another protocol",
    });
  }
  return address.toString();
}

/**
 * Adds TCP on the same host and port to QUIC addresses of hosts without TCP: other implementations reach a node by TCP
 * only.
 */
export function withTcp(addresses: readonly string[]): string[] {
  const components = addresses.map((text) => multiaddr(text).getComponents());
  const tcpHosts = new Set(
    components.filter(([, { name } = { name: "" }]) => name === "tcp").map(([host]) => host?.value),
  );
  const added = components.flatMap(([host, port]) =>
    host === undefined || port?.name !== "udp" || tcpHosts.has(host.value)
      ? []
      : [`/${host.name}/${host.value}/tcp/${port.value}`]
  );
  return [...addresses, ...new Set(added)];
}

/**
 * Parses a peer id, or a multiaddr that ends with one.
 *
 * @throws {PlasmError} `usage` if it is neither.
 */
export function readPeer(text: string): { peerId: string; addresses: Multiaddr[] } {
  try {
    if (!text.startsWith("/")) return { peerId: peerIdFromString(text).toString(), addresses: [] };
    const address = multiaddr(text);
    const last = address.getComponents().findLast(({ name }) => name === "p2p");
    const peerId = peerIdFromString(last?.value ?? "").toString();
    // A bare /p2p/ address has no route: the peer store or the DHT provides one.
    return { peerId, addresses: text === `/p2p/${peerId}` ? [] : [address] };
  } catch (error) {
    throw new PlasmError("usage", `Cannot use peer ${JSON.stringify(text.slice(0, 256))}`, {
      hint: "Write a peer id such as 12D3KooW…, or a multiaddr that ends with /p2p/ and a peer id",
      cause: error,
    });
  }
}
