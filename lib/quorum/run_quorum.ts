/**
 * Runs a job on several nodes in parallel until enough of them return the same claim.
 *
 * No node receives the claim of another: each receives the job alone, and its answer is compared here.
 *
 * @module
 */
import type { Claim, JobStatus, Receipt } from "../core/mod.ts";
import { abortError, type ErrorCode, PlasmError } from "../core/errors/mod.ts";
import {
  type RemoteJob,
  type RemoteResult,
  runOnPeers,
  type RunOnPeersOptions,
} from "../remote/client/mod.ts";
import { type ClaimGroup, ClaimGroups, contradicts, countsAsClaim } from "./claim_groups.ts";
import { NodeSelection, type QuorumCandidate, type UnusedNode } from "./node_selection.ts";

/** Nodes that may be added to a quorum of K. */
export const SPARE_NODES = 2;

/** Most nodes that may run one job. */
export const MAX_QUORUM_NODES = 16;

/** Nodes that are asked for each that may run the job: some refuse or are offline. */
const ASKED_PER_NODE = 4;

/** Time limit for the answer to an offer, in milliseconds: another node is asked then. */
const OFFER_MS = 5_000;

/** Shortest time after the first claim until a node is late, in milliseconds. */
const LATE_MS = 2_000;

/** What a node contributed to a quorum. */
export type NodeOutcome = "agreed" | "differs" | "inconclusive" | "failed" | "cancelled";

/** Report of one node. */
export interface QuorumRun {
  /** Peer id of the node. */
  peerId: string;
  /** Networks of its connections. */
  networks: readonly string[];
  /**
   * `agreed`: its claim is that of the largest group. `differs`: it returned another. `inconclusive`: how its run ended
   * depends on the node, such as a timeout. `failed`: it returned no valid result. `cancelled`: it was not waited for.
   */
  outcome: NodeOutcome;
  /** Its verified receipt; absent without a result. */
  receipt?: Receipt | undefined;
  /** Why it returned no result. */
  error?: PlasmError | undefined;
  /** Bytes of content sent to it; absent without a result. */
  sentBytes?: number | undefined;
}

/** Number of nodes that must agree, and of those that start. */
export interface QuorumSize {
  agree: number;
  nodes: number;
}

/** Options of {@linkcode runQuorum}. */
export interface QuorumOptions extends
  Pick<
    RunOnPeersOptions,
    | "dial"
    | "signal"
    | "timeouts"
    | "maxOutputBytes"
    | "maxFilesBytes"
    | "onEvent"
    | "nonce"
    | "recordOutcome"
    | "retryMs"
  > {
  /** Number of nodes that must return the same claim. */
  agree: number;
  /** Number of nodes that start together. @default {agree} */
  nodes?: number | undefined;
  /** Whether nodes may be in one network. @default {false} */
  sameNetwork?: boolean | undefined;
  /** Searches for nodes until the signal aborts, the best first. */
  candidates: (signal: AbortSignal) => AsyncIterable<QuorumCandidate> | Iterable<QuorumCandidate>;
  /** How long to wait for nodes of one class, in milliseconds. @default {1000} */
  classWaitMs?: number | undefined;
  /**
   * Shortest time after the first claim until spare nodes start for those that have not answered, in milliseconds; it is
   * as long as the first node took if that is longer.
   * @default {2000}
   */
  lateMs?: number | undefined;
}

/** Outcome of a quorum. Dispose it to delete the outputs. */
export interface QuorumOutcome extends Disposable {
  /** Number of nodes that had to agree. */
  agree: number;
  /** Most nodes that could run the job. */
  limit: number;
  /** Groups of equal claims, the largest first. */
  groups: ClaimGroup[];
  /** All nodes that were asked, in the order of their start. */
  runs: QuorumRun[];
  /** Number of nodes that were found. */
  found: number;
  /** Nodes that were found and not asked. */
  unused: UnusedNode[];
  /** Resolves when the cancelled nodes have been notified. */
  settled: Promise<void>;
}

/**
 * Checks the size of a quorum. Returns the most nodes that may run the job.
 *
 * @throws {PlasmError} `usage`
 */
export function quorumLimit(
  { agree, nodes = agree }: Pick<QuorumOptions, "agree" | "nodes">,
): number {
  const isCount = (value: number): boolean => Number.isSafeInteger(value);
  if (
    !isCount(agree) || !isCount(nodes) || agree < 2 || nodes < agree || nodes > MAX_QUORUM_NODES
  ) {
    throw new PlasmError("usage", `Cannot run job on ${nodes} nodes of which ${agree} agree`, {
      hint: `Use 2 to ${MAX_QUORUM_NODES} nodes, of which at least 2 and at most all agree`,
      details: { agree, nodes, max: MAX_QUORUM_NODES },
    });
  }
  return Math.max(nodes, agree + SPARE_NODES);
}

/**
 * Runs a job on several nodes until enough of them agree or that has become impossible. Nodes that are not needed any
 * more are cancelled.
 *
 * @returns What the nodes returned; {@linkcode quorumError} tells whether enough agree
 * @throws {PlasmError} `usage` if the numbers make no quorum; the search's error if it found no node; `interrupted`
 */
export async function runQuorum(job: RemoteJob, options: QuorumOptions): Promise<QuorumOutcome> {
  const limit = quorumLimit(options);
  if (options.signal?.aborted) throw abortError(options.signal);
  return await new Quorum(job, options, limit).run();
}

class Quorum {
  readonly #job: RemoteJob;
  readonly #options: QuorumOptions;
  readonly #limit: number;
  readonly #nodes: number;
  readonly #selection: NodeSelection;
  readonly #groups = new ClaimGroups();
  readonly #runs: QuorumRun[] = [];
  /** Runs that have not ended. */
  readonly #running = new Map<string, Promise<void>>();
  /** Nodes that did not run the job. */
  #refused = 0;
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  #changed = Promise.withResolvers<void>();
  /** Nodes that have not answered in time; their answers still count. */
  readonly #late = new Set<string>();
  #lateTimer: ReturnType<typeof setTimeout> | undefined;
  readonly #startedAt = performance.now();
  #selecting = false;
  #isExhausted = false;
  #failure: { error: unknown } | undefined;

  constructor(job: RemoteJob, options: QuorumOptions, limit: number) {
    const { signal, sameNetwork = false, agree, nodes = agree, classWaitMs } = options;
    this.#job = job;
    this.#options = options;
    this.#limit = limit;
    this.#nodes = nodes;
    const stop = this.#stop.signal;
    this.#signal = signal === undefined ? stop : AbortSignal.any([signal, stop]);
    this.#selection = new NodeSelection({
      candidates: options.candidates(this.#signal),
      nodes,
      sameNetwork,
      oneClass: job.manifest.profile !== "deterministic",
      classWaitMs,
    });
  }

  async run(): Promise<QuorumOutcome> {
    const { agree, signal } = this.#options;
    const wake = (): void => this.#changed.resolve();
    signal?.addEventListener("abort", wake, { once: true });
    try {
      while (!signal?.aborted && this.#groups.largest < agree) {
        this.#changed = Promise.withResolvers();
        if (this.#missing() > 0) this.#startSelecting();
        if (this.#running.size === 0 && !this.#selecting) break;
        await this.#changed.promise;
      }
    } finally {
      signal?.removeEventListener("abort", wake);
      clearTimeout(this.#lateTimer);
      for (const run of this.#runs) {
        if (this.#running.has(run.peerId) && run.receipt === undefined) run.outcome = "cancelled";
      }
      this.#stop.abort();
    }
    const ending = Promise.allSettled([...this.#running.values(), this.#selection.close()]);
    if (signal?.aborted || (this.#failure !== undefined && this.#runs.length === 0)) {
      await ending;
      this.#groups.dispose();
      throw signal?.aborted ? abortError(signal) : this.#failure?.error;
    }
    const groups = this.#groups.all;
    for (const run of this.#runs) {
      if (run.outcome === "agreed" && !groups[0]!.receipts.includes(run.receipt!)) {
        run.outcome = "differs";
      }
    }
    return {
      agree,
      limit: this.#limit,
      groups,
      runs: this.#runs,
      found: this.#selection.found,
      unused: this.#selection.unused(),
      settled: ending.then(() => {}),
      [Symbol.dispose]: () => this.#groups.dispose(),
    };
  }

  /** Number of nodes to start now. */
  #missing(): number {
    const started = this.#runs.length;
    if (this.#isExhausted || started >= this.#limit * ASKED_PER_NODE) return 0;
    const expected = [...this.#running.keys()].filter((peerId) => !this.#late.has(peerId)).length;
    const needed = this.#options.agree - this.#groups.largest - expected;
    const left = this.#limit - (started - this.#refused);
    // Spares cannot help if even all of them would not be enough.
    if (needed > left) return 0;
    return Math.min(left, Math.max(needed, this.#nodes - started));
  }

  /** Selects a node and runs the job on it. */
  #startSelecting(): void {
    if (this.#selecting) return;
    this.#selecting = true;
    this.#selection.next().then(
      (candidate) => {
        if (candidate === undefined) this.#isExhausted = true;
        else if (!this.#signal.aborted) this.#start(candidate);
      },
      (error) => {
        this.#isExhausted = true;
        this.#failure = { error };
      },
    ).finally(() => {
      this.#selecting = false;
      this.#changed.resolve();
    });
  }

  #start(candidate: QuorumCandidate): void {
    const { peerId, networks } = candidate;
    const run: QuorumRun = { peerId, networks, outcome: "failed" };
    this.#runs.push(run);
    const task = this.#runOn(candidate, run).finally(() => {
      this.#running.delete(peerId);
      this.#changed.resolve();
    });
    this.#running.set(peerId, task);
  }

  async #runOn(candidate: QuorumCandidate, run: QuorumRun): Promise<void> {
    const { dial, timeouts, maxOutputBytes, maxFilesBytes, onEvent, retryMs } = this.#options;
    const { recordOutcome, nonce } = this.#options;
    try {
      const result = await runOnPeers(this.#job, {
        dial,
        nonce,
        maxOutputBytes,
        maxFilesBytes,
        onEvent: (event) => {
          if (!this.#stop.signal.aborted) onEvent?.(event);
        },
        retryMs,
        timeouts: { offer: OFFER_MS, ...timeouts },
        candidates: [candidate],
        attempts: 1,
        isSole: true,
        signal: this.#signal,
        // A valid receipt is no success yet: its claim may be false.
        recordOutcome: (peerId, outcome) => {
          if (!outcome.ok) recordOutcome?.(peerId, outcome);
        },
      });
      await this.#add(result, run);
    } catch (error) {
      if (run.outcome === "cancelled") return;
      run.error = PlasmError.from(error);
      if (isRefusal(run.error)) {
        this.#refused++;
        this.#selection.release(candidate);
      }
    }
  }

  async #add(result: RemoteResult, run: QuorumRun): Promise<void> {
    const { receipt, output } = result;
    // It answered after enough others had.
    if (this.#stop.signal.aborted) return output[Symbol.dispose]();
    run.receipt = receipt;
    run.sentBytes = result.attempts.at(-1)?.sentBytes;
    if (!countsAsClaim(receipt)) {
      run.outcome = "inconclusive";
      return output[Symbol.dispose]();
    }
    run.outcome = "agreed";
    await this.#groups.add(result);
    if (!this.#stop.signal.aborted) this.#lateTimer ??= this.#expectOthers();
  }

  /** Starts spare nodes for those that take far longer than the first. */
  #expectOthers(): ReturnType<typeof setTimeout> {
    const { lateMs = LATE_MS } = this.#options;
    const tookMs = performance.now() - this.#startedAt;
    return setTimeout(() => {
      for (const peerId of this.#running.keys()) this.#late.add(peerId);
      this.#changed.resolve();
    }, Math.max(lateMs, tookMs));
  }
}

/** Reports whether a node has not run the job, as far as is known. */
function isRefusal({ details: { attempts } }: PlasmError): boolean {
  const [attempt] = Array.isArray(attempts) ? attempts : [];
  return typeof attempt === "object" && attempt !== null && "ran" in attempt &&
    attempt.ran === "no";
}

/** Codes of jobs whose end depends on the node. */
const STATUS_CODES: Partial<Record<JobStatus, ErrorCode>> = {
  timeout: "job-timeout",
  memory: "job-memory",
  output: "job-output",
  trapped: "job-trap",
};

/** Explains why not enough nodes agree; undefined if they do. */
export function quorumError(outcome: QuorumOutcome): PlasmError | undefined {
  const { agree, groups, runs } = outcome;
  if ((groups[0]?.receipts.length ?? 0) >= agree) return undefined;
  return groups.length > 1 ? disagreement(outcome) : tooFew(outcome, runs);
}

function disagreement(outcome: QuorumOutcome): PlasmError {
  const { agree, groups } = outcome;
  const receipts = groups.flatMap((group) => group.receipts);
  const sizes = groups.map(({ receipts }) => receipts.length).join(", ");
  const text = `${receipts.length} nodes returned ${groups.length} different results (${sizes}), ` +
    `${agree} equal ones are needed`;
  const sources = new Set(receipts.flatMap(({ claim }) => claim.nondeterminism));
  const isExplained = !groups.some((group, at) =>
    groups.slice(at + 1).some((other) => contradicts(group.receipts[0]!, other.receipts[0]!))
  );
  const cause = sources.size > 0
    ? `; the job depends on ${[...sources].sort().join(", ")}`
    : isExplained
    ? "; in the default profile results may depend on architecture and engine"
    : "";
  return new PlasmError("bad-receipt", `Cannot agree on a result: ${text}${cause}`, {
    hint: isExplained
      ? "Use --deterministic, so that all honest nodes return the same result"
      : "Use --arbitrate to run the job again and find the false receipts",
    details: outcomeJson(outcome),
  });
}

function tooFew(outcome: QuorumOutcome, runs: readonly QuorumRun[]): PlasmError {
  const { agree, groups, found } = outcome;
  const equal = groups[0]?.receipts.length ?? 0;
  const statuses = runs.flatMap(({ outcome, receipt }) =>
    outcome === "inconclusive" ? [receipt!.claim] : []
  );
  const reasons = reasonsOf(outcome);
  const text = `Cannot agree on a result: ${agree} nodes must agree, found ${found}, ` +
    `${equal} returned a result${reasons.length === 0 ? "" : `: ${reasons.join("; ")}`}`;
  return new PlasmError(codeOf(statuses, runs), text, {
    hint: outcome.unused.some(({ reason }) => reason.includes("network"))
      ? "Use --same-network if you trust that the nodes have different owners, or lower --agree"
      : "Wait for more nodes, or lower --agree",
    details: outcomeJson(outcome),
  });
}

/** The code that all failures have in common; otherwise that there are too few nodes. */
function codeOf(claims: readonly Claim[], runs: readonly QuorumRun[]): ErrorCode {
  const codes = new Set([
    ...claims.map(({ status }) => STATUS_CODES[status] ?? "no-peer"),
    ...runs.flatMap(({ outcome, error }) => outcome === "failed" && error ? [error.code] : []),
  ]);
  const [code = "no-peer"] = codes;
  return codes.size === 1 && runs.every(({ outcome }) => outcome !== "agreed") ? code : "no-peer";
}

/** Most reasons in one message. */
const MAX_REASONS = 5;

/** Why nodes do not count, with the number of nodes. */
function reasonsOf({ runs, unused }: QuorumOutcome): string[] {
  const reasons = [
    ...runs.flatMap(({ outcome, receipt, error }) =>
      outcome === "inconclusive"
        ? [`ended with ${receipt!.claim.status}`]
        : error === undefined
        ? []
        : [`failed: ${error.message}`]
    ),
    ...unused.map(({ reason }) => `not used because ${reason}`),
  ];
  const counted = [...Map.groupBy(reasons, (reason) => reason)].map(([reason, all]) =>
    `${all.length} ${reason}`
  );
  const more = counted.length - MAX_REASONS;
  return more > 0 ? [...counted.slice(0, MAX_REASONS), `and ${more} more`] : counted;
}

/** JSON form of an outcome, for `--json` and the details of errors. */
export function outcomeJson({ agree, limit, found, runs, unused }: QuorumOutcome) {
  return JSON.parse(JSON.stringify({
    agree,
    limit,
    found,
    nodes: runs.map(({ peerId, networks, outcome, receipt, error }) => ({
      peer_id: peerId,
      networks,
      outcome,
      ...receipt === undefined ? {} : { receipt },
      ...error === undefined ? {} : { error: { code: error.code, message: error.message } },
    })),
    unused: unused.map(({ peerId, reason }) => ({ peer_id: peerId, reason })),
  }));
}
