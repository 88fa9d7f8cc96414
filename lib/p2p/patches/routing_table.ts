/**
 * Keeps peers that answer no queries out of the DHT's routing table.
 *
 * @module
 */
import type { PeerId, PeerStore } from "@libp2p/interface";
import type { KadDHT } from "@libp2p/kad-dht";
import { delay } from "../../util/async/mod.ts";

/** How long identify may take after a peer has answered a ping, in milliseconds. */
const IDENTIFY_MS = 2_000;

/** Interval between checks whether a peer has been identified, in milliseconds. */
const POLL_MS = 20;

interface Contact {
  peerId: PeerId;
}

/** Part of kad-dht's routing table that the patch changes. */
export interface TableParts {
  routingTable: {
    pingContact(contact: Contact, options: { signal?: AbortSignal }): Promise<boolean>;
  };
}

/** Options of {@linkcode admitServersOnly}. */
export interface AdmitServersOptions {
  /** Protocols of known peers. */
  peerStore: Pick<PeerStore, "get">;
  /** Protocol of the DHT, which only peers list that answer queries. */
  protocol: string;
}

/** Admits a peer that has answered a ping only if it lists the DHT's protocol. */
export function admitServersOnly<T extends KadDHT>(
  dht: T,
  { peerStore, protocol }: AdmitServersOptions,
): T {
  const { routingTable } = dht as unknown as TableParts;
  const ping = routingTable.pingContact.bind(routingTable);
  routingTable.pingContact = async (contact, options) => {
    if (!await ping(contact, options)) return false;
    const end = performance.now() + IDENTIFY_MS;
    for (;;) {
      const protocols = await protocolsOf(contact.peerId, peerStore);
      if (protocols.length > 0) return protocols.includes(protocol);
      if (performance.now() > end || options.signal?.aborted) return false;
      await delay(POLL_MS, { signal: options.signal });
    }
  };
  return dht;
}

async function protocolsOf(
  peerId: PeerId,
  peerStore: Pick<PeerStore, "get">,
): Promise<readonly string[]> {
  try {
    return (await peerStore.get(peerId)).protocols;
  } catch {
    return [];
  }
}
