/**
 * Measures compute-bound jobs in a ready executor against bare V8 with full optimization, native code, and wasmtime
 * (if installed for Python), and the start-up time of small and large programs. Runs are interleaved. The minimum
 * counts, because load only adds time. The binary is compared with V8 of the same version.
 *
 * @module
 */
import { DEFAULT_RESOURCES } from "../../lib/core/manifest.ts";
import { Executor } from "../../lib/sandbox/host/executor.ts";
import { DEFAULT_CEILINGS, limitsOf } from "../../lib/sandbox/limits.ts";
import { runSandbox } from "../../lib/sandbox/run_job.ts";
import { NPM_DENO } from "../compile/npm_runtime.ts";
import { type Kernel, kernels, startKernels } from "./kernels/build.ts";
import type { BenchRow, BenchSection } from "./row.ts";

/** Minimum and maximum number of rounds: a short kernel may meet a disturbance in several of them. */
const TURNS = { min: 3, max: 12 };

/** No further round starts after this time in ms, once the minimum is reached. */
const TURNS_MS = 20_000;

const BARE = decodeURIComponent(new URL("kernels/bare.ts", import.meta.url).pathname);
const WITH_WASMTIME = decodeURIComponent(
  new URL("kernels/with_wasmtime.py", import.meta.url).pathname,
);

/** Output of a kernel run, and its duration in ms. */
interface Run {
  output: string;
  ms: number;
}

type Way = (kernel: Kernel) => Promise<Run>;

/** Section `cpu`. */
export const cpu: BenchSection = async function* ({ signal, binary }) {
  const wasmtime = await hasWasmtime() ? { wasmtime: withWasmtime } : {};
  if (!("wasmtime" in wasmtime)) {
    console.error("SKIPPED: python3 has no wasmtime (pip install wasmtime)");
  }
  const runtime = binary === undefined ? undefined : await runtimeOf(binary);
  // Measured variants of plasm; the suffix names the baseline's engine.
  const own: Record<string, string> = {
    plasm: "V8",
    ...runtime === undefined ? {} : { binary: runtime.engine },
  };
  const ourWays = {
    plasm: inExecutor,
    ...binary === undefined ? {} : { binary: byBinary(binary) },
  };
  const engines = { V8: [Deno.execPath()], ...runtime && { [runtime.engine]: runtime.deno } };
  const bareWays = (flag: string, suffix = ""): Record<string, Way> =>
    Object.fromEntries(
      Object.entries(engines).map(([name, deno]) => [name + suffix, bare(deno, flag)]),
    );
  const optimized = " --no-liftoff";
  for await (const kernel of kernels()) {
    const native = kernel.native === undefined ? {} : { native: natively };
    const ways = { ...ourWays, ...bareWays("--no-liftoff", optimized), ...native, ...wasmtime };
    yield* rows(kernel, { ways, own, suffix: optimized, goal: "≤ 1.05", signal });
  }
  for (const kernel of await startKernels()) {
    const others = { ...bareWays("--liftoff"), ...bareWays("--no-liftoff", optimized) };
    yield* rows(kernel, { ways: { ...ourWays, ...others, ...wasmtime }, own, suffix: "", signal });
  }
};

interface RowOptions {
  ways: Record<string, Way>;
  /** Variants of plasm and, per `suffix`, their baselines. */
  own: Record<string, string>;
  suffix: string;
  goal?: string;
  signal: AbortSignal;
}

/** Yields one row per variant of plasm, all compared with the same baselines. */
async function* rows(
  kernel: Kernel,
  { ways, own, suffix, goal, signal }: RowOptions,
): AsyncGenerator<BenchRow, void, void> {
  const shortest: Record<string, number> = {};
  let output: string | undefined;
  const begin = performance.now();
  const isEnough = () => performance.now() - begin > TURNS_MS;
  for (let turn = 0; turn < TURNS.max && !(turn >= TURNS.min && isEnough()); turn++) {
    for (const [name, way] of Object.entries(ways)) {
      signal.throwIfAborted();
      const run = await way(kernel);
      output ??= run.output;
      if (run.output !== output) throw new Error(`${kernel.what}: ${name} printed ${run.output}`);
      shortest[name] = Math.min(shortest[name] ?? Infinity, run.ms);
    }
  }
  const others = Object.keys(ways).filter((name) => !(name in own));
  for (const [name, engine] of Object.entries(own)) {
    yield {
      what: name === "plasm" ? kernel.what : `${kernel.what}, ${name}`,
      measured: seconds(shortest[name]!),
      against: others.map((other) => `${other} ${seconds(shortest[other]!)}`).join(", "),
      ratio: shortest[name]! / shortest[engine + suffix]!,
      ...goal === undefined ? {} : { goal },
    };
  }
}

/** Runs a kernel in a ready executor, measured from sending the job to its final event. */
async function inExecutor({ wasm, args }: Kernel): Promise<Run> {
  const module = await Deno.readFile(wasm);
  await using executor = new Executor();
  await executor.ready();
  const limits = limitsOf(
    { ...DEFAULT_RESOURCES, memory_mb: 512, timeout_seconds: 600 },
    DEFAULT_CEILINGS,
  );
  const job = { module, args, env: {}, limits };
  const decoder = new TextDecoder();
  let output = "";
  for await (const event of runSandbox(job, { executor })) {
    if (event.type === "stdout") output += decoder.decode(event.data, { stream: true });
    if (event.type !== "finished") continue;
    const { status, exitCode, usage } = event.outcome;
    if (exitCode !== 0) throw new Error(`Job failed: ${status} ${exitCode}`);
    return { output, ms: usage.wallTimeMs };
  }
  throw new Error("Job did not finish");
}

/** Runs a kernel with the compiled binary; the time is the one in the receipt. */
function byBinary(binary: string): Way {
  return async ({ wasm, args }) => {
    const options = ["exec", "--json", "--memory-mb", "512", "--timeout", "600"];
    const { stdout } = await spawned(binary, [...options, wasm, "--", ...args]);
    const { stdout: text, receipt } = JSON.parse(stdout);
    return { output: text, ms: receipt.run.usage.wall_time_ms };
  };
}

/** Returns a binary's engine version and a matching Deno; the running one if the versions are equal. */
async function runtimeOf(binary: string): Promise<{ engine: string; deno: string[] }> {
  const { deno, v8 } = JSON.parse((await spawned(binary, ["version", "--json"])).stdout);
  return deno === Deno.version.deno
    ? { engine: "V8", deno: [Deno.execPath()] }
    : { engine: `V8 ${v8}`, deno: ["npx", "-y", NPM_DENO] };
}

function bare([deno, ...before]: string[], flag: string): Way {
  return async ({ wasm, args }) => {
    const options = ["run", "--no-prompt", "--no-config", "--allow-read", `--v8-flags=${flag}`];
    const { stdout, stderr } = await spawned(deno!, [...before, ...options, BARE, wasm, ...args]);
    // npx may print messages before the last line.
    return { output: stdout, ms: Number(stderr.trim().split("\n").at(-1)) };
  };
}

async function natively({ native }: Kernel): Promise<Run> {
  const begin = performance.now();
  const { stdout } = await spawned(native!, []);
  return { output: stdout, ms: performance.now() - begin };
}

async function withWasmtime({ wasm, args }: Kernel): Promise<Run> {
  const { stdout, stderr } = await spawned("python3", [WITH_WASMTIME, wasm, ...args]);
  return { output: stdout, ms: Number(stderr.trim().split(" ")[0]) };
}

async function hasWasmtime(): Promise<boolean> {
  const tried = new Deno.Command("python3", { args: ["-c", "import wasmtime"], stderr: "null" });
  return await tried.output().then(({ success }) => success, () => false);
}

async function spawned(
  command: string,
  args: string[],
): Promise<{ stdout: string; stderr: string }> {
  const { success, stdout, stderr } = await new Deno.Command(command, { args }).output();
  const texts = {
    stdout: new TextDecoder().decode(stdout),
    stderr: new TextDecoder().decode(stderr),
  };
  if (!success) throw new Error(`${command} failed: ${texts.stderr}`);
  return texts;
}

function seconds(ms: number): string {
  return ms < 100 ? `${ms.toFixed(1)} ms` : `${(ms / 1000).toFixed(2)} s`;
}
