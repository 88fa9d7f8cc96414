/**
 * Simulates a network with lying nodes: how many wrong results are accepted with no check, with audits and with quorums,
 * what that costs, and how soon a lying node is found. Prints a Markdown table.
 *
 *     deno run -P=test --no-prompt scripts/bench/quorum_simulation.ts [--jobs N] [--nodes N] [--seed N]
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { Reputation } from "../../lib/p2p/state/peer_state.ts";
import { AuditLedger } from "../../lib/quorum/audit_ledger.ts";
import { SPARE_NODES } from "../../lib/quorum/run_quorum.ts";

/** Share of audited results, `network.audit` by default. */
const AUDIT_BASE = 0.02;

/** Time between two jobs of the client: one a minute. */
const JOB_MS = 60_000;

/** How results are checked. */
export type Check = "none" | "audit" | { agree: number; nodes: number };

/** What one simulation assumes. */
export interface Scenario {
  /** Number of jobs. */
  jobs: number;
  /** Number of nodes. */
  nodes: number;
  /** Share of nodes that lie. */
  liars: number;
  /** Whether all liars return the same false result of a job; otherwise each its own. */
  colluding: boolean;
  /** Share of jobs in which a liar lies. */
  lieRate: number;
  check: Check;
  /** Seed of the pseudorandom numbers. */
  seed: number;
}

/** What one simulation found. */
export interface SimulationResult {
  /** Wrong results that were accepted. */
  wrong: number;
  /** Jobs without a result, because too few nodes agreed. */
  undecided: number;
  /** Runs and audits beyond one run for each job, as a share of the jobs. */
  extra: number;
  /** Median number of jobs that a liar ran until it was first banned or avoided; null if less than half were. */
  jobsToBan: number | null;
  /** Share of the liars that were banned or avoided at least once. */
  found: number;
  /** Share of the honest nodes that were banned or avoided at least once. */
  accused: number;
}

/** A node: its behaviour, and what is known of it. */
interface SimulatedNode {
  id: string;
  isLiar: boolean;
  runs: number;
  /** Runs until it was first banned or avoided. */
  foundAfter: number | undefined;
}

/** Pseudorandom numbers from 0 to 1, the same for each seed (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** Right result of every job; false ones have other values. */
const RIGHT = "right";

/** Runs one simulation. */
export function simulate(scenario: Scenario): SimulationResult {
  return new Simulation(scenario).run();
}

class Simulation {
  readonly #scenario: Scenario;
  readonly #random: () => number;
  readonly #nodes: SimulatedNode[];
  readonly #ledger = new AuditLedger();
  readonly #reputation = new Reputation();
  #now = 0;
  #runs = 0;
  #audits = 0;
  #wrong = 0;
  #undecided = 0;

  constructor(scenario: Scenario) {
    this.#scenario = scenario;
    this.#random = randomFrom(scenario.seed);
    const liars = Math.round(scenario.nodes * scenario.liars);
    this.#nodes = Array.from({ length: scenario.nodes }, (_, index) => ({
      id: `node-${index}`,
      isLiar: index < liars,
      runs: 0,
      foundAfter: undefined,
    }));
  }

  run(): SimulationResult {
    const { jobs, check } = this.#scenario;
    for (let job = 0; job < jobs; job++) {
      this.#now += JOB_MS;
      if (check === "none" || check === "audit") this.#single(check);
      else this.#quorum(check);
    }
    const share = (nodes: readonly SimulatedNode[]): number =>
      nodes.filter(({ foundAfter }) => foundAfter !== undefined).length / Math.max(1, nodes.length);
    const liars = this.#nodes.filter(({ isLiar }) => isLiar);
    const found = liars.map(({ foundAfter = Infinity }) => foundAfter).sort((a, b) => a - b);
    const middle = found[Math.floor((found.length - 1) / 2)] ?? Infinity;
    return {
      wrong: this.#wrong,
      undecided: this.#undecided,
      extra: (this.#runs + this.#audits - jobs) / jobs,
      jobsToBan: Number.isFinite(middle) ? middle : null,
      found: share(liars),
      accused: share(this.#nodes.filter(({ isLiar }) => !isLiar)),
    };
  }

  #single(check: "none" | "audit"): void {
    const node = this.#pick(new Set(), (id) => this.#ledger.isBanned(id, this.#now));
    const result = this.#runOn(node);
    if (result !== RIGHT) this.#wrong++;
    if (check === "none" || this.#random() >= this.#ledger.probability(node.id, AUDIT_BASE)) return;
    this.#audits++;
    if (result === RIGHT) return this.#ledger.recordGood(node.id);
    this.#ledger.recordFalse(node.id, this.#now);
    node.foundAfter ??= node.runs;
  }

  #quorum({ agree, nodes }: { agree: number; nodes: number }): void {
    const results = new Map<string, SimulatedNode[]>();
    const asked = new Set<string>();
    const largest = (): number => Math.max(0, ...[...results.values()].map(({ length }) => length));
    const limit = Math.max(nodes, agree + SPARE_NODES);
    // All nodes that start together run the job, also those that are cancelled.
    for (let count = 0; count < limit; count++) {
      if (count >= nodes && (largest() >= agree || largest() + limit - count < agree)) break;
      const node = this.#pick(asked, (id) => this.#reputation.isAvoided(id, this.#now));
      asked.add(node.id);
      const result = this.#runOn(node);
      if (largest() < agree) results.set(result, [...results.get(result) ?? [], node]);
    }
    const [accepted] = [...results].find(([, nodes]) => nodes.length >= agree) ?? [];
    if (accepted === undefined) return void this.#undecided++;
    if (accepted !== RIGHT) this.#wrong++;
    for (const [result, nodes] of results) {
      for (const node of nodes) {
        const ok = result === accepted;
        this.#reputation.recordJob(node.id, { ok }, this.#now);
        if (!ok) node.foundAfter ??= node.runs;
      }
    }
  }

  /** Picks a node at random; an avoided one only if there is no other. */
  #pick(asked: ReadonlySet<string>, isAvoided: (id: string) => boolean): SimulatedNode {
    const free = this.#nodes.filter(({ id }) => !asked.has(id));
    const usable = free.filter(({ id }) => !isAvoided(id));
    const from = usable.length > 0 ? usable : free;
    return from[Math.floor(this.#random() * from.length)]!;
  }

  #runOn(node: SimulatedNode): string {
    const { lieRate, colluding } = this.#scenario;
    node.runs++;
    this.#runs++;
    const lies = node.isLiar && this.#lies(node, lieRate);
    return lies ? colluding ? "false" : `false of ${node.id}` : RIGHT;
  }

  /** Whether a liar lies in this job; liars that collude decide together. */
  #lies({ id }: SimulatedNode, lieRate: number): boolean {
    if (lieRate >= 1) return true;
    const { colluding, seed } = this.#scenario;
    const key = colluding ? 0 : Number(id.slice("node-".length)) + 1;
    return randomFrom(seed ^ Math.imul(this.#now + key, 0x9e3779b1))() < lieRate;
  }
}

const CHECKS: readonly (readonly [string, Check])[] = [
  ["no check", "none"],
  ["audit", "audit"],
  ["2/3", { agree: 2, nodes: 3 }],
  ["3/5", { agree: 3, nodes: 5 }],
];

const SHARES = [0.05, 0.1, 0.2, 0.3, 0.4];

/** Rows of the table. */
function* tableRows(base: Pick<Scenario, "jobs" | "nodes" | "seed">): Generator<string> {
  yield `| liars | results | ${CHECKS.map(([name]) => name).join(" | ")} |`;
  yield `| ---: | --- |${CHECKS.map(() => " ---: |").join("")}`;
  for (const lieRate of [1, 0.1]) {
    for (const colluding of [false, true]) {
      for (const liars of SHARES) {
        const cells = CHECKS.map(([, check]) => {
          const result = simulate({ ...base, liars, colluding, lieRate, check });
          const { wrong, undecided, extra, jobsToBan, found, accused } = result;
          const ban = found === 0
            ? "–"
            : jobsToBan === null
            ? `${percent(found)} found`
            : `${jobsToBan}`;
          const open = undecided === 0 ? "" : `, ${undecided} open`;
          const blamed = accused === 0 ? "" : `, ${percent(accused)} accused`;
          return `${wrong}${open}; ${percent(extra)}; ${ban}${blamed}`;
        });
        const kind = `${colluding ? "colluding" : "independent"}, ${percent(lieRate)} false`;
        yield `| ${percent(liars)} | ${kind} | ${cells.join(" | ")} |`;
      }
    }
  }
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

if (import.meta.main) {
  const { jobs = 10_000, nodes = 200, seed = 1 } = parseArgs(Deno.args, {
    string: ["jobs", "nodes", "seed"],
  });
  const base = { jobs: Number(jobs), nodes: Number(nodes), seed: Number(seed) };
  for (const row of tableRows(base)) console.log(row);
}
