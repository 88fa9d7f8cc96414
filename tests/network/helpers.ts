/**
 * Nodes on loopback for tests, and what they report.
 * @module
 */
import type { NetworkEvent } from "../../lib/network/events.ts";
import { ephemeralIdentity } from "../../lib/identity.ts";
import {
  createNetwork,
  type NetworkOptions,
  type PlasmNetwork,
} from "../../lib/network/network.ts";

/**
 * libp2p leaves AbortSignal.timeout() timers and a BroadcastChannel behind; see transport_set.ts for
 * the tests that hold our own sockets to account.
 */
export const LIBP2P = { sanitizeOps: false, sanitizeResources: false };

/** Loopback is never NATed: what nat_test.ts is about is switched off elsewhere. */
const NO_NAT = { autonat: false, relay: false, relayServer: false };

/** The longest a test waits for what never comes. */
const PATIENCE_MS = 30_000;

/** Keeps a node's events and waits for one. */
export class Recorder {
  readonly events: NetworkEvent[] = [];
  #waiting: { isIt: (event: NetworkEvent) => boolean; resolve: (event: NetworkEvent) => void }[] =
    [];

  readonly log = (event: NetworkEvent): void => {
    this.events.push(event);
    for (const { isIt, resolve } of this.#waiting) if (isIt(event)) resolve(event);
  };

  /** The first event, past or to come, that is it. */
  until(isIt: (event: NetworkEvent) => boolean): Promise<NetworkEvent> {
    const past = this.events.find(isIt);
    if (past !== undefined) return Promise.resolve(past);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        const seen = this.events.map((event) => JSON.stringify(event)).join("\n");
        reject(new Error(`Waited ${PATIENCE_MS} ms for ${isIt}; seen:\n${seen}`));
      }, PATIENCE_MS);
      this.#waiting.push({
        isIt,
        resolve: (event) => {
          clearTimeout(timer);
          resolve(event);
        },
      });
    });
  }

  /** The names of the events that are asked for, in their order. */
  names(...wanted: string[]): string[] {
    return this.events.map(({ event }) => event as string).filter((name) => wanted.includes(name));
  }
}

/** Nodes that are stopped together. */
export class TestNet implements AsyncDisposable {
  #nodes: PlasmNetwork[] = [];

  /** Starts a node with a key of its own; it listens on loopback by TCP and QUIC. */
  async start(options: Partial<NetworkOptions> = {}): Promise<PlasmNetwork> {
    const node = await createNetwork({
      identity: await ephemeralIdentity(),
      listen: ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic"],
      nat: NO_NAT,
      ...options,
    });
    this.#nodes.push(node);
    return node;
  }

  /** Starts a node that only dials. */
  startClient(options: Partial<NetworkOptions> = {}): Promise<PlasmNetwork> {
    return this.start({ mode: "client", listen: [], ...options });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const node of this.#nodes.reverse()) await node.stop();
  }
}

/** The address of a node by one transport. */
export function addressOf(node: PlasmNetwork, transport: "tcp" | "quic"): string {
  const part = transport === "tcp" ? "/tcp/" : "/quic";
  return node.addresses().find((address) => address.includes(part))!;
}
