/**
 * Measures what the deterministic profile and counted instructions cost: CPU time of a job in a ready executor against
 * the same job without. The runs of a round follow each other, and the median of the rounds' ratios counts, because
 * load changes from round to round.
 *
 * @module
 */
import { DEFAULT_RESOURCES } from "../../lib/core/manifest.ts";
import { Executor } from "../../lib/sandbox/host/executor.ts";
import { DEFAULT_CEILINGS, limitsOf } from "../../lib/sandbox/limits.ts";
import { runSandbox } from "../../lib/sandbox/run_job.ts";
import { type Kernel, kernels, startKernels } from "./kernels/build.ts";
import { type BenchRow, type BenchSection, median } from "./row.ts";

/** Minimum and maximum number of rounds. */
const ROUNDS = { min: 5, max: 25 };

/** No further round starts after this time in ms, once the minimum is reached. */
const ROUNDS_MS = 30_000;

/** Limit that no kernel reaches. */
const FUEL = Number.MAX_SAFE_INTEGER;

/** What a job asks for. */
interface Way {
  isDeterministic: boolean;
  fuel: number | undefined;
}

const PLAIN: Way = { isDeterministic: false, fuel: undefined };

/** Measured ways, with their goals for the kernels that need other ones than most. */
const WAYS: Record<string, Way & { goals: Record<string, number>; goal: number }> = {
  deterministic: {
    isDeterministic: true,
    fuel: undefined,
    goals: { "n-body": 1.3, "SIMD matrix product": 1.8 },
    goal: 1.1,
  },
  fuel: {
    isDeterministic: false,
    fuel: FUEL,
    goals: { "SIMD matrix product": 1.9 },
    goal: 1.15,
  },
};

/** Section `rewriting`. */
export const rewriting: BenchSection = async function* ({ signal }) {
  const all = [...await Array.fromAsync(kernels()), ...await startKernels()];
  for (const kernel of all) yield* rows(kernel, signal);
};

async function* rows(
  kernel: Kernel,
  signal: AbortSignal,
): AsyncGenerator<BenchRow, void, void> {
  const module = await Deno.readFile(kernel.wasm);
  const names = Object.keys(WAYS);
  const plain: Run[] = [];
  const times: Record<string, Run[]> = Object.fromEntries(names.map((name) => [name, []]));
  const begin = performance.now();
  const isEnough = () => performance.now() - begin > ROUNDS_MS;
  for (let round = 0; round < ROUNDS.max && !(round >= ROUNDS.min && isEnough()); round++) {
    signal.throwIfAborted();
    const expected = await runKernel(kernel, module, PLAIN);
    plain.push(expected);
    for (const name of names) {
      const run = await runKernel(kernel, module, WAYS[name]!);
      const { output } = run;
      if (output !== expected.output) throw new Error(`${kernel.what}: ${name} printed ${output}`);
      times[name]!.push(run);
    }
  }
  for (const name of names) {
    const { goals, goal } = WAYS[name]!;
    const runs = times[name]!;
    const shortest = (all: Run[], time: "cpuMs" | "wallMs") =>
      Math.min(...all.map((run) => run[time]));
    const ratio = (time: "cpuMs" | "wallMs") =>
      (shortest(runs, time) / shortest(plain, time)).toFixed(2);
    yield {
      what: `${kernel.what}, ${name}`,
      measured: `${shortest(runs, "cpuMs")} ms`,
      against: `without ${shortest(plain, "cpuMs")} ms, shortest × ${ratio("cpuMs")}, wall × ${
        ratio("wallMs")
      }`,
      ratio: median(runs.map(({ cpuMs }, round) => cpuMs / plain[round]!.cpuMs)),
      goal: `≤ ${goals[kernel.what] ?? goal}`,
    };
  }
}

/** Output of a kernel, and what it took. */
interface Run {
  output: string;
  cpuMs: number;
  wallMs: number;
}

/** Runs a kernel in a new executor that is ready. */
async function runKernel(
  { args }: Kernel,
  module: Uint8Array,
  { isDeterministic, fuel }: Way,
): Promise<Run> {
  await using executor = new Executor();
  await executor.ready();
  const resources = { ...DEFAULT_RESOURCES, memory_mb: 512, timeout_seconds: 600 };
  const limits = limitsOf(
    fuel === undefined ? resources : { ...resources, fuel },
    DEFAULT_CEILINGS,
  );
  const deterministic = isDeterministic ? { seed: new Uint8Array(32), epochMs: 0 } : undefined;
  const decoder = new TextDecoder();
  let output = "";
  const job = { module, args, env: {}, limits, deterministic };
  for await (const event of runSandbox(job, { executor })) {
    if (event.type === "stdout") output += decoder.decode(event.data, { stream: true });
    if (event.type !== "finished") continue;
    const { status, exitCode, usage } = event.outcome;
    if (exitCode !== 0) throw new Error(`Job failed: ${status} ${exitCode}`);
    return { output, cpuMs: usage.cpuTimeMs, wallMs: usage.wallTimeMs };
  }
  throw new Error("Job did not finish");
}
