/**
 * A peer store that is told once what it knows. For each stream libp2p has it note that the peer speaks the
 * stream's protocol: the peer's entry is then read, taken apart, compared and found to be the same.
 * @module
 */
import type { Peer, PeerId, PeerStore } from "@libp2p/interface";
import { LruMap } from "../../util/mod.ts";

/** Peers and protocols that are remembered: those of as many connections as a node has, and more. */
const MAX_KNOWN = 1024;

/** How long, in milliseconds: the store forgets peers by itself, and is then told again. */
const KNOWN_MS = 60_000;

/** Has the store pass over what it was told before. */
export function spareMerges(store: Pick<PeerStore, "merge" | "delete">): void {
  const merge = store.merge.bind(store);
  const forget = store.delete.bind(store);
  let known = new LruMap<string, { peer: Peer; at: number }>(MAX_KNOWN);
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
    known = new LruMap(MAX_KNOWN);
    await forget(peerId, options);
  };
}
