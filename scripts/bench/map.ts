/**
 * Measures `plasm map` against GNU parallel around `plasm exec`, against a pool of processes that load the module
 * precompiled by wasmtime, and against perfect scaling over the cores. Runs are interleaved; the minimum counts.
 *
 * A baseline is left out if `parallel` (Debian), or the wasmtime of `python3` (PyPI) is missing.
 *
 * @module
 */
import { programCommand } from "../../tests/fixtures/plasm.ts";
import { kernels, startKernels } from "./kernels/build.ts";
import { mapOnNodes } from "./map_nodes.ts";
import type { BenchRow, BenchSection } from "./row.ts";

/** Number of small files. */
const FILES = 1000;

/** Rounds; load only adds time. */
const ROUNDS = 3;

/** CPU-bound items for each core. */
const ITEMS_PER_CORE = 4;

/** Scripts of CPython. */
const SCRIPTS = 100;

const HELLO = path("../../examples/hello/hello.wasm");
const POOL = path("kernels/wasmtime_pool.py");

/** Section `map`. */
export const map: BenchSection = async function* ({ binary, signal }) {
  const plasm = binary === undefined ? programCommand() : [await Deno.realPath(binary)];
  const dir = await Deno.makeTempDir({ prefix: "plasm-bench-" });
  try {
    yield* smallFiles({ plasm, dir, signal });
    yield* scaling({ plasm, signal });
    yield* interpreter({ plasm, signal });
    yield* mapOnNodes({ plasm, dir, signal });
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
};

interface MapBenchOptions {
  /** Program and leading arguments. */
  plasm: readonly string[];
  signal: AbortSignal;
}

/** Rows of many small files with a module that runs for less than a millisecond. */
async function* smallFiles(
  { plasm, dir, signal }: MapBenchOptions & { dir: string },
): AsyncGenerator<BenchRow> {
  const files = Array.from({ length: FILES }, (_, at) => `${dir}/file${at}`);
  for (const file of files) await Deno.writeTextFile(file, `Hello from ${file}`);
  const list = `${dir}/list`;
  await Deno.writeTextFile(list, files.join("\n"));
  const own = [...plasm, "map", "--stdin", "{}", HELLO, "::::", list];
  const exec = [...plasm, "exec", HELLO].map(quote).join(" ");
  const ways: Record<string, readonly string[]> = {
    plasm: own,
    ...(await works(["parallel", "--version"]) && {
      "GNU parallel with plasm exec": ["parallel", "-a", list, `${exec} < {}`],
    }),
    ...(await works(["python3", "-c", "import wasmtime"]) && {
      "wasmtime in a pool": ["python3", POOL, HELLO, list],
    }),
  };
  const times = await interleaved(ways, signal);
  const measured = times["plasm"]!;
  for (const [name, time] of Object.entries(times)) {
    if (name === "plasm") continue;
    yield {
      what: `${FILES} small files`,
      measured: seconds(measured),
      against: `${name} ${seconds(time)}`,
      ratio: measured / time,
      goal: name.startsWith("GNU") ? "≤ 0.2" : "≤ 1",
    };
  }
}

/** Row of CPU-bound items, on one core and on all. */
async function* scaling({ plasm, signal }: MapBenchOptions): AsyncGenerator<BenchRow> {
  const cores = navigator.hardwareConcurrency;
  for await (const { wasm, what, args } of kernels()) {
    const items = Array.from({ length: ITEMS_PER_CORE * cores }, (_, at) => String(at));
    const run = (jobs: number): string[] => [
      ...[...plasm, "map", "-j", String(jobs), "--env", "ITEM={}", wasm],
      ...["--", ...args, ":::", ...items],
    ];
    const times = await interleaved({ all: run(cores), one: run(1) }, signal);
    const perfect = times["one"]! / cores;
    yield {
      what: `${items.length} × ${what}, ${cores} cores`,
      measured: seconds(times["all"]!),
      against: `one core / ${cores} ${seconds(perfect)}`,
      ratio: times["all"]! / perfect,
      goal: "≤ 1.05",
    };
    return;
  }
}

/**
 * Row of a hundred scripts of CPython: the interpreter is compiled once in each executor, and starts once for each item in
 * its own instance. The baseline is one start with all scripts in turn, without isolation between them.
 */
async function* interpreter({ plasm, signal }: MapBenchOptions): AsyncGenerator<BenchRow> {
  const python = (await startKernels())[1]!.wasm;
  const cores = navigator.hardwareConcurrency;
  const map = (count: number): string[] => [
    ...[...plasm, "map", python, "--", "-c", "print({} ** 2)", ":::"],
    ...Array.from({ length: count }, (_, at) => String(at)),
  ];
  const exec = [...plasm, "exec", python, "--", "-c", "print(1)"];
  const times = await interleaved({ hundred: map(SCRIPTS), few: map(cores), exec }, signal);
  const each = (times["hundred"]! - times["few"]!) / (SCRIPTS - cores) * cores;
  yield {
    what: `${SCRIPTS} scripts of CPython: ${seconds(times["hundred"]!)}, each on its core`,
    measured: `${each.toFixed(0)} ms`,
    against: `plasm exec ${times["exec"]!.toFixed(0)} ms`,
    ratio: each / times["exec"]!,
  };
}

/** Shortest time of each command, in milliseconds. */
async function interleaved(
  ways: Readonly<Record<string, readonly string[]>>,
  signal: AbortSignal,
): Promise<Record<string, number>> {
  const times: Record<string, number> = {};
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, command] of Object.entries(ways)) {
      signal.throwIfAborted();
      const start = performance.now();
      if (!await works(command)) throw new Error(`Failed: ${command.join(" ")}`);
      times[name] = Math.min(times[name] ?? Infinity, performance.now() - start);
    }
  }
  return times;
}

/** Runs a command without input and output; reports whether it succeeded. */
async function works([program, ...args]: readonly string[]): Promise<boolean> {
  try {
    const { success } = await new Deno.Command(program!, {
      args,
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).output();
    return success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}

function quote(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

function path(relative: string): string {
  return decodeURIComponent(new URL(relative, import.meta.url).pathname);
}
