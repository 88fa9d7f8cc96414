/**
 * Cache in front of the peer store. libp2p merges the protocol of every inbound stream into the peer's entry, which reads, decodes
 * and compares the entry each time.
 *
 * @module
 */
import type { Peer, PeerId, PeerStore } from "@libp2p/interface";
import { BoundedMap } from "../../util/mod.ts";

/** Cached pairs of peer and protocol: more than a node has connections. */
const MAX_KNOWN = 1024;

/** Lifetime of a cached pair, in milliseconds: the store evicts peers, and then the merge must run again. */
const KNOWN_MS = 60_000;

/** Skips merges that the store has already made. */
export function cachePeerMerges(store: Pick<PeerStore, "merge" | "delete">): void {
  const merge = store.merge.bind(store);
  const remove = store.delete.bind(store);
  let known = new BoundedMap<string, { peer: Peer; at: number }>(MAX_KNOWN);
  store.merge = async (peerId, data, options) => {
    const { protocols, ...more } = data;
    const [protocol, ...others] = protocols ?? [];
    if (protocol === undefined || others.length > 0 || Object.keys(more).length > 0) {
      return await merge(peerId, data, options);
    }
    const key = `${peerId} ${protocol}`;
    const before = known.get(key);
    if (before !== undefined && performance.now() - before.at < KNOWN_MS) return before.peer;
    const peer = await merge(peerId, data, options);
    known.set(key, { peer, at: performance.now() });
    return peer;
  };
  store.delete = async (peerId: PeerId, options) => {
    known = new BoundedMap(MAX_KNOWN);
    await remove(peerId, options);
  };
}
