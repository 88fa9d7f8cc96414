/**
 * Candidates that have answered lately, so that a job need not search for nodes again.
 *
 * @module
 */
import { BoundedMap } from "../../util/mod.ts";
import type { Reputation } from "../state/peer_state.ts";
import { type Candidate, type DiscoverCriteria, isMatch, scoreOf } from "./candidate.ts";

/** Candidates in memory, of a few KiB each. */
const MAX_RECENT = 256;

interface Entry {
  candidate: Candidate;
  /** Arrival of the document, in Unix milliseconds. */
  at: number;
  /** How often the candidate was returned since: its document does not count the jobs that followed. */
  uses: number;
}

/** Options of {@linkcode RecentCandidates.list}. */
export interface RecentOptions {
  /** Age up to which a document counts, in milliseconds. */
  maxAgeMs: number;
  /** Candidates to return at most. @default {10} */
  limit?: number | undefined;
}

/** Latest candidates by peer id. */
export class RecentCandidates {
  readonly #entries = new BoundedMap<string, Entry>(MAX_RECENT);
  readonly #reputation: Pick<Reputation, "get" | "isAvoided">;
  readonly #now: () => number;

  /** @param now Unix milliseconds */
  constructor(
    reputation: Pick<Reputation, "get" | "isAvoided">,
    now: () => number = () => Date.now(),
  ) {
    this.#reputation = reputation;
    this.#now = now;
  }

  /** Adds or replaces a candidate whose document has just arrived. */
  add(candidate: Candidate): void {
    this.#entries.set(candidate.peerId, { candidate, at: this.#now(), uses: 0 });
  }

  /** Removes a node that has failed. */
  delete(peerId: string): void {
    this.#entries.delete(peerId);
  }

  /** Returns the candidates that meet the criteria, the best first. Jobs take turns on equal ones. */
  list(criteria: DiscoverCriteria, { maxAgeMs, limit = 10 }: RecentOptions): Candidate[] {
    const now = this.#now();
    const usable = [...this.#entries].map(([, entry]) => entry).filter(({ candidate, at }) =>
      now - at <= maxAgeMs && Date.parse(candidate.capability.expires_at) > now &&
      isMatch(candidate.capability, criteria) && !this.#reputation.isAvoided(candidate.peerId)
    );
    const ranked = usable.map((entry) => {
      const { capability, latencyMs, path, peerId } = entry.candidate;
      const record = this.#reputation.get(peerId);
      const score = scoreOf(capability, { latencyMs, path, record });
      return { entry, score, rank: score / (1 + entry.uses) };
    }).toSorted((a, b) => b.rank - a.rank).slice(0, limit);
    const [best] = ranked;
    if (best !== undefined) best.entry.uses++;
    return ranked.map(({ entry, score }) => ({ ...entry.candidate, score }));
  }
}
