/**
 * Orders the candidates of a search: those that answer within a short window are ranked, and nodes that failed a job
 * lately come last.
 *
 * @module
 */
import type { Candidate } from "./candidate.ts";

/** Shortest and longest window after the first answer, in milliseconds. */
const MIN_WINDOW_MS = 25;
const MAX_WINDOW_MS = 250;

/** How long other nodes may take to answer before a node that failed lately is returned, in milliseconds. */
const AVOIDED_WAIT_MS = 1_000;

/** Share of searches that prefer a node without outcomes to a proven one, so that new nodes get jobs. */
const NEW_SHARE = 0.1;

/** Options of {@linkcode RankedCandidates}. */
export interface RankedCandidatesOptions {
  /** Reports whether a node failed a job lately. */
  isAvoided: (peerId: string) => boolean;
  /** Reports whether no outcome of a job on a node is known. */
  isNew: (peerId: string) => boolean;
  /** Random number from 0 to 1. @default {Math.random} */
  random?: (() => number) | undefined;
}

/** Candidates that have answered and not been returned. */
export class RankedCandidates implements Disposable {
  readonly #options: RankedCandidatesOptions;
  readonly #waiting: Candidate[] = [];
  #changed = Promise.withResolvers<void>();
  #hasEnded = false;
  #window: "before" | "open" | "over" = "before";
  #avoided: "before" | "waiting" | "ready" = "before";
  readonly #timers: ReturnType<typeof setTimeout>[] = [];

  constructor(options: RankedCandidatesOptions) {
    this.#options = options;
  }

  /** Adds a candidate. The first one opens the window, which is as long as its answer took. */
  add(candidate: Candidate): void {
    this.#waiting.push(candidate);
    if (this.#options.isAvoided(candidate.peerId)) {
      if (this.#avoided === "before") {
        this.#avoided = "waiting";
        this.#after(AVOIDED_WAIT_MS, () => this.#avoided = "ready");
      }
    } else if (this.#window === "before") {
      this.#window = "open";
      const ms = Math.min(Math.max(candidate.latencyMs, MIN_WINDOW_MS), MAX_WINDOW_MS);
      this.#after(ms, () => this.#window = "over");
    }
    this.#notify();
  }

  /** Ends the search: the remaining candidates are returned without a delay. */
  end(): void {
    this.#hasEnded = true;
    this.#notify();
  }

  /** Removes and returns the best candidate once it may be returned; undefined after the last. */
  async next(): Promise<Candidate | undefined> {
    for (;;) {
      const candidate = this.#take();
      if (candidate !== undefined || this.#hasEnded) return candidate;
      await this.#changed.promise;
    }
  }

  [Symbol.dispose](): void {
    for (const timer of this.#timers) clearTimeout(timer);
  }

  #take(): Candidate | undefined {
    const { isAvoided } = this.#options;
    const usable = this.#waiting.filter(({ peerId }) => !isAvoided(peerId));
    const isReady = usable.length > 0 ? this.#window === "over" : this.#avoided === "ready";
    if (!isReady && !this.#hasEnded) return undefined;
    const best = this.#choose(usable.length > 0 ? usable : this.#waiting);
    if (best !== undefined) this.#waiting.splice(this.#waiting.indexOf(best), 1);
    return best;
  }

  #choose(candidates: readonly Candidate[]): Candidate | undefined {
    const { isNew, random = Math.random } = this.#options;
    const fresh = candidates.filter(({ peerId }) => isNew(peerId));
    const prefersNew = fresh.length > 0 && fresh.length < candidates.length &&
      random() < NEW_SHARE;
    return (prefersNew ? fresh : candidates).toSorted((a, b) => b.score - a.score)[0];
  }

  #after(ms: number, act: () => void): void {
    this.#timers.push(setTimeout(() => {
      act();
      this.#notify();
    }, ms));
  }

  #notify(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }
}
