/**
 * Nodes that the last run of a command found, in a file of the cache directory, so that the next run can dial them
 * without joining the network. Nothing in it is trusted: a node must prove its key, and its document and its results are
 * verified as those of any node.
 *
 * @module
 */
import { peerIdFromString } from "@libp2p/peer-id";
import { multiaddr } from "@multiformats/multiaddr";
import { readStateFile, sha256, writeStateFile } from "../../core/mod.ts";

/** Name of the file in the cache directory. */
export const KNOWN_NODES_FILE = "nodes.json";

/** Format version of the file. */
const VERSION = 1;

/** Networks in the file; the oldest search is dropped. */
const MAX_NETWORKS = 8;

/** Nodes of a network. */
const MAX_NODES = 16;

/** Addresses of a node; an honest one has a handful. */
const MAX_ADDRESSES = 8;

/** Longest address, in characters. */
const MAX_ADDRESS_CHARS = 300;

/** Lifetime of a search's result, in milliseconds: afterwards a run searches again and finds new nodes. */
export const KNOWN_NODES_MS: number = 60 * 60 * 1000;

/** Node with addresses at which it has answered. */
export interface KnownNode {
  peerId: string;
  addresses: readonly string[];
}

/** What determines which nodes a run may find, and what its nodes can see of it. */
export interface NetworkScope {
  /** Bootstrap addresses. */
  bootstrap: readonly string[];
  /** Whether nodes on the same link are discovered. */
  mdns: boolean;
  /**
   * IP addresses of this machine. A node may list an address that it gives to one client only. Dialed from elsewhere it
   * would link the two runs, which nothing else does.
   */
  ownAddresses: readonly string[];
}

/** Key of a scope's nodes in the file. It does not reveal the addresses. */
export async function knownNodesKey(scope: NetworkScope): Promise<string> {
  const { bootstrap, mdns, ownAddresses } = scope;
  const parts = [bootstrap.toSorted(), mdns, ownAddresses.toSorted()];
  return await sha256(new TextEncoder().encode(JSON.stringify(parts)));
}

interface Network {
  key: string;
  /** End of the search, in Unix milliseconds. */
  found_at: number;
  nodes: { id: string; addresses: string[] }[];
}

/** Options of {@linkcode readKnownNodes}. */
export interface ReadKnownNodesOptions {
  key: string;
  /** Unix milliseconds. @default {Date.now()} */
  now?: number;
}

/** Reads the nodes of a scope, the best first. Invalid and expired entries are skipped; there is no error. */
export async function readKnownNodes(
  dir: string,
  { key, now = Date.now() }: ReadKnownNodesOptions,
): Promise<KnownNode[]> {
  const network = (await readNetworks(dir, now)).find((each) => each.key === key);
  return network?.nodes.map(({ id, addresses }) => ({ peerId: id, addresses })) ?? [];
}

/** Options of {@linkcode writeKnownNodes}. */
export interface WriteKnownNodesOptions extends ReadKnownNodesOptions {
  /** Nodes, the best first. */
  nodes: readonly KnownNode[];
  /** Whether a search has found them; otherwise they expire with the search before. @default {false} */
  isSearched?: boolean;
}

/**
 * Replaces the nodes of a scope.
 *
 * @throws {Error} if the file cannot be written
 */
export async function writeKnownNodes(
  dir: string,
  { key, nodes, isSearched = false, now = Date.now() }: WriteKnownNodesOptions,
): Promise<void> {
  const networks = await readNetworks(dir, now);
  const before = networks.find((each) => each.key === key);
  const list = nodes.slice(0, MAX_NODES).map(({ peerId, addresses }) => ({
    id: peerId,
    addresses: addresses.filter((text) => text.length <= MAX_ADDRESS_CHARS).slice(0, MAX_ADDRESSES),
  }));
  const found_at = isSearched ? now : before?.found_at ?? now;
  const others = networks.filter((each) => each !== before)
    .toSorted((a, b) => b.found_at - a.found_at).slice(0, MAX_NETWORKS - 1);
  await Deno.mkdir(dir, { recursive: true, mode: 0o700 });
  await writeStateFile(`${dir}/${KNOWN_NODES_FILE}`, {
    version: VERSION,
    networks: [{ key, found_at, nodes: list }, ...others],
  });
}

/** Valid networks of the file; none if it cannot be read. */
async function readNetworks(dir: string, now: number): Promise<Network[]> {
  try {
    const file = await readStateFile(`${dir}/${KNOWN_NODES_FILE}`) as Record<string, unknown>;
    const { version, networks } = file;
    if (version !== VERSION || !Array.isArray(networks)) return [];
    return networks.slice(0, MAX_NETWORKS).map((value) => parseNetwork(value, now))
      .filter((network) => network !== null);
  } catch {
    return []; // missing or damaged; the next write replaces it
  }
}

function parseNetwork(value: unknown, now: number): Network | null {
  const { key, found_at, nodes } = (value ?? {}) as Record<string, unknown>;
  if (typeof key !== "string" || typeof found_at !== "number" || !Array.isArray(nodes)) return null;
  // The clock may have been wrong.
  if (!(found_at <= now && now - found_at < KNOWN_NODES_MS)) return null;
  const parsed = nodes.slice(0, MAX_NODES).map(parseNode).filter((node) => node !== null);
  return { key, found_at, nodes: parsed };
}

function parseNode(value: unknown): Network["nodes"][number] | null {
  try {
    const { id, addresses } = (value ?? {}) as Record<string, unknown>;
    if (typeof id !== "string" || !Array.isArray(addresses)) return null;
    const texts = addresses.slice(0, MAX_ADDRESSES).map(String)
      .filter((text) => text.length <= MAX_ADDRESS_CHARS);
    for (const text of texts) multiaddr(text);
    if (texts.length === 0 || peerIdFromString(id).type !== "Ed25519") return null;
    return { id, addresses: texts };
  } catch {
    return null;
  }
}
