/**
 * Decides which servers a daemon may download from, by name and by resolved address.
 *
 * @module
 */
import { lookup } from "node:dns/promises";
import { BlockList, isIP } from "node:net";
import { PlasmError } from "../../core/errors/mod.ts";
import { abortable, deadline } from "../../util/async/mod.ts";
import { escapeText } from "../../util/mod.ts";

/** Longest wait for the addresses of a name, in milliseconds. */
const LOOKUP_MS = 10_000;

/** Most addresses of a name that are checked and tried. */
const MAX_ADDRESSES = 16;

/**
 * Networks that are not public: of this machine, private, shared, link-local, reserved, documentation and multicast, and
 * those that embed an IPv4 address (IANA special-purpose address registries).
 */
const SPECIAL_NETWORKS = [
  ...["0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"],
  ...["192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"],
  ...["198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"],
  ...["::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32"],
  ...["2002::/16", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"],
];

const SPECIAL = networks(SPECIAL_NETWORKS);

/** Prefix of an IPv4 address in IPv6. */
const MAPPED = "::ffff:";

/** Returns the IP addresses of a name. */
export type ResolveName = (name: string) => Promise<string[]>;

/** Options of {@linkcode HostPolicy}. */
export interface HostPolicyOptions {
  /** Resolves names. @default {the system's resolver} */
  resolve?: ResolveName | undefined;
  /** Returns the addresses of this machine. @default {those of its interfaces} */
  ownAddresses?: (() => string[]) | undefined;
}

/**
 * Hosts that downloads may use: names, `*.` and a domain for every name below it, and addresses or networks such as
 * `10.1.0.0/16`. A name's addresses must be public unless they are listed, too.
 */
export class HostPolicy {
  readonly #names = new Set<string>();
  readonly #domains: string[] = [];
  readonly #networks: BlockList;
  readonly #resolve: ResolveName;
  readonly #ownAddresses: () => string[];

  constructor(hosts: readonly string[], options: HostPolicyOptions = {}) {
    const listed: string[] = [];
    for (const host of hosts.map((host) => host.toLowerCase())) {
      if (isIP(host.split("/")[0]!) !== 0) listed.push(host);
      else if (host.startsWith("*.")) this.#domains.push(host.slice(1));
      else this.#names.add(host);
    }
    this.#networks = networks(listed);
    this.#resolve = options.resolve ?? systemResolver;
    this.#ownAddresses = options.ownAddresses ??
      (() => Deno.networkInterfaces().map(({ address }) => address));
  }

  /**
   * Checks a server.
   *
   * @returns its addresses, all of which may be used
   * @throws {PlasmError} `policy`, `unreachable`, `interrupted`
   */
  async check(url: URL, signal?: AbortSignal): Promise<string[]> {
    const host = serverName(url);
    const isAddress = isIP(host) !== 0;
    if (!isAddress && !this.#allowsName(host)) {
      throw refusal(url, `${escapeText(host)} is not listed`);
    }
    const found = isAddress ? [host] : await this.#addresses(url, signal);
    const own = new Set(this.#ownAddresses().map(unmapped));
    for (const address of found) {
      if (this.#networks.check(address, family(address))) continue;
      if (isAddress) throw refusal(url, `${address} is not listed`);
      if (own.has(address)) throw refusal(url, `its address ${address} is this machine`);
      if (SPECIAL.check(address, family(address))) {
        throw refusal(url, `its address ${address} is not public`);
      }
    }
    return found;
  }

  #allowsName(name: string): boolean {
    return this.#names.has(name) || this.#domains.some((domain) => name.endsWith(domain));
  }

  async #addresses(url: URL, signal: AbortSignal | undefined): Promise<string[]> {
    const name = serverName(url);
    const unreachable = (why: string): PlasmError =>
      new PlasmError("unreachable", `Cannot download ${escapeText(url.href)}: ${why}`, {
        hint: "Check the address and the daemon's name resolution",
      });
    let found: string[];
    try {
      found = await deadline(abortable(this.#resolve(name), { signal }), {
        ms: LOOKUP_MS,
        error: () => unreachable(`its name was not resolved within ${LOOKUP_MS / 1000} s`),
      });
    } catch (error) {
      if (signal?.aborted || error instanceof PlasmError) throw error;
      throw unreachable("its name has no address");
    }
    if (found.length === 0) throw unreachable("its name has no address");
    return found.slice(0, MAX_ADDRESSES).map(unmapped);
  }
}

async function systemResolver(name: string): Promise<string[]> {
  return (await lookup(name, { all: true })).map(({ address }) => address);
}

/** Host of a URL; an IPv6 address without its brackets, and a name without its final dot. */
export function serverName(url: URL): string {
  return unmapped(url.hostname.toLowerCase().replace(/^\[(.*)\]$/, "$1").replace(/\.$/, ""));
}

/** The IPv4 address in an IPv6 address that maps one, which URLs write in hexadecimal. */
function unmapped(address: string): string {
  const lower = address.toLowerCase().replace(/%.*$/, "");
  if (!lower.startsWith(MAPPED)) return lower;
  const rest = lower.slice(MAPPED.length);
  if (isIP(rest) === 4) return rest;
  const [high, low] = rest.split(":").map((part) => parseInt(part, 16));
  if (high === undefined || low === undefined) return lower;
  return [high >> 8, high & 0xff, low >> 8, low & 0xff].join(".");
}

function family(address: string): "ipv4" | "ipv6" {
  return isIP(address) === 6 ? "ipv6" : "ipv4";
}

function networks(list: readonly string[]): BlockList {
  const found = new BlockList();
  for (const network of list) {
    const [address = "", prefix] = network.split("/");
    if (prefix === undefined) found.addAddress(address, family(address));
    else found.addSubnet(address, Number(prefix), family(address));
  }
  return found;
}

function refusal(url: URL, why: string): PlasmError {
  return new PlasmError("policy", `Cannot download ${escapeText(url.href)}: ${why}`, {
    hint: "Add it to modules.hosts in the daemon's configuration, or upload the module",
    details: { host: serverName(url) },
  });
}
