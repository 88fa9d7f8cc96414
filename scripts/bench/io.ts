/**
 * Measures jobs that read, write and use files in a ready executor, connected as the daemon connects it, against a
 * native program that makes the same calls on pipes and a temporary directory. Times are from the job's own clock. An
 * operation is one call of the job, such as open or close; rounds of several calls are also shown. Pass-through is
 * measured inside the executor alone and across both process boundaries, which the native program crosses too.
 *
 * @module
 */
import { DEFAULT_RESOURCES } from "../../lib/core/manifest.ts";
import { Executor } from "../../lib/sandbox/host/executor.ts";
import { DEFAULT_CEILINGS, limitsOf } from "../../lib/sandbox/limits.ts";
import { runSandbox } from "../../lib/sandbox/run_job.ts";
import { built, type Kernel } from "./kernels/build.ts";
import { passInside } from "./pass_inside.ts";
import type { BenchRow, BenchSection } from "./row.ts";

const TURNS = 3;

const PASSED_BYTES = 2 ** 30;

/** Chunk size: what the daemon reads at once from a large input. */
const PIECE_BYTES = 256 * 1024;

const WRITES = 1_000_000;

const FILES = [10, 100_000];

/** Rounds per second by operation; bytes per second for `pass-through`. */
type Rates = Map<string, number>;

/** Section `io`. */
export const io: BenchSection = async function* ({ signal }) {
  const kernel = await built("input and output", "io", []);
  yield await inside(kernel, signal);
  const suffix = " through two processes";
  yield* rows(kernel, { args: ["pass"], stdin: PASSED_BYTES, suffix, signal });
  for (const kind of ["stdout", "file"]) {
    yield* rows(kernel, { args: [kind, String(WRITES)], goal: "≥ 1 M/s", signal });
  }
  for (const files of FILES) {
    const args = ["paths", String(files)];
    const suffix = `, ${files.toLocaleString("en")} files`;
    yield* rows(kernel, { args, suffix, goal: "≥ 300 k/s", signal });
  }
};

interface Task {
  args: string[];
  /** Bytes of standard input. @default {0} */
  stdin?: number;
  /** Appended to the operation's name. @default {nothing} */
  suffix?: string;
  /** Target from the issue. @default {nothing} */
  goal?: string;
  signal: AbortSignal;
}

async function inside({ wasm }: Kernel, signal: AbortSignal): Promise<BenchRow> {
  const best: Rates = new Map();
  for (let turn = 0; turn < TURNS; turn++) {
    signal.throwIfAborted();
    keepBest(best, parse(await passInside({ wasm, bytes: PASSED_BYTES })));
  }
  return {
    what: "pass-through inside the executor",
    measured: shown("pass-through", best.get("pass-through")!),
    goal: "≥ 1 GB/s",
  };
}

async function* rows(kernel: Kernel, task: Task): AsyncGenerator<BenchRow, void, void> {
  const best: Rates = new Map();
  const native: Rates = new Map();
  for (let turn = 0; turn < TURNS; turn++) {
    task.signal.throwIfAborted();
    keepBest(best, await inExecutor(kernel, task));
    keepBest(native, await natively(kernel, task));
  }
  for (const [what, rate] of best) {
    const other = native.get(what)!;
    yield {
      what: what + (task.suffix ?? ""),
      measured: shown(what, rate),
      against: `${rounds(what, rate)}native ${shown(what, other)}`,
      ratio: other / rate,
      ...(task.goal === undefined ? {} : { goal: task.goal }),
    };
  }
}

/** Returns the highest rates: other load only lowers them. */
function keepBest(best: Rates, rates: Rates): void {
  for (const [what, rate] of rates) best.set(what, Math.max(rate, best.get(what) ?? 0));
}

function shown(what: string, rate: number): string {
  if (what === "pass-through") return `${(rate / 1e9).toFixed(2)} GB/s`;
  const calls = rate * callsOf(what);
  return calls < 1e6 ? `${Math.round(calls / 1e3)} k/s` : `${(calls / 1e6).toFixed(2)} M/s`;
}

/** The kernel names a round by its calls: "create+close". */
function callsOf(what: string): number {
  return what.split("+").length;
}

function rounds(what: string, rate: number): string {
  return callsOf(what) === 1 ? "" : `${Math.round(rate / 1e3)} k rounds/s  `;
}

async function inExecutor({ wasm }: Kernel, { args, stdin = 0 }: Task): Promise<Rates> {
  const module = await Deno.readFile(wasm);
  const socketDir = await Deno.makeTempDir({ prefix: "pl" });
  await using executor = new Executor({ socketDir });
  await executor.ready();
  await Deno.remove(socketDir, { recursive: true });
  const limits = limitsOf({ ...DEFAULT_RESOURCES, timeout_seconds: 600 }, DEFAULT_CEILINGS);
  const job = { module, args, env: {}, limits, stdin: pieces(stdin) };
  const decoder = new TextDecoder();
  let report = "";
  for await (const event of runSandbox(job, { executor })) {
    if (event.type === "stderr") report += decoder.decode(event.data, { stream: true });
    if (event.type === "finished" && event.outcome.exitCode !== 0) {
      throw new Error(`Job failed: ${event.outcome.status} ${event.outcome.exitCode} ${report}`);
    }
  }
  return parse(report);
}

async function natively({ native }: Kernel, { args, stdin = 0 }: Task): Promise<Rates> {
  const cwd = await Deno.makeTempDir({ prefix: "plasm-bench-" });
  try {
    const child = new Deno.Command(native!, {
      args,
      cwd,
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const feeding = pieces(stdin).pipeTo(child.stdin);
    const draining = child.stdout.pipeTo(new WritableStream());
    const report = await new Response(child.stderr).text();
    await Promise.all([feeding, draining]);
    if (!(await child.status).success) throw new Error(`Native program failed: ${report}`);
    return parse(report);
  } finally {
    await Deno.remove(cwd, { recursive: true });
  }
}

/** Creates a stream of the given length that repeats one chunk. */
function pieces(bytes: number): ReadableStream<Uint8Array<ArrayBuffer>> {
  const piece = new Uint8Array(PIECE_BYTES);
  let left = bytes;
  return new ReadableStream({
    pull(controller): void {
      if (left === 0) return controller.close();
      left -= piece.length;
      controller.enqueue(piece);
    },
  });
}

/** Parses lines of operation, count and nanoseconds. */
function parse(report: string): Rates {
  const rates: Rates = new Map();
  for (const [, what, count, ns] of report.matchAll(/^(.+) (\d+) (\d+)$/gm)) {
    rates.set(what!, Number(count) / Number(ns) * 1e9);
  }
  if (rates.size === 0) throw new Error(`No results in the report: ${report}`);
  return rates;
}
