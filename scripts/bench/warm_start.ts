/**
 * Measures the start of a large program in an executor that has compiled it, and when a bare instance of it first calls
 * each function of WASI: what a snapshot of the initialised program could save at most (docs/adr/0022-no-snapshots.md).
 *
 *     deno run -P=test --no-prompt --unstable-net scripts/bench/warm_start.ts MODULE [ARG…]
 *
 * @module
 */
import { sha256 } from "../../lib/core/mod.ts";
import { Executor, type SandboxUsage } from "../../lib/sandbox/executors.ts";
import { createWasi } from "../../lib/wasi/mod.ts";
import { FakeHost } from "../../tests/fixtures/fake_guest.ts";
import { collect, sandboxJob } from "../../tests/fixtures/sandbox_jobs.ts";
import { median } from "./row.ts";

/** Runs in one executor; the first compiles. */
const RUNS = 15;

/** Bare instances; the shortest time of each figure counts. */
const INSTANCES = 40;

/** Memory limit of the program, in bytes. */
const MEMORY_BYTES = 512 * 2 ** 20;

async function executorRuns(bytes: Uint8Array, args: string[]): Promise<SandboxUsage[]> {
  await using executor = new Executor();
  const moduleKey = await sha256(bytes);
  const job = { ...sandboxJob(bytes, { memoryBytes: MEMORY_BYTES }), args, moduleKey };
  const usages: SandboxUsage[] = [];
  for (let run = 0; run < RUNS; run++) {
    usages.push((await collect(executor.run(job))).outcome.usage);
  }
  return usages;
}

/** Times of one instance from its start, in milliseconds. */
function firstCalls(module: WebAssembly.Module, args: string[]): Map<string, number> {
  const times = new Map<string, number>();
  let start = 0;
  const note = (what: string): void => {
    if (!times.has(what)) times.set(what, performance.now() - start);
  };
  const { limits } = sandboxJob(new Uint8Array());
  const wasi = createWasi({
    args: ["program", ...args],
    env: {},
    inputs: [],
    limits,
    host: new FakeHost(),
  });
  const functions: Record<string, (...values: never[]) => unknown> = {
    ...wasi.imports,
    proc_exit: () => {
      throw new Error("exit");
    },
  };
  const imports: Record<string, Record<string, (...values: never[]) => unknown>> = {};
  for (const { module: from, name } of WebAssembly.Module.imports(module)) {
    const func = from === "wasi_snapshot_preview1" ? functions[name]! : () => 0;
    (imports[from] ??= {})[name] = (...values) => {
      note(name);
      return func(...values);
    };
  }
  start = performance.now();
  const { exports } = new WebAssembly.Instance(module, imports);
  note("(instantiated)");
  const memory = exports["memory"] as WebAssembly.Memory;
  wasi.attach(memory);
  start = performance.now();
  try {
    ((exports["_start"] ?? exports["_initialize"]) as () => void)();
  } catch {
    // It exits.
  }
  note("(end)");
  start = performance.now();
  const { byteLength } = memory.buffer;
  const fresh = new WebAssembly.Memory({ initial: byteLength / 2 ** 16 });
  new Uint8Array(fresh.buffer).set(new Uint8Array(memory.buffer));
  note(`(copy of ${Math.round(byteLength / 2 ** 20)} MiB)`);
  return times;
}

if (import.meta.main) {
  const [path, ...args] = Deno.args;
  const bytes = await Deno.readFile(path!);
  const module = await WebAssembly.compile(bytes as Uint8Array<ArrayBuffer>);
  const shortest = new Map<string, number>();
  for (let instance = 0; instance < INSTANCES; instance++) {
    for (const [what, ms] of firstCalls(module, args)) {
      shortest.set(what, Math.min(ms, shortest.get(what) ?? Infinity));
    }
  }
  for (const [what, ms] of shortest) {
    console.log(`${what.padEnd(24)} ${ms.toFixed(2).padStart(8)} ms`);
  }
  const isCommand = WebAssembly.Module.exports(module).some(({ name }) => name === "_start");
  if (isCommand) {
    const [first, ...warm] = await executorRuns(bytes, args);
    const of = (field: "cpuTimeMs" | "wallTimeMs") => median(warm.map((usage) => usage[field]));
    console.log(`executor, first run: ${first!.cpuTimeMs} ms of CPU time`);
    console.log(`executor, warm: ${of("cpuTimeMs")} ms of CPU time, ${of("wallTimeMs")} ms`);
  }
}
