/**
 * Computes the network of an address: nodes in one network may belong to one owner.
 *
 * @module
 */

/** Length of a network's prefix by IP version, in bits. */
const IPV4_BYTES = 3;
const IPV6_GROUPS = 3;

/**
 * The network of a multiaddr: the IPv4 /24 or the IPv6 /48 of its first hop, such as `192.0.2.0/24`. That of a relayed
 * connection is the relay's, so that one relay vouches for one node.
 *
 * @returns Undefined if the multiaddr has no IP address: a name can resolve to any.
 */
export function networkPrefix(address: string): string | undefined {
  const parts = address.split("/");
  const at = parts.findIndex((part) => part === "ip4" || part === "ip6");
  const ip = parts[at + 1];
  if (at < 1 || ip === undefined) return undefined;
  return parts[at] === "ip4" ? ipv4Prefix(ip) : ipv6Prefix(ip);
}

function ipv4Prefix(ip: string): string | undefined {
  const bytes = ip.split(".");
  if (bytes.length !== 4 || !bytes.every((byte) => /^\d{1,3}$/.test(byte))) return undefined;
  return `${bytes.slice(0, IPV4_BYTES).join(".")}.0/24`;
}

function ipv6Prefix(ip: string): string | undefined {
  const mapped = /^::ffff:(?=[\d.]+$)/i;
  if (mapped.test(ip)) return ipv4Prefix(ip.replace(mapped, ""));
  const [head, tail] = ip.split("::") as [string, string | undefined];
  const groups = (text: string | undefined): string[] => text ? text.split(":") : [];
  const given = groups(head).length + groups(tail).length;
  const zeros = Array<string>(Math.max(0, 8 - given)).fill("0");
  const all = [...groups(head), ...tail === undefined ? [] : zeros, ...groups(tail)];
  if (!all.slice(0, IPV6_GROUPS).every((group) => /^[\da-f]{1,4}$/i.test(group))) return undefined;
  const prefix = all.slice(0, IPV6_GROUPS).map((group) => Number.parseInt(group, 16).toString(16));
  return prefix.length < IPV6_GROUPS ? undefined : `${prefix.join(":")}::/48`;
}
