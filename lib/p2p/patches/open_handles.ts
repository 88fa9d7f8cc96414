/**
 * Releases what libp2p leaves open when a node has stopped, which would keep the process running.
 *
 * @module
 */
import type { Libp2p, PeerId, PeerStore } from "@libp2p/interface";

/** Part of the peer store's persistent store that creates a lock; synchronous. */
interface LockStore {
  getLock(peerId: PeerId): unknown;
  maybeRemoveLock(peerId: PeerId, lock: unknown): void;
}

/** Stands for a BroadcastChannel to which no other thread is connected. */
class UnconnectedChannel extends EventTarget {
  postMessage(): void {}
  close(): void {}
}

/**
 * Creates a lock of the peer store, and thereby the implementation that all later locks share. With the global
 * BroadcastChannel it would open a channel and never close it.
 */
export function createLocksWithoutChannel(peerStore: PeerStore, peerId: PeerId): void {
  const { store } = peerStore as unknown as { store: LockStore };
  const original = globalThis.BroadcastChannel;
  globalThis.BroadcastChannel = UnconnectedChannel as unknown as typeof BroadcastChannel;
  try {
    store.maybeRemoveLock(peerId, store.getLock(peerId));
  } finally {
    globalThis.BroadcastChannel = original;
  }
}

/** A function of libp2p that runs after a delay. */
interface Debounced {
  stop?(): void;
}

/** Parts that leave timers behind. */
interface TimerOwners {
  dht?: { routingTableRefresh: { refreshTimeoutId?: number } };
  identifyPush?: { _push: Debounced };
}

/** Node that {@linkcode stopWithTimers} stops. */
export interface StoppableNode {
  libp2p: Libp2p;
  /** Components of libp2p that its interface hides. */
  components: unknown;
}

/** Stops a node. */
export async function stopWithTimers({ libp2p, components }: StoppableNode): Promise<void> {
  const { dht, identifyPush } = libp2p.services as unknown as TimerOwners;
  const { addressManager } = components as unknown as {
    addressManager: { _updatePeerStoreAddresses: Debounced };
  };
  if (dht !== undefined) {
    // A refresh that stop() interrupts schedules the next one afterwards.
    let timer: number | undefined;
    clearTimeout(dht.routingTableRefresh.refreshTimeoutId);
    Object.defineProperty(dht.routingTableRefresh, "refreshTimeoutId", {
      get: () => timer,
      set: (next: number) => clearTimeout(timer = next),
    });
  }
  await libp2p.stop();
  identifyPush?._push.stop?.();
  addressManager._updatePeerStoreAddresses.stop?.();
}
