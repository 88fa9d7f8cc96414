/**
 * Limits incoming connections whose handshake is incomplete, with fair shares by address and network.
 *
 * @module
 */
import { isIP } from "node:net";
import { unmapIpv4 } from "../addresses.ts";

/** Limits of a {@linkcode HandshakeLimiter}. */
export interface HandshakeLimits {
  /**
   * Concurrent handshakes.
   * @default {256}
   */
  total?: number | undefined;
  /**
   * Concurrent handshakes of one IP address.
   * @default {32}
   */
  perAddress?: number | undefined;
  /**
   * Concurrent handshakes of one network: an IPv4 /24 or an IPv6 /64.
   * @default {64}
   */
  perNetwork?: number | undefined;
  /**
   * Age from which a handshake may be replaced by another of its address or network, in milliseconds.
   * @default {1000}
   */
  replaceAfterMs?: number | undefined;
}

/** Handshakes of one address, network or region. */
interface Group {
  key: string;
  count: number;
}

interface Handshake {
  address: Group;
  network: Group;
  region: Group;
  since: number;
  close: () => void;
}

/** Expands an IPv6 address to its eight groups. */
function groupsOf(address: string): string[] {
  const [left = "", right] = (address.split("%")[0] ?? "").split("::");
  const groups = (text: string): string[] => text === "" ? [] : text.split(":");
  const [head, tail] = [groups(left), groups(right ?? "")];
  const zeros = right === undefined ? 0 : Math.max(0, 8 - head.length - tail.length);
  return [...head, ...Array<string>(zeros).fill("0"), ...tail].map((group) =>
    Number.parseInt(group, 16).toString(16)
  );
}

/** Networks of an IP address: an IPv4 /24 and /16, or an IPv6 /64 and /48. */
export function networksOf(
  hostname: string,
): { address: string; network: string; region: string } {
  const address = unmapIpv4(hostname);
  const [separator, parts, sizes] = isIP(address) === 4
    ? [".", address.split("."), [3, 2]] as const
    : [":", groupsOf(address), [4, 3]] as const;
  const [network = "", region = ""] = sizes.map((size) => parts.slice(0, size).join(separator));
  return { address: parts.join(separator), network, region };
}

function groupsOfHandshake({ address, network, region }: Handshake): Group[] {
  return [address, network, region];
}

/**
 * Half-open incoming connections of a node.
 *
 * Within an address or a network at its limit, a new handshake replaces the oldest if that is stalled, else it is
 * refused. When all places are taken, a new handshake replaces the oldest of the network that has most of them, unless
 * its own network has as many: however many addresses a flood uses, one from elsewhere gets a place.
 */
export class HandshakeLimiter {
  readonly #limits: Required<{ [Name in keyof HandshakeLimits]: number }>;
  /** Oldest first. */
  readonly #handshakes = new Set<Handshake>();
  readonly #groups = new Map<string, Group>();

  constructor(limits: HandshakeLimits = {}) {
    const { total = 256, perAddress = 32, perNetwork = 64, replaceAfterMs = 1000 } = limits;
    this.#limits = { total, perAddress, perNetwork, replaceAfterMs };
  }

  /** Number of incomplete handshakes. */
  get size(): number {
    return this.#handshakes.size;
  }

  /**
   * Starts a handshake.
   *
   * @param close Closes the connection when another handshake replaces this one.
   * @returns The function that ends it; `undefined` if the connection is refused.
   */
  enter(hostname: string, close: () => void): (() => void) | undefined {
    const names = networksOf(hostname);
    const handshake: Handshake = {
      address: this.#group(`address ${names.address}`),
      network: this.#group(`network ${names.network}`),
      region: this.#group(`region ${names.region}`),
      since: performance.now(),
      close,
    };
    if (!this.#makePlace(handshake)) return undefined;
    this.#handshakes.add(handshake);
    for (const group of groupsOfHandshake(handshake)) {
      group.count++;
      this.#groups.set(group.key, group);
    }
    return () => void this.#remove(handshake);
  }

  #group(key: string): Group {
    return this.#groups.get(key) ?? { key, count: 0 };
  }

  /** Reports whether a new handshake has a place; replaces another if necessary. */
  #makePlace(next: Handshake): boolean {
    const { total, perAddress, perNetwork } = this.#limits;
    const { address, network } = next;
    if (address.count >= perAddress) return this.#replaceStalled((it) => it.address === address);
    if (network.count >= perNetwork) return this.#replaceStalled((it) => it.network === network);
    return this.size < total || this.#replaceHeaviest(next);
  }

  /** Replaces the oldest matching handshake if it is stalled. */
  #replaceStalled(matches: (handshake: Handshake) => boolean): boolean {
    const oldest = this.#handshakes.values().find(matches);
    if (oldest === undefined) return false;
    if (performance.now() - oldest.since < this.#limits.replaceAfterMs) return false;
    this.#replace(oldest);
    return true;
  }

  /** Replaces the oldest handshake of the network, then of the region, that has most. */
  #replaceHeaviest(next: Handshake): boolean {
    let heaviest = next;
    for (const handshake of this.#handshakes) {
      const { network, region } = handshake;
      const byNetwork = network.count - heaviest.network.count;
      if (byNetwork > 0 || byNetwork === 0 && region.count > heaviest.region.count) {
        heaviest = handshake;
      }
    }
    if (heaviest === next) return this.#replaceStalled(() => true);
    this.#replace(heaviest);
    return true;
  }

  #replace(handshake: Handshake): void {
    this.#remove(handshake);
    handshake.close();
  }

  #remove(handshake: Handshake): void {
    if (!this.#handshakes.delete(handshake)) return;
    for (const group of groupsOfHandshake(handshake)) {
      group.count--;
      if (group.count === 0) this.#groups.delete(group.key);
    }
  }
}
