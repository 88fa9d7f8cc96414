/**
 * Connection gater: allow and deny lists of peer ids and address ranges, for incoming and outgoing connections.
 *
 * @module
 */
import type { ConnectionGater, MultiaddrConnection } from "@libp2p/interface";
import type { Multiaddr } from "@multiformats/multiaddr";
import { BlockList, isIP } from "node:net";
import { PlasmError } from "../../core/errors/mod.ts";
import { hostOf, pathOf, unmapIpv4 } from "../addresses.ts";
import type { EmitEvent } from "../network_events.ts";

/** Allow and deny lists. */
export interface AccessLists {
  /**
   * Peer ids and address ranges to allow. If it contains peer ids, other peers are denied; if it contains ranges,
   * other addresses are denied.
   * @default {all}
   */
  allow?: readonly string[] | undefined;
  /**
   * Peer ids and address ranges to deny; takes precedence over `allow`.
   * @default {[]}
   */
  deny?: readonly string[] | undefined;
}

/** Options of {@linkcode createConnectionGater}. */
export interface ConnectionGaterOptions extends AccessLists {
  /** Receives `refused` events. */
  emit: EmitEvent;
}

/** Connection gater whose lists can be replaced at run time. */
export interface ReloadableGater extends ConnectionGater {
  /**
   * Replaces the lists. Open connections stay open.
   *
   * @throws {PlasmError} `bad-config` if an entry is neither a peer id nor an address range.
   */
  setAccessLists(lists: AccessLists): void;
}

const PEER_ID = /^[1-9A-HJ-NP-Za-km-z]{32,128}$/;

/** Set of IPv4 and IPv6 ranges (RFC 4632, RFC 4291). An IPv4-mapped IPv6 address equals the IPv4 address. */
export class AddressRanges {
  #ranges = new BlockList();

  /** Number of ranges. */
  size = 0;

  /**
   * Adds a range such as `10.0.0.0/8` or `fd00::/8`, or a single address.
   *
   * @throws {PlasmError} `bad-config` if the text is invalid.
   */
  add(text: string): void {
    const [base = "", prefix, ...rest] = text.split("/");
    const address = unmapIpv4(base);
    const version = isIP(address);
    const bits = version === 4 ? 32 : 128;
    try {
      if (version === 0 || rest.length > 0) throw new TypeError("not an address");
      if (prefix !== undefined && !/^\d{1,3}$/.test(prefix)) throw new TypeError("not a prefix");
      const length = prefix === undefined ? bits : Number(prefix);
      this.#ranges.addSubnet(address, length, version === 4 ? "ipv4" : "ipv6");
    } catch (error) {
      throw new PlasmError("bad-config", `Cannot read address range: ${text}`, {
        hint: "Write an IP address, or a range such as 10.0.0.0/8 or fd00::/8",
        cause: error,
      });
    }
    this.size++;
  }

  /** Reports whether an IP address is in one of the ranges. */
  has(address: string): boolean {
    const version = isIP(address);
    return version !== 0 && this.#ranges.check(address, version === 4 ? "ipv4" : "ipv6");
  }
}

interface ParsedList {
  peers: Set<string>;
  ranges: AddressRanges;
}

/**
 * Creates a gater from the two lists.
 *
 * @throws {PlasmError} `bad-config` if an entry is neither a peer id nor an address range.
 */
export function createConnectionGater(options: ConnectionGaterOptions): ReloadableGater {
  const { emit } = options;
  let allow = parseList(options.allow);
  let deny = parseList(options.deny);

  const deniesPeer = (peer: { toString(): string }): boolean =>
    deny.peers.has(peer.toString()) ||
    (allow.peers.size > 0 && !allow.peers.has(peer.toString()));

  const deniesAddress = (address: Multiaddr): boolean => {
    // A relay's address does not identify the peer behind it, and names are checked once resolved.
    const host = hostOf(address);
    const isIp = ["ip4", "ip6"].includes(address.getComponents()[0]?.name ?? "");
    if (!isIp || pathOf(address) === "relayed") return false;
    return deny.ranges.has(host) || (allow.ranges.size > 0 && !allow.ranges.has(host));
  };

  const refuse = (peer: { toString(): string }, connection: MultiaddrConnection): boolean => {
    if (!deniesPeer(peer)) return false;
    const address = connection.remoteAddr.toString();
    emit({ event: "refused", peer_id: peer.toString(), address, error_code: "policy" });
    return true;
  };

  return {
    setAccessLists(lists) {
      const next = [parseList(lists.allow), parseList(lists.deny)] as const;
      [allow, deny] = next;
    },
    denyDialPeer: deniesPeer,
    denyDialMultiaddr: deniesAddress,
    denyInboundConnection(connection) {
      if (!deniesAddress(connection.remoteAddr)) return false;
      const address = connection.remoteAddr.toString();
      emit({ event: "refused", address, error_code: "policy" });
      return true;
    },
    denyInboundEncryptedConnection: refuse,
    denyOutboundEncryptedConnection: refuse,
    denyInboundRelayReservation: deniesPeer,
    denyOutboundRelayedConnection: (source, target) => deniesPeer(source) || deniesPeer(target),
    denyInboundRelayedConnection: (_relay, peer) => deniesPeer(peer),
    filterMultiaddrForPeer: () => true,
  };
}

function parseList(entries: readonly string[] = []): ParsedList {
  const list: ParsedList = { peers: new Set(), ranges: new AddressRanges() };
  for (const entry of entries) {
    if (PEER_ID.test(entry)) list.peers.add(entry);
    else list.ranges.add(entry);
  }
  return list;
}
