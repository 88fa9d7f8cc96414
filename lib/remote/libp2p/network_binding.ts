/**
 * Binds the job protocol to a libp2p network: serves and dials streams, and finds candidates.
 *
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { type ByteStream, byteStreamOf, JOB_PROTOCOL } from "../wire/mod.ts";
import type { Resources } from "../../core/mod.ts";
import { type Candidate, multistreamHeader, type PlasmNetwork } from "../../p2p/mod.ts";
import { type DialJobOptions, type RemoteCandidate, StreamPool } from "../client/mod.ts";
import type { JobServer } from "../server/mod.ts";

/**
 * Takes bytes off the front of what comes; what is written goes at once.
 *
 * @returns a duplex whose `read` throws `no-peer` where something else comes
 */
export function expectAgreement<T extends ByteStream>(duplex: T, agreement: Uint8Array): T {
  let at = 0;
  return {
    ...duplex,
    async read() {
      while (true) {
        const bytes = await duplex.read();
        if (bytes === null || at === agreement.length) return bytes;
        const count = Math.min(bytes.length, agreement.length - at);
        for (let n = 0; n < count; n++) {
          if (bytes[n] === agreement[at + n]) continue;
          const error = new PlasmError("no-peer", "Cannot ask peer: it does not take jobs");
          duplex.abort(error);
          throw error;
        }
        at += count;
        if (count < bytes.length) return bytes.subarray(count);
      }
    },
  };
}

/**
 * Streams of one connection at once: sixteen for jobs, whose number is bounded apart, and a few on which a client's
 * next may come.
 */
const MAX_STREAMS = 20;

/**
 * Conversations a peer may begin in a second, in the long run and after a rest: as many small jobs as a node
 * can run one after the other. To refuse one takes it less than a millisecond.
 */
const STREAMS_PER_SECOND = 500;

/** How long nodes are looked for, in milliseconds. */
const FIND_MS = 20_000;

/** Candidates for each attempt: some are gone or busy by the time they are asked. */
const CANDIDATES_PER_ATTEMPT = 3;

/** Takes jobs of peers from now on. */
export async function serveJobs(network: PlasmNetwork, server: JobServer): Promise<void> {
  await network.handle(
    JOB_PROTOCOL,
    (stream, peerId, mayAgain) => server.serve(byteStreamOf(stream), peerId, { mayAgain }),
    { maxStreams: MAX_STREAMS, burst: STREAMS_PER_SECOND, perSecond: STREAMS_PER_SECOND },
  );
}

/** Streams of each network that wait for another job. */
const waiting = new WeakMap<object, StreamPool>();

/**
 * Opens conversations about jobs, on a stream of before where one waits. A new one begins with our offer or ticket,
 * sent along with the protocol's name: that a peer does not speak it shows when its answer is read.
 */
export function jobDialer(
  network: Pick<PlasmNetwork, "dialProtocol">,
): (peerId: string, options: DialJobOptions) => Promise<ByteStream> {
  const kept = waiting.get(network) ?? new StreamPool();
  waiting.set(network, kept);
  return async (peerId, { signal, allowReused = false }) => {
    const old = allowReused ? kept.take(peerId) : undefined;
    if (old !== undefined) return old;
    const stream = await network.dialProtocol(peerId, JOB_PROTOCOL, { signal, early: true });
    return kept.lend(
      peerId,
      expectAgreement(byteStreamOf(stream), multistreamHeader(JOB_PROTOCOL)),
    );
  };
}

/** What {@linkcode findCandidates} looks for. */
export interface FindCandidatesOptions {
  /** One node instead of those that are found: a peer id, or a multiaddr that ends with one. */
  peer?: string | undefined;
  /** What the job asks for. */
  resources: Resources;
  /** @default {any} */
  arch?: string | undefined;
  /** @default {what the job asks for} */
  minMemoryMb?: number | undefined;
  /** Nodes that will be tried at most. @default {3} */
  attempts?: number | undefined;
  signal?: AbortSignal | undefined;
}

/** Finds nodes that can run a job, or asks the one that is named. */
export async function* findCandidates(
  network: PlasmNetwork,
  { peer, resources, arch, minMemoryMb = 0, attempts = 3, signal }: FindCandidatesOptions,
): AsyncGenerator<RemoteCandidate> {
  if (peer !== undefined) {
    // Its address, where there is one, is remembered for dialling.
    yield remoteCandidate(await network.ask(peer, signal === undefined ? {} : { signal }));
    return;
  }
  const found = network.discover({
    wasi: "preview1",
    arch,
    minMemoryMb: Math.max(resources.memory_mb, minMemoryMb),
    minTimeoutSeconds: resources.timeout_seconds,
    minCores: resources.cpu_cores,
  }, { signal, limit: CANDIDATES_PER_ATTEMPT * attempts, timeoutMs: FIND_MS });
  for await (const candidate of found) yield remoteCandidate(candidate);
}

/** A found node, as one to try. */
export function remoteCandidate({ peerId, capability }: Candidate): RemoteCandidate {
  return { peerId, runtime: capability.runtime, cores: capability.cpu_cores };
}
