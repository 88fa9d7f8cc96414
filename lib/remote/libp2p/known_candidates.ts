/**
 * Finds a node for a job among known ones, without a search.
 *
 * @module
 */
import { delay } from "../../util/async/mod.ts";
import type { DialedNode, KnownNode, PeerDialer } from "../../p2p/dialer/mod.ts";
import type { RemoteCandidate } from "../client/mod.ts";
import { type FindCandidatesOptions, jobCriteria, remoteCandidate } from "./network_binding.ts";

/** Time after which the next node is asked too, in milliseconds. */
const STAGGER_MS = 250;

/** Nodes that are asked before a search is faster. */
const MAX_ASKED = 4;

/** Time without any answer after which a search begins, in milliseconds. */
const WAIT_MS = 1_000;

/** Options of {@linkcode askKnownNodes}. */
export interface AskKnownNodesOptions
  extends Pick<FindCandidatesOptions, "resources" | "module" | "arch" | "minMemoryMb"> {
  /** Nodes, the best first. */
  nodes: readonly KnownNode[];
  /** Aborts the dials. */
  signal: AbortSignal;
  /** Called for a node that does not answer, or whose document does not meet the criteria. @default {none} */
  onFailed?: (peerId: string) => void;
}

/**
 * Asks known nodes for their capabilities, one after the other, and yields those that meet the criteria. A slow node
 * does not delay the next one.
 *
 * @throws The signal's reason if it aborts.
 */
export async function* askKnownNodes(
  dialer: Pick<PeerDialer, "addAddresses" | "query">,
  { nodes, signal, onFailed = () => {}, ...job }: AskKnownNodesOptions,
): AsyncGenerator<RemoteCandidate> {
  const criteria = await jobCriteria(job);
  const ended = new AbortController();
  const both = AbortSignal.any([signal, ended.signal]);
  const answers: DialedNode[] = [];
  const asking = new Set<Promise<void>>();
  const ask = async ({ peerId, addresses }: KnownNode): Promise<void> => {
    try {
      await dialer.addAddresses(peerId, addresses);
      answers.push(await dialer.query(peerId, { signal: both, criteria }));
    } catch {
      if (!both.aborted) onFailed(peerId);
    }
  };
  const waiting = nodes.slice(0, MAX_ASKED);
  try {
    let end = performance.now() + WAIT_MS;
    while (!signal.aborted && performance.now() < end) {
      const answer = answers.shift();
      if (answer !== undefined) {
        yield remoteCandidate(answer);
        // The job has failed there, which may have taken any time.
        end = performance.now() + WAIT_MS;
        continue;
      }
      const next = waiting.shift();
      if (next !== undefined) {
        const task = ask(next).finally(() => asking.delete(task));
        asking.add(task);
      } else if (asking.size === 0) return;
      const turn = new AbortController();
      const ms = next === undefined ? end - performance.now() : STAGGER_MS;
      await Promise.race([
        ...asking,
        delay(ms, { signal: AbortSignal.any([signal, turn.signal]) }),
      ]);
      turn.abort();
    }
    signal.throwIfAborted();
  } finally {
    ended.abort();
    await Promise.all(asking);
  }
}
