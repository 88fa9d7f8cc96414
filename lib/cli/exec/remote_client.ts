/**
 * Finds and dials nodes for one job of the command line. Nodes that this machine's daemon or the last run knows are
 * dialed at once; the network is joined only if none of them answers.
 *
 * @module
 */
import { type Identity, xdgDir } from "../../core/mod.ts";
import type { PlasmNetwork } from "../../p2p/mod.ts";
import {
  type KnownNode,
  knownNodesKey,
  PeerDialer,
  readKnownNodes,
  Reputation,
  writeKnownNodes,
} from "../../p2p/dialer/mod.ts";
import type { RemoteCandidate, RemoteJob, RunOnPeersOptions } from "../../remote/client/mod.ts";
import { askKnownNodes, askNamedNode, findCandidates, jobDialer } from "../../remote/libp2p/mod.ts";
import type { ParsedArgs } from "../command.ts";
import type { CliIo } from "../io.ts";
import { clientDir, clientIdentity, joinAsClient, networkConfig } from "./join_network.ts";

/** Share of runs that try another node before the one that was the best so far, so that others get jobs. */
const OTHER_FIRST = 0.1;

/** Nodes to request from the daemon: some may be busy. */
const DAEMON_NODES = 4;

/** Time limit of the request to the daemon, in milliseconds: afterwards the network is joined. */
const DAEMON_TIMEOUT_MS = 2_000;

/** Age up to which the daemon's knowledge of a node is used, in seconds. */
const DAEMON_AGE_SECONDS = 600;

interface ClientParts {
  args: ParsedArgs;
  io: CliIo;
  identity: Identity;
  dialer: PeerDialer;
  nodes: KnownNode[];
  /** Where known nodes are saved; undefined if they come from the daemon or there is no cache directory. */
  cache: { dir: string; key: string } | undefined;
  reputation: Reputation;
  stateDir: string | undefined;
}

/** Client of one job; disposal saves what it has learned and closes its connections. */
export class RemoteClient implements AsyncDisposable {
  readonly #parts: ClientParts;
  readonly #ended = new AbortController();
  /** Nodes that the dialer has reached. */
  readonly #dialed = new Set<string>();
  readonly #failed = new Set<string>();
  /** Nodes that have answered the search of the joined network. */
  readonly #seen = new Set<string>();
  #joined: Promise<PlasmNetwork> | undefined;
  #best: string | undefined;
  #hasOutcome = false;

  private constructor(parts: ClientParts) {
    this.#parts = parts;
  }

  /**
   * Starts a client, under a fresh key unless `--as-node` is set.
   *
   * @throws {PlasmError} `bad-config`, `bad-identity`
   */
  static async start(args: ParsedArgs, io: CliIo): Promise<RemoteClient> {
    const network = await networkConfig(io);
    const given = args.strings("bootstrap");
    const bootstrap = given.length > 0 ? given : network.bootstrap;
    const identity = await clientIdentity(args, io);
    const { allow, deny, private_addresses: privateAddresses } = network;
    const starting = PeerDialer.start({ identity, allow, deny, privateAddresses });
    starting.catch(() => {}); // reported below
    const stateDir = await clientDir(io);
    const reputation = new Reputation();
    if (stateDir !== undefined) await reputation.load(stateDir).catch(() => {});
    const isOwn = bootstrap.length > 0 || network.mdns;
    const cache = isOwn ? await cacheOf(io, { bootstrap, mdns: network.mdns }) : undefined;
    const nodes = cache !== undefined
      ? await readKnownNodes(cache.dir, cache)
      : isOwn || args.flag("peer")
      ? []
      : await daemonNodes(args, io);
    const dialer = await starting;
    return new RemoteClient({ args, io, identity, dialer, nodes, cache, reputation, stateDir });
  }

  /** Searches for nodes that can run the job, known ones first. */
  async *candidates(
    { manifest: { resources }, module }: RemoteJob,
  ): AsyncGenerator<RemoteCandidate> {
    const { args, io, dialer } = this.#parts;
    const peer = args.string("peer");
    const named = { resources, module };
    const job = { ...named, arch: args.string("arch"), minMemoryMb: args.integer("min-memory") };
    const signal = AbortSignal.any([io.signal, this.#ended.signal]);
    if (peer?.startsWith("/") && !peer.startsWith("/p2p/")) {
      const query = () => dialer.query(peer, { signal });
      const found = await askNamedNode({ query, module });
      this.#dialed.add(found.peerId);
      yield found;
      return;
    }
    const onFailed = (peerId: string): void => void this.#failed.add(peerId);
    const asked = { ...(peer === undefined ? job : named), nodes: this.#order(peer) };
    for await (const found of askKnownNodes(dialer, { ...asked, signal, onFailed })) {
      this.#dialed.add(found.peerId);
      yield found;
      if (found.peerId === peer) return;
    }
    const attempts = args.integer("attempts");
    try {
      const network = await this.#join();
      for await (const found of findCandidates(network, { ...job, peer, attempts, signal })) {
        if (!this.#dialed.has(found.peerId)) yield found;
      }
    } catch (error) {
      // Why the job failed on a known node says more than why there is no other.
      if (this.#dialed.size === 0 || signal.aborted) throw error;
    }
  }

  /** Known nodes to ask: those that failed a job lately are left to the search. */
  #order(peer: string | undefined): KnownNode[] {
    const { nodes, reputation } = this.#parts;
    if (peer !== undefined) return nodes.filter(({ peerId }) => peerId === peer);
    const usable = nodes.filter(({ peerId }) => !reputation.isAvoided(peerId));
    if (Math.random() >= OTHER_FIRST) return usable;
    const [other] = usable.splice(Math.floor(Math.random() * usable.length), 1);
    return other === undefined ? usable : [other, ...usable];
  }

  #join(): Promise<PlasmNetwork> {
    const { args, io, identity } = this.#parts;
    const onSeen = (peerId: string): void => void this.#seen.add(peerId);
    return this.#joined ??= joinAsClient(args, { io, identity, onSeen });
  }

  /** Opens a job stream to a node, given by its peer id or a multiaddr. */
  readonly dial: RunOnPeersOptions["dial"] = async (peer, options) => {
    const isKnown = peer.startsWith("/") || this.#dialed.has(peer);
    return await jobDialer(isKnown ? this.#parts.dialer : await this.#join())(peer, options);
  };

  /** Records the outcome of a job on a node. */
  readonly recordOutcome: NonNullable<RunOnPeersOptions["recordOutcome"]> = (peerId, outcome) => {
    if (outcome.ok) this.#best = peerId;
    else if (outcome.refusedForMs === undefined) this.#failed.add(peerId);
    if (this.#dialed.has(peerId)) {
      this.#hasOutcome = true;
      this.#parts.reputation.recordJob(peerId, outcome);
    } else void this.#joined?.then((network) => network.recordOutcome(peerId, outcome));
  };

  /** Address of the connection to a node; undefined without one. */
  async addressOf(peerId: string): Promise<string | undefined> {
    const network = await this.#joined;
    return this.#parts.dialer.addressOf(peerId) ??
      network?.peers().find((peer) => peer.peerId === peerId)?.address;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { dialer, reputation, stateDir } = this.#parts;
    this.#ended.abort();
    const network = await this.#joined?.catch(() => undefined); // reported by its user
    // Neither is needed for the result.
    await this.#save(network).catch(() => {});
    if (this.#hasOutcome && stateDir !== undefined) await reputation.save(stateDir).catch(() => {});
    await Promise.all([dialer[Symbol.asyncDispose](), network?.stop()]);
  }

  /** Saves the nodes for the next run, the one that has run the job first. */
  async #save(network: PlasmNetwork | undefined): Promise<void> {
    const { nodes, cache } = this.#parts;
    if (cache === undefined) return;
    const found: KnownNode[] = [];
    for (const peerId of this.#seen) {
      found.push({ peerId, addresses: await network!.peerAddresses(peerId) });
    }
    const list = (found.length > 0 ? found : nodes)
      .filter(({ peerId, addresses }) => addresses.length > 0 && !this.#failed.has(peerId))
      .toSorted((a, b) => Number(b.peerId === this.#best) - Number(a.peerId === this.#best));
    const isSame = list.length === nodes.length && list[0]?.peerId === nodes[0]?.peerId;
    if (found.length === 0 && isSame) return;
    await writeKnownNodes(cache.dir, { ...cache, nodes: list, isSearched: found.length > 0 });
  }
}

/** Where the known nodes of a network are saved; undefined without a cache directory. */
async function cacheOf(
  io: CliIo,
  network: { bootstrap: readonly string[]; mdns: boolean },
): Promise<{ dir: string; key: string } | undefined> {
  const dir = xdgDir((name) => io.env(name), "XDG_CACHE_HOME", ".cache");
  if (dir === undefined) return undefined;
  const ownAddresses = Deno.networkInterfaces().map(({ address }) => address);
  return { dir: `${dir}/plasm`, key: await knownNodesKey({ ...network, ownAddresses }) };
}

/** Nodes that this machine's daemon knows; none if it is not on a network or does not respond in time. */
async function daemonNodes(args: ParsedArgs, io: CliIo): Promise<KnownNode[]> {
  const { connectDaemon } = await import("../../client/mod.ts");
  const nodes: KnownNode[] = [];
  try {
    using client = connectDaemon({ socket: args.string("socket"), env: (name) => io.env(name) });
    const signal = AbortSignal.any([io.signal, AbortSignal.timeout(DAEMON_TIMEOUT_MS)]);
    const query = {
      arch: args.string("arch"),
      min_memory_mb: args.integer("min-memory"),
      limit: DAEMON_NODES,
      max_age_seconds: DAEMON_AGE_SECONDS,
    };
    for await (const { peer_id: peerId, capability } of client.discover(query, { signal })) {
      const { addresses } = capability as unknown as { addresses: string[] };
      if (addresses.length > 0) nodes.push({ peerId, addresses });
    }
  } catch {
    // The nodes so far are used, else the network is joined.
  }
  return nodes;
}
