/**
 * Finds the nodes of a quorum in a libp2p network.
 *
 * @module
 */
import type { PlasmNetwork } from "../../p2p/mod.ts";
import type { RemoteCandidate } from "../../remote/client/mod.ts";
import { findCandidates } from "../../remote/libp2p/mod.ts";
import { networkPrefix } from "../network_prefix.ts";
import type { QuorumCandidate } from "../node_selection.ts";

/** Attempts for which the search finds candidates: many may be in one network. */
const SEARCH_ATTEMPTS = 20;

/** Options of {@linkcode findQuorumNodes}: those of a search for one node, which names none. */
export type FindQuorumNodesOptions = Omit<
  Parameters<typeof findCandidates>[1],
  "peer" | "attempts"
>;

/** Searches for nodes that can run a job, with the networks of their connections. */
export async function* findQuorumNodes(
  network: PlasmNetwork,
  options: FindQuorumNodesOptions,
): AsyncGenerator<QuorumCandidate> {
  for await (const found of findCandidates(network, { ...options, attempts: SEARCH_ATTEMPTS })) {
    yield withNetworks(network, found);
  }
}

/** Adds the networks of a node's connections, which the search has opened. */
export function withNetworks(
  network: PlasmNetwork,
  candidate: RemoteCandidate,
): QuorumCandidate {
  const prefixes = network.peers()
    .filter(({ peerId }) => peerId === candidate.peerId)
    .map(({ address }) => networkPrefix(address));
  const networks = new Set(prefixes.filter((prefix) => prefix !== undefined));
  return { ...candidate, networks: [...networks] };
}
