/**
 * Measures jobs that return files: one large file against the same bytes as standard output of `plasm exec --pipe`, and
 * many small files. Each way ends with the content in files of the temporary directory. Runs are interleaved; the
 * minimum counts, except for memory.
 *
 * @module
 */
import { DaemonProcess, environment } from "../../tests/fixtures/daemon/daemon_process.ts";
import { fileGuest } from "../../tests/fixtures/file_guest.ts";
import { programCommand } from "../../tests/fixtures/plasm.ts";
import type { BenchRow, BenchSection } from "./row.ts";

/** Rounds; load only adds time. */
const ROUNDS = 3;

/** Size of a write, in bytes. */
const PIECE_BYTES = 64 * 1024;

/** Size of the large file, in bytes. */
const LARGE_BYTES = 2 ** 30;

const SMALL_FILES = 10_000;

/** Interval at which the client's memory is read, in milliseconds. */
const SAMPLING_MS = 200;

/** Ceilings of the daemon, in bytes: by default a job's files have at most 256 MiB. */
const CEILINGS = {
  "jobs.ceilings.fs_bytes": 2 * LARGE_BYTES,
  "jobs.ceilings.output_files_bytes": LARGE_BYTES,
  "retention.bytes": 16 * LARGE_BYTES,
};

/** Section `files`. */
export const files: BenchSection = async function* ({ binary, signal }) {
  const program = binary === undefined ? programCommand() : [await Deno.realPath(binary)];
  const dir = await Deno.makeTempDir({ prefix: "pl" });
  try {
    const text = "0123456789abcdef".repeat(PIECE_BYTES / 16);
    const count = LARGE_BYTES / PIECE_BYTES;
    const modules = {
      print: [{ print: text, count }],
      large: [{ mkdir: "out" }, { write: "out/large", text, count }],
      small: [{ mkdir: "out" }, { many: "out/", count: SMALL_FILES }],
    };
    for (const [name, steps] of Object.entries(modules)) {
      await Deno.writeFile(`${dir}/${name}.wasm`, await fileGuest(steps));
    }
    await using daemon = await DaemonProcess.start({ dir, set: CEILINGS, program });
    const exec = (...args: string[]): Promise<Run> =>
      run([...program, "exec", ...args], { dir, keepsFiles: args.at(-1)!.endsWith("small.wasm") });
    const large = ["--memory-mb", "1024", "--timeout", "300", "--output", "out/"];
    const times = await interleaved({
      stdout: () => exec("--pipe", "--timeout", "300", `${dir}/print.wasm`),
      pipe: () => exec("--pipe", ...large, `${dir}/large.wasm`),
      daemon: () => exec("--daemon", ...large, `${dir}/large.wasm`),
    }, signal);
    const baseline = times.stdout!;
    for (const way of ["pipe", "daemon"] as const) {
      yield {
        what: `1 GiB as a file, exec --${way}`,
        measured: seconds(times[way]!.seconds),
        against: `as stdout of exec --pipe ${seconds(baseline.seconds)}`,
        ratio: times[way]!.seconds / baseline.seconds,
        goal: "≤ 1.25",
      };
    }
    yield memory("client", times.daemon!.peakBytes);
    yield memory("daemon", await peakBytes(daemon.pid));
    const small = await interleaved({
      "exec": () => exec("--output", "out/", `${dir}/small.wasm`),
      "exec --pipe": () => exec("--pipe", "--output", "out/", `${dir}/small.wasm`),
      "exec --daemon": () => exec("--daemon", "--output", "out/", `${dir}/small.wasm`),
    }, signal);
    for (const [way, { seconds: time }] of Object.entries(small)) {
      yield { what: `10,000 small files, ${way}`, measured: seconds(time), goal: "≤ 3 s" };
    }
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
};

/** What was measured of one command. */
interface Run {
  seconds: number;
  /** Peak resident memory of the client, in bytes. */
  peakBytes: number;
}

/** Options of {@linkcode run}. */
interface RunOptions {
  /** Directory of the daemon and of the files. */
  dir: string;
  /**
   * Whether the files are left: for a minute after a tree is removed, ext4 looks for each new file at the places of all
   * removed ones, which takes longer than everything else.
   */
  keepsFiles: boolean;
}

async function run(command: readonly string[], { dir, keepsFiles }: RunOptions): Promise<Run> {
  const cwd = await Deno.makeTempDir({ dir, prefix: "w" });
  try {
    const start = performance.now();
    const child = new Deno.Command("sh", {
      args: ["-c", 'exec "$@" > stdout', "sh", ...command],
      cwd,
      env: environment(dir),
      stdin: "null",
    }).spawn();
    let peak = 0;
    const sampling = setInterval(async () => {
      peak = Math.max(peak, await peakBytes(child.pid));
    }, SAMPLING_MS);
    const { success } = await child.status;
    clearInterval(sampling);
    if (!success) throw new Error(`Command failed: ${command.join(" ")}`);
    return { seconds: (performance.now() - start) / 1000, peakBytes: peak };
  } finally {
    if (!keepsFiles) await Deno.remove(cwd, { recursive: true });
  }
}

/** Runs all in turn; the fastest time and the largest peak count. */
async function interleaved<Name extends string>(
  ways: Record<Name, () => Promise<Run>>,
  signal: AbortSignal,
): Promise<Record<Name, Run>> {
  const best: Record<string, Run> = {};
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, start] of Object.entries(ways) as [Name, () => Promise<Run>][]) {
      signal.throwIfAborted();
      const one = await start();
      const { seconds, peakBytes } = best[name] ?? one;
      best[name] = {
        seconds: Math.min(seconds, one.seconds),
        peakBytes: Math.max(peakBytes, one.peakBytes),
      };
    }
  }
  return best as Record<Name, Run>;
}

/** Peak resident memory of a process. */
async function peakBytes(pid: number): Promise<number> {
  // Another program may read /proc without all permissions.
  const { stdout } = await new Deno.Command("cat", {
    args: [`/proc/${pid}/status`],
    stderr: "null",
  }).output();
  return Number(/VmHWM:\s+(\d+) kB/.exec(new TextDecoder().decode(stdout))?.[1] ?? 0) * 1024;
}

function memory(process: string, bytes: number): BenchRow {
  return {
    what: `1 GiB as a file, peak of ${process}`,
    measured: `${Math.round(bytes / 2 ** 20)} MiB`,
  };
}

function seconds(value: number): string {
  return `${value.toFixed(2)} s`;
}
