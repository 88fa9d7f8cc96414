/**
 * What a node remembers between runs: peers, and how they behaved.
 * @module
 */
import type { Libp2p } from "libp2p";
import type { ConnectionTracker } from "../connectivity/connections.ts";
import { type EmitEvent, reasonOf } from "../network_events.ts";
import { readPeers, writePeers } from "./peer_snapshot.ts";
import type { Reputation } from "./reputation.ts";
import { sleep } from "../../util/async/mod.ts";

const SAVE_MS = 5 * 60 * 1000;
/** Peers of the last run that are dialled at start. */
const REDIAL_PEERS = 8;

/** What a {@linkcode StateKeeper} works with. */
export interface StateKeeperOptions {
  stateDir: string;
  libp2p: Libp2p;
  reputation: Reputation;
  connections: ConnectionTracker;
  emit: EmitEvent;
  /** Ends it. */
  signal: AbortSignal;
}

/** Restores and saves. Faults are told, never thrown: a node can do without its memory. */
export class StateKeeper {
  #options: StateKeeperOptions;

  constructor(options: StateKeeperOptions) {
    this.#options = options;
  }

  /** Reads what the last run left, dials the latest peers, and saves from time to time. */
  async start(): Promise<void> {
    const { stateDir, libp2p, reputation, emit, signal } = this.#options;
    try {
      await reputation.load(stateDir);
      const peers = await readPeers(stateDir);
      for (const { id, multiaddrs } of peers) await libp2p.peerStore.merge(id, { multiaddrs });
      emit({ event: "peer_store", count: peers.length });
      for (const { id } of peers.slice(0, REDIAL_PEERS)) {
        libp2p.dial(id, { signal }).catch(() => {});
      }
    } catch (error) {
      // The next save replaces what could not be read.
      emit({ event: "peer_store", error_code: "state", reason: reasonOf(error) });
    }
    void this.#keep();
  }

  /** Saves now. */
  async save(): Promise<void> {
    const { stateDir, libp2p, reputation, connections, emit } = this.#options;
    try {
      await writePeers(stateDir, { store: libp2p.peerStore, seen: connections.seen });
      await reputation.save(stateDir);
    } catch (error) {
      emit({ event: "peer_store", error_code: "state", reason: reasonOf(error) });
    }
  }

  async #keep(): Promise<void> {
    const { signal } = this.#options;
    for (;;) {
      await sleep(SAVE_MS, signal);
      if (signal.aborted) return;
      await this.save();
    }
  }
}
