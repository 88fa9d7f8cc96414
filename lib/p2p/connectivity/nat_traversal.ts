/**
 * Becoming reachable, one step after the other: as it is, by the router's UPnP, by a relay. Holes
 * are punched by libp2p's DCUtR whenever a relayed connection comes in.
 * @module
 */
import type { Connection } from "@libp2p/interface";
import { isLoopback, isPrivate } from "@libp2p/utils";
import { type Multiaddr, multiaddr } from "@multiformats/multiaddr";
import { pathOf } from "../addresses.ts";
import { type EmitEvent, type NatStep, reasonOf } from "../network_events.ts";
import type { OwnAddress } from "../patches/libp2p_components.ts";
import type { NatOptions, PlasmNode } from "../libp2p_node.ts";
import { sleep } from "../../util/async/mod.ts";

/** Whether and how strangers reach this node. */
export interface Reachability {
  /** `unknown` until the first round of attempts has finished. */
  status: "unknown" | "public" | "relayed" | "private";
  /** What made it so. */
  by: "direct" | "upnp" | "relay" | null;
  /** Addresses that strangers can dial. */
  addresses: string[];
}

/** How long the router is waited for; UPnP's own search takes 5 s and its mapping 5 more. */
const UPNP_WAIT_MS = 20_000;
/** How long peers are asked to dial back before a relay is looked for. */
const VERIFY_WAIT_MS = 15_000;
/** How often the state is looked at while it settles. */
const POLL_MS = 500;
/** How often it is looked at later. */
const WATCH_MS = 10_000;

/** What {@linkcode NatLadder} works with. */
export interface NatLadderOptions {
  node: PlasmNode;
  nat: NatOptions;
  emit: EmitEvent;
  /** Ends it. */
  signal: AbortSignal;
}

/** Takes the steps and knows the outcome. */
export class NatLadder {
  #options: NatLadderOptions;
  #settled = false;
  #relaying = false;
  #told = new Set<string>();

  constructor(options: NatLadderOptions) {
    this.#options = options;
    void this.#climb();
  }

  /** The outcome so far. */
  get reachability(): Reachability {
    const own = this.#options.node.internals.addressManager.getAddressesWithMetadata();
    const direct = own.filter(isPublicVerified);
    const relayed = own.filter(({ multiaddr }) => pathOf(multiaddr) === "relayed");
    const shown = direct.length > 0 ? direct : relayed;
    const addresses = shown.map(({ multiaddr }) => multiaddr.toString());
    if (direct.length > 0) {
      const isMapped = direct.every(({ type }) => type === "ip-mapping");
      return { status: "public", by: isMapped ? "upnp" : "direct", addresses };
    }
    if (relayed.length > 0) return { status: "relayed", by: "relay", addresses };
    return { status: this.#settled ? "private" : "unknown", by: null, addresses };
  }

  async #climb(): Promise<void> {
    const { nat, signal } = this.#options;
    if (nat.upnp) await this.#tryUpnp();
    if (nat.autonat ?? true) await this.#until(() => this.#isPublic(), VERIFY_WAIT_MS);
    this.#settled = true;
    while (!signal.aborted) {
      if (!this.#isPublic() && (nat.relay ?? true)) await this.#useRelay();
      this.#tellChanges();
      await sleep(WATCH_MS, signal);
      this.#askPeers();
    }
  }

  async #tryUpnp(): Promise<void> {
    this.#tell("upnp_search");
    const isMapped = () => this.#mapped().length > 0;
    if (await this.#until(isMapped, UPNP_WAIT_MS)) {
      for (const { multiaddr } of this.#mapped()) this.#tell("upnp_mapped", multiaddr);
    } else this.#tell("upnp_unavailable");
  }

  #mapped(): OwnAddress[] {
    return this.#addresses().filter(({ type }) => type === "ip-mapping");
  }

  #addresses(): OwnAddress[] {
    return this.#options.node.internals.addressManager.getAddressesWithMetadata();
  }

  #isPublic(): boolean {
    return this.#addresses().some(isPublicVerified);
  }

  /** Waits until something holds, asking peers to dial back all the while. */
  async #until(isTrue: () => boolean, waitMs: number): Promise<boolean> {
    const { signal } = this.#options;
    const end = performance.now() + waitMs;
    while (!isTrue() && performance.now() < end && !signal.aborted) {
      this.#askPeers();
      await sleep(POLL_MS, signal);
    }
    this.#tellChanges();
    return isTrue();
  }

  /** libp2p asks a peer only when it connects; addresses that came later would wait for the next. */
  #askPeers(): void {
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
    this.#tell("relay_search");
    try {
      await this.#options.node.internals.transportManager.listen([multiaddr("/p2p-circuit")]);
      const isReserved = () => this.reachability.status === "relayed";
      await this.#until(isReserved, VERIFY_WAIT_MS);
    } catch (error) {
      this.#relaying = false;
      this.#options.emit({ event: "nat", step: "relay_lost", reason: reasonOf(error) });
    }
  }

  /** Events for addresses that came and relays that went. */
  #tellChanges(): void {
    const { addresses } = this.reachability;
    for (const text of addresses) {
      if (this.#told.has(text)) continue;
      const address = multiaddr(text);
      this.#tell(pathOf(address) === "relayed" ? "relay_reserved" : "address_verified", address);
    }
    for (const text of this.#told) {
      if (addresses.includes(text)) continue;
      if (pathOf(multiaddr(text)) === "relayed") this.#tell("relay_lost", multiaddr(text));
    }
    this.#told = new Set(addresses);
  }

  #tell(step: NatStep, address?: Multiaddr): void {
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
