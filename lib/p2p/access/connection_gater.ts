/**
 * Connection gater: allow and deny lists of peer ids and address ranges, for incoming and outgoing connections.
 * @module
 */
import type { ConnectionGater, MultiaddrConnection } from "@libp2p/interface";
import type { Multiaddr } from "@multiformats/multiaddr";
import { hostOf, pathOf } from "../addresses.ts";
import { type Cidr, parseCidr } from "./cidr.ts";
import type { EmitEvent } from "../network_events.ts";

/** Options of {@linkcode createGater}. */
export interface GaterOptions {
  /**
   * Peer ids and address ranges that may connect and are dialled; where any of one kind is given,
   * all others of that kind are refused.
   * @default {all}
   */
  allow?: readonly string[] | undefined;
  /**
   * Peer ids and address ranges that are refused, whatever `allow` says.
   * @default {none}
   */
  deny?: readonly string[] | undefined;
  /** Takes `refused` events. */
  emit: EmitEvent;
}

/** Lists that may change while the node runs. */
export interface Gater extends ConnectionGater {
  /**
   * Puts new lists in place. Open connections are left alone.
   *
   * @throws {PlasmError} `bad-config` where an entry is neither a peer id nor an address range
   */
  setLists(lists: Pick<GaterOptions, "allow" | "deny">): void;
}

const PEER_ID = /^[1-9A-HJ-NP-Za-km-z]{32,128}$/;

interface List {
  peers: Set<string>;
  ranges: Cidr[];
}

/** Makes libp2p's gater from the two lists. */
export function createGater(options: GaterOptions): Gater {
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
    return deny.ranges.some((range) => range.contains(host)) ||
      (allow.ranges.length > 0 && !allow.ranges.some((range) => range.contains(host)));
  };

  const refuse = (peer: { toString(): string }, connection: MultiaddrConnection): boolean => {
    if (!deniesPeer(peer)) return false;
    const address = connection.remoteAddr.toString();
    emit({ event: "refused", peer_id: peer.toString(), address, error_code: "policy" });
    return true;
  };

  return {
    setLists(lists) {
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

function parseList(entries: readonly string[] = []): List {
  const peers = new Set<string>();
  const ranges: Cidr[] = [];
  for (const entry of entries) {
    if (PEER_ID.test(entry)) peers.add(entry);
    else ranges.push(parseCidr(entry));
  }
  return { peers, ranges };
}
