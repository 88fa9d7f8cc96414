/**
 * NAT traversal: makes the node reachable directly, by UPnP or by a relay, in this order. libp2p's DCUtR punches holes
 * for each incoming relayed connection.
 *
 * @module
 */
import type { Connection } from "@libp2p/interface";
import { isLoopback, isPrivate } from "@libp2p/utils";
import { type Multiaddr, multiaddr } from "@multiformats/multiaddr";
import { delay } from "../../util/async/mod.ts";
import { pathOf } from "../addresses.ts";
import type { NatOptions, PlasmNode } from "../libp2p_node.ts";
import { type EmitEvent, type NatStep, reasonOf } from "../network_events.ts";
import type { OwnAddress } from "../patches/libp2p_components.ts";
import { usableAddresses } from "../patches/public_relays.ts";

/** Reachability of a node from other networks. */
export interface Reachability {
  /** `unknown` until the first round of attempts has completed. */
  status: "unknown" | "public" | "relayed" | "private";
  /** Method that made the node reachable. */
  by: "direct" | "upnp" | "relay" | null;
  /** Addresses that other networks can dial. */
  addresses: string[];
}

/** Time limit for UPnP, in milliseconds; its search takes 5 s and its mapping 5 more. */
const UPNP_WAIT_MS = 20_000;

/** Time limit for dial-backs by peers before a relay is used, in milliseconds. */
const VERIFY_WAIT_MS = 15_000;

/** Interval between checks of the addresses during an attempt, in milliseconds. */
const POLL_MS = 500;

/** Interval between checks of the addresses afterwards, in milliseconds. */
const WATCH_MS = 10_000;

/** Most addresses whose report is remembered. */
const MAX_REPORTED = 64;

/** Options of {@linkcode NatTraversal}. */
export interface NatTraversalOptions {
  node: Pick<PlasmNode, "libp2p" | "components">;
  nat: NatOptions;
  emit: EmitEvent;
  /** Stops all attempts. */
  signal: AbortSignal;
  /** Time limit for dial-backs by peers before a relay is used, in milliseconds. @default {15000} */
  verifyMs?: number | undefined;
  /** Interval between checks of the addresses after the first attempts, in milliseconds. @default {10000} */
  watchMs?: number | undefined;
}

/** Runs the methods of NAT traversal and reports the result. */
export class NatTraversal {
  #options: NatTraversalOptions;
  #settled = false;
  #relaying = false;
  /** Addresses that were reported, the latest last. Answers of AutoNAT may flap: an address is reported once. */
  #reported = new Set<string>();

  constructor(options: NatTraversalOptions) {
    this.#options = options;
    void this.#run();
  }

  /** Current reachability. */
  get reachability(): Reachability {
    const direct = this.#addresses().filter(isPublicVerified);
    const usable = direct.length > 0
      ? usableAddresses(direct.map(({ multiaddr }) => multiaddr))
      : this.#relayed();
    const addresses = usable.map(String);
    if (direct.length > 0) {
      const isMapped = direct.every(({ type }) => type === "ip-mapping");
      return { status: "public", by: isMapped ? "upnp" : "direct", addresses };
    }
    if (addresses.length > 0) return { status: "relayed", by: "relay", addresses };
    return { status: this.#settled ? "private" : "unknown", by: null, addresses };
  }

  async #run(): Promise<void> {
    const { nat, signal, verifyMs = VERIFY_WAIT_MS, watchMs = WATCH_MS } = this.#options;
    if (nat.upnp) await this.#tryUpnp();
    if (nat.autonat ?? true) await this.#pollUntil(() => this.#isPublic(), verifyMs);
    this.#settled = true;
    while (!signal.aborted) {
      if (!this.#isPublic() && (nat.relay ?? true)) await this.#useRelay();
      this.#reportChanges();
      await delay(watchMs, { signal });
      this.#requestDialBacks();
    }
  }

  async #tryUpnp(): Promise<void> {
    this.#report("upnp-search");
    const isMapped = () => this.#mapped().length > 0;
    if (await this.#pollUntil(isMapped, UPNP_WAIT_MS)) {
      for (const { multiaddr } of this.#mapped()) this.#report("upnp-mapped", multiaddr);
    } else this.#report("upnp-unavailable");
  }

  #mapped(): OwnAddress[] {
    return this.#addresses().filter(({ type }) => type === "ip-mapping");
  }

  #addresses(): OwnAddress[] {
    return this.#options.node.components.addressManager.getAddressesWithMetadata();
  }

  #isPublic(): boolean {
    return this.#addresses().some(isPublicVerified);
  }

  /** Polls until a condition holds, and requests dial-backs meanwhile. Returns false after the time limit. */
  async #pollUntil(condition: () => boolean, waitMs: number): Promise<boolean> {
    const { signal } = this.#options;
    const end = performance.now() + waitMs;
    while (!condition() && performance.now() < end && !signal.aborted) {
      this.#requestDialBacks();
      await delay(POLL_MS, { signal });
    }
    this.#reportChanges();
    return condition();
  }

  /** Requests dial-backs for all addresses. libp2p does so only when a peer connects, not for addresses added later. */
  #requestDialBacks(): void {
    const { libp2p } = this.#options.node;
    const { autonat } = libp2p.services as { autonat?: AutonatService };
    if (autonat === undefined) return;
    for (const connection of libp2p.getConnections()) {
      if (connection.limits !== undefined) continue;
      autonat.verifyExternalAddresses(connection).catch(() => {});
    }
  }

  async #useRelay(): Promise<void> {
    if (this.#relaying) return;
    this.#relaying = true;
    this.#report("relay-search");
    try {
      await this.#options.node.components.transportManager.listen([multiaddr("/p2p-circuit")]);
      const { verifyMs = VERIFY_WAIT_MS } = this.#options;
      const isReserved = () => this.#relayed().length > 0;
      await this.#pollUntil(isReserved, verifyMs);
    } catch (error) {
      this.#relaying = false;
      this.#options.emit({ event: "nat", step: "relay-lost", reason: reasonOf(error) });
    }
  }

  /** Reports new addresses and lost relays. */
  #reportChanges(): void {
    const relayed = this.#relayed();
    const direct = this.#addresses().filter(isPublicVerified).map(({ multiaddr }) => multiaddr);
    for (const address of [...direct, ...relayed]) {
      const text = address.toString();
      if (this.#reported.has(text)) continue;
      const [oldest] = this.#reported;
      if (this.#reported.size >= MAX_REPORTED) this.#reported.delete(oldest!);
      this.#reported.add(text);
      this.#report(pathOf(address) === "relayed" ? "relay-reserved" : "address-verified", address);
    }
    const reserved = new Set(relayed.map(String));
    for (const text of [...this.#reported]) {
      const address = multiaddr(text);
      if (reserved.has(text) || pathOf(address) === "direct") continue;
      this.#reported.delete(text);
      this.#report("relay-lost", address);
    }
  }

  /** Relayed addresses of this node that other networks can dial. */
  #relayed(): Multiaddr[] {
    const own = this.#addresses().map(({ multiaddr }) => multiaddr);
    return usableAddresses(own.filter((address) => pathOf(address) === "relayed"));
  }

  #report(step: NatStep, address?: Multiaddr): void {
    this.#options.emit({
      event: "nat",
      step,
      ...(address === undefined ? {} : { address: address.toString(), path: pathOf(address) }),
    });
  }
}

interface AutonatService {
  verifyExternalAddresses(connection: Connection): Promise<void>;
}

function isPublicVerified({ multiaddr, verified }: OwnAddress): boolean {
  return verified && pathOf(multiaddr) === "direct" && !isPrivate(multiaddr) &&
    !isLoopback(multiaddr);
}
