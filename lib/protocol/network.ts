/**
 * The job protocol over libp2p.
 * @module
 */
import type { Candidate } from "../network/candidate.ts";
import type { PlasmNetwork } from "../network/network.ts";
import { JOB_PROTOCOL } from "./constants.ts";
import { type Duplex, duplexOf } from "./duplex.ts";
import type { RemoteCandidate } from "./request_types.ts";
import type { JobServer } from "./serve.ts";

/** Conversations of one connection at once; each is one job of a peer, whose number is bounded apart. */
const MAX_STREAMS = 16;

/** Takes jobs of peers from now on. */
export async function serveJobs(network: PlasmNetwork, server: JobServer): Promise<void> {
  await network.handle(
    JOB_PROTOCOL,
    (stream, peerId) => server.serve(duplexOf(stream), peerId),
    { maxStreams: MAX_STREAMS },
  );
}

/** Opens conversations about jobs; `addresses` are ways to peers that the network does not know. */
export function jobDialer(
  network: Pick<PlasmNetwork, "dialProtocol">,
  addresses: ReadonlyMap<string, string> = new Map(),
): (peerId: string, options: { signal: AbortSignal }) => Promise<Duplex> {
  return async (peerId, { signal }) => {
    const target = addresses.get(peerId) ?? peerId;
    return duplexOf(await network.dialProtocol(target, JOB_PROTOCOL, { signal }));
  };
}

/** A found node, as one to try. */
export function remoteCandidate({ peerId, capability }: Candidate): RemoteCandidate {
  return { peerId, runtime: capability.runtime, cores: capability.cpu_cores };
}
