/**
 * Jobs that compute: in a ready executor, in V8 with everything optimized at once and nothing around
 * it, natively, and in wasmtime where Python has it. And how long large and small programs take to
 * start. All in turns, so that all meet the same load; of each the shortest time counts, for load only
 * ever adds.
 *
 * @module
 */
import { DEFAULT_RESOURCES } from "../../lib/job/manifest.ts";
import { Executor } from "../../lib/sandbox/executor.ts";
import { DEFAULT_CEILINGS, limitsOf } from "../../lib/sandbox/limits.ts";
import { runSandbox } from "../../lib/sandbox/run.ts";
import { type Kernel, kernels, startKernels } from "./kernels/build.ts";
import type { BenchRow, BenchSection } from "./row.ts";

const TURNS = 3;

const BARE = decodeURIComponent(new URL("kernels/bare.ts", import.meta.url).pathname);
const WITH_WASMTIME = decodeURIComponent(
  new URL("kernels/with_wasmtime.py", import.meta.url).pathname,
);

/** What a way to run a kernel gives: its output, and how long it took in ms. */
interface Run {
  output: string;
  ms: number;
}

type Way = (kernel: Kernel) => Promise<Run>;

/** See the module. */
export const cpu: BenchSection = async function* ({ signal, binary }) {
  const wasmtime = await hasWasmtime() ? { wasmtime: withWasmtime } : {};
  if (!("wasmtime" in wasmtime)) {
    console.error("SKIPPED: python3 has no wasmtime (pip install wasmtime)");
  }
  const own = { plasm: inExecutor, ...binary === undefined ? {} : { binary: byBinary(binary) } };
  const optimized = "V8 --no-liftoff";
  for await (const kernel of kernels()) {
    const native = kernel.native === undefined ? {} : { native: natively };
    const ways = { ...own, [optimized]: bare("--no-liftoff"), ...native, ...wasmtime };
    yield* rows(kernel, { ways, against: optimized, goal: "≤ 1.05", signal });
  }
  for (const kernel of await startKernels()) {
    const ways = { ...own, V8: bare("--liftoff"), [optimized]: bare("--no-liftoff"), ...wasmtime };
    yield* rows(kernel, { ways, against: "V8", signal });
  }
};

interface RowOptions {
  ways: Record<string, Way>;
  against: string;
  goal?: string;
  signal: AbortSignal;
}

/** A row for each way of ours, all of them against the same others. */
async function* rows(
  kernel: Kernel,
  { ways, against, goal, signal }: RowOptions,
): AsyncGenerator<BenchRow, void, void> {
  const shortest: Record<string, number> = {};
  let output: string | undefined;
  for (let turn = 0; turn < TURNS; turn++) {
    for (const [name, way] of Object.entries(ways)) {
      signal.throwIfAborted();
      const run = await way(kernel);
      output ??= run.output;
      if (run.output !== output) throw new Error(`${kernel.what}: ${name} printed ${run.output}`);
      shortest[name] = Math.min(shortest[name] ?? Infinity, run.ms);
    }
  }
  const others = Object.keys(ways).filter((name) => name !== "plasm" && name !== "binary");
  for (const name of Object.keys(ways)) {
    if (others.includes(name)) continue;
    yield {
      what: name === "plasm" ? kernel.what : `${kernel.what}, ${name}`,
      measured: seconds(shortest[name]!),
      against: others.map((other) => `${other} ${seconds(shortest[other]!)}`).join(", "),
      ratio: shortest[name]! / shortest[against]!,
      ...goal === undefined ? {} : { goal },
    };
  }
}

/** In an executor that is ready, from the job's bytes to its end. */
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
    if (exitCode !== 0) throw new Error(`The job ended: ${status} ${exitCode}`);
    return { output, ms: usage.wallTimeMs };
  }
  throw new Error("The job did not end");
}

/** By the compiled program; the time is that which the receipt names. */
function byBinary(binary: string): Way {
  return async ({ wasm, args }) => {
    const options = ["exec", "--json", "--memory-mb", "512", "--timeout", "600"];
    const { stdout } = await spawned(binary, [...options, wasm, "--", ...args]);
    const { stdout: text, receipt } = JSON.parse(stdout);
    return { output: text, ms: receipt.usage.wall_time_ms };
  };
}

function bare(flag: string): Way {
  return async ({ wasm, args }) => {
    const options = ["run", "--no-prompt", "--no-config", "--allow-read", `--v8-flags=${flag}`];
    const { stdout, stderr } = await spawned(Deno.execPath(), [...options, BARE, wasm, ...args]);
    return { output: stdout, ms: Number(stderr) };
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
