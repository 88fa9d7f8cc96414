/**
 * Ranks the addresses of a peer for staggered dials, after RFC 8305 and go-libp2p's dial ranker.
 *
 * @module
 */
import { isLoopback, isPrivate } from "@libp2p/utils";
import type { Multiaddr } from "@multiformats/multiaddr";
import { AddressRanges } from "../access/connection_gater.ts";
import { hostOf, pathOf, transportOf } from "../addresses.ts";

/** Delay of TCP after QUIC, and of IPv4 after IPv6, in milliseconds. */
const PUBLIC_DELAY_MS = 250;

/** The same for addresses of this machine's subnets, in milliseconds. */
const NEAR_DELAY_MS = 30;

/** Delay of relayed addresses if there are direct ones, in milliseconds. */
const RELAY_DELAY_MS = 500;

/** Delay of addresses of foreign private networks if there are others, in milliseconds. */
const FAR_DELAY_MS = 1_000;

/** Address with the time at which to dial it. */
export interface RankedAddress {
  address: Multiaddr;
  /** Delay from the start of the dial, in milliseconds. */
  delayMs: number;
}

/**
 * Private addresses that are dialed when a peer lists them: those of this machine's subnets first and others last, those
 * of this machine's subnets only, or none.
 */
export type PrivateDials = "last" | "near" | "never";

/** Options of {@linkcode rankAddresses}. */
export interface RankOptions {
  /** Reports whether an IP address is in one of this machine's subnets. @default {asks the system} */
  isNear?: ((host: string) => boolean) | undefined;
  /** Private addresses to dial. @default {"last"} */
  privateDials?: PrivateDials | undefined;
}

/** Where an address leads: this machine's subnet, a public network, or a private network that may be another one. */
type Place = "near" | "public" | "far";

/**
 * Orders addresses by the time at which to dial each. Private addresses say nothing about which network they belong to:
 * those of foreign networks, and loopback addresses, are dialed last.
 */
export function rankAddresses(
  addresses: readonly Multiaddr[],
  { isNear = isOwnSubnet, privateDials = "last" }: RankOptions = {},
): RankedAddress[] {
  const placed = addresses.map((address) => ({
    address,
    path: pathOf(address),
    place: placeOf(address, isNear),
  })).filter(({ place }) =>
    place === "public" || privateDials === "last" || place === privateDials
  );
  const group = (path: string, place: Place): Multiaddr[] =>
    placed.filter((it) => it.path === path && it.place === place).map(({ address }) => address);
  const near = stagger(group("direct", "near"), NEAR_DELAY_MS);
  const open = stagger(group("direct", "public"), PUBLIC_DELAY_MS);
  const direct = [...near, ...open];
  const relays = [...group("relayed", "near"), ...group("relayed", "public")];
  const relayed = after(direct, RELAY_DELAY_MS, stagger(relays, PUBLIC_DELAY_MS));
  const usual = [...direct, ...relayed];
  const far = after(usual, FAR_DELAY_MS, stagger(group("direct", "far"), PUBLIC_DELAY_MS));
  const farRelays = stagger(group("relayed", "far"), PUBLIC_DELAY_MS);
  const farRelayed = after([...usual, ...far], FAR_DELAY_MS + RELAY_DELAY_MS, farRelays);
  return [...usual, ...far, ...farRelayed].toSorted((a, b) => a.delayMs - b.delayMs);
}

/** Delays addresses if there are others before them. */
function after(
  others: readonly RankedAddress[],
  delayMs: number,
  addresses: readonly RankedAddress[],
): RankedAddress[] {
  if (others.length === 0) return [...addresses];
  return addresses.map(({ address, delayMs: own }) => ({ address, delayMs: own + delayMs }));
}

function placeOf(address: Multiaddr, isNear: (host: string) => boolean): Place {
  if (isLoopback(address)) return "far";
  if (!isPrivate(address)) return "public";
  return isNear(hostOf(address)) ? "near" : "far";
}

/** Delays of the addresses of one group: QUIC before TCP, and for each the first of IPv6 before the first of IPv4. */
function stagger(addresses: readonly Multiaddr[], delayMs: number): RankedAddress[] {
  const isTcp = (address: Multiaddr): boolean => transportOf(address) === "tcp";
  const first = happyEyeballs(addresses.filter((address) => !isTcp(address)), delayMs);
  const start = first.length === 0 ? 0 : Math.max(...first.map(({ delayMs }) => delayMs)) + delayMs;
  const second = happyEyeballs(addresses.filter(isTcp), delayMs);
  return [
    ...first,
    ...second.map(({ address, delayMs }) => ({ address, delayMs: start + delayMs })),
  ];
}

/** The first IPv6 address at once, then the first IPv4 address, then the others together. */
function happyEyeballs(addresses: readonly Multiaddr[], delayMs: number): RankedAddress[] {
  const isIpv6 = (address: Multiaddr): boolean =>
    ["ip6", "dns6"].includes(address.getComponents()[0]?.name ?? "");
  const heads = [addresses.find(isIpv6), addresses.find((address) => !isIpv6(address))]
    .filter((address) => address !== undefined);
  const rest = addresses.filter((address) => !heads.includes(address));
  return [...heads, ...rest].map((address, index) => ({
    address,
    delayMs: delayMs * Math.min(index, heads.length),
  }));
}

/** How long the list of subnets is used, in milliseconds. */
const SUBNETS_MS = 5_000;

let subnets: { ranges: AddressRanges; readAt: number } | undefined;

/** Reports whether an IP address is in one of this machine's subnets. */
export function isOwnSubnet(host: string): boolean {
  if (subnets === undefined || performance.now() - subnets.readAt > SUBNETS_MS) {
    subnets = { ranges: readSubnets(), readAt: performance.now() };
  }
  return subnets.ranges.has(host);
}

function readSubnets(): AddressRanges {
  const ranges = new AddressRanges();
  // Without permission all private networks count as foreign: a program must not ask its user for this.
  const { state } = Deno.permissions.querySync({ name: "sys", kind: "networkInterfaces" });
  if (state !== "granted") return ranges;
  for (const { cidr, address } of Deno.networkInterfaces()) {
    // A link-local address needs the name of its interface, which others do not know.
    if (!address.startsWith("fe80:")) ranges.add(cidr);
  }
  return ranges;
}
