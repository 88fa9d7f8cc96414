/**
 * Jobs that read, write and use files, in a ready executor that is joined as a daemon's are; the same
 * calls by a native program on the system's own pipes and temporary directory beside it. The jobs' own
 * clock counts. An operation is one call that the job makes, as open or close; of a round of several, the
 * rounds are shown too. What is passed through is measured twice: inside an executor, and with the way
 * from this process into the executor's and out of it again, which the native program has as well.
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

/** What is handed over at once: what the daemon reads at once from a large input. */
const PIECE_BYTES = 256 * 1024;

const WRITES = 1_000_000;

const FILES = [10, 100_000];

/** Rounds a second by what they were; bytes a second for `pass-through`. */
type Rates = Map<string, number>;

/** See the module. */
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
  /** Follows what was done in the table. @default {nothing} */
  suffix?: string;
  /** What the issue asks of it. @default {nothing} */
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

/** The highest counts: other load only ever takes away. */
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
      throw new Error(`The job ended: ${event.outcome.status} ${event.outcome.exitCode} ${report}`);
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
    if (!(await child.status).success) throw new Error(`The native program failed: ${report}`);
    return parse(report);
  } finally {
    await Deno.remove(cwd, { recursive: true });
  }
}

/** A stream of so many bytes, always the same piece. */
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

/** Lines of what was done, how often, and nanoseconds. */
function parse(report: string): Rates {
  const rates: Rates = new Map();
  for (const [, what, count, ns] of report.matchAll(/^(.+) (\d+) (\d+)$/gm)) {
    rates.set(what!, Number(count) / Number(ns) * 1e9);
  }
  if (rates.size === 0) throw new Error(`The program reported nothing: ${report}`);
  return rates;
}
