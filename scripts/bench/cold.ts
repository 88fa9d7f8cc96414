/**
 * Measures start-up and a single job of the binary against minimal programs compiled with the same runtime. Runs are
 * interleaved so that other load affects both alike. The lower bound for running a guest in a separate, confined
 * process is two minimal programs, one of which starts the other.
 * @module
 */
import { confineCommand, probeConfinement } from "../../lib/sandbox/host/spawn/confinement.ts";
import { EXECUTOR_COMMAND } from "../../lib/sandbox/bootstrap/mod.ts";
import { run } from "../compile/process.ts";
import { binaryFile, LINUX_TARGETS } from "../compile/targets.ts";
import { compileBarePrograms } from "./bare_program.ts";
import { type BenchRow, type BenchSection, median } from "./row.ts";

/** Rounds per program; the median tolerates a single disturbance. */
const ROUNDS = 40;

/** Lower bound for a confined child process. */
const TWO = "two bare processes";

/** Runs once and returns the elapsed time in ms. */
type Start = () => Promise<number>;

/** Measures a program from its start to its exit. */
function whole(command: readonly string[], stdin?: Uint8Array): Start {
  return async () => {
    const [program, ...args] = command;
    const begin = performance.now();
    const child = new Deno.Command(program!, {
      args,
      stdin: stdin === undefined ? "null" : "piped",
      stdout: "null",
      stderr: "null",
    }).spawn();
    if (stdin !== undefined) {
      const writer = child.stdin.getWriter();
      await writer.write(stdin);
      await writer.close();
    }
    const { success } = await child.status;
    if (!success) throw new Error(`Failed: ${command.join(" ")}`);
    return performance.now() - begin;
  };
}

/** Measures a program from its start to its first byte of output, then stops it. */
function untilOutput(command: readonly string[]): Start {
  return async () => {
    const [program, ...args] = command;
    const begin = performance.now();
    const child = new Deno.Command(program!, {
      args,
      clearEnv: true,
      cwd: "/",
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    const reader = child.stdout.getReader();
    const { done } = await reader.read();
    const elapsed = performance.now() - begin;
    if (done) throw new Error(`No output from: ${command.join(" ")}`);
    await reader.cancel();
    await child.stdin.close();
    await child.status;
    return elapsed;
  };
}

/** Section `cold`. */
export const cold: BenchSection = async function* ({ binary, signal }) {
  const target = LINUX_TARGETS.find(({ triple }) => triple === Deno.build.target);
  if (target === undefined) throw new Error(`No binary for ${Deno.build.target}`);
  const plasm = await Deno.realPath(binary ?? decodeURIComponent(binaryFile(target).pathname));
  const { deno } = JSON.parse(await run([plasm, "version", "--json"]));
  await using bare = await compileBarePrograms(deno);
  const hello = decodeURIComponent(
    new URL("../../examples/hello/hello.wasm", import.meta.url).pathname,
  );
  const component = decodeURIComponent(
    new URL("../../tests/fixtures/components/hello.wasm", import.meta.url).pathname,
  );
  const possible = probeConfinement();
  const chain = possible === undefined ? [] : confineCommand(possible, { dataBytes: 2 ** 28 });
  const starts: Record<string, Start> = {
    "bare hello": whole([bare.hello]),
    "bare worker": whole([bare.worker]),
    [TWO]: whole([bare.parent, ...chain, bare.worker]),
    "version": whole([plasm, "version"]),
    "--help": whole([plasm, "--help"]),
    "exec --help": whole([plasm, "exec", "--help"]),
    "exec hello": whole([plasm, "exec", hello], new TextEncoder().encode("Hello, World")),
    "exec hello, component": whole(
      [plasm, "exec", component],
      new TextEncoder().encode("Hello, World"),
    ),
    "  executor until ready": untilOutput([plasm, EXECUTOR_COMMAND]),
    "  the same, confined": untilOutput([...chain, plasm, EXECUTOR_COMMAND]),
  };
  if (possible !== undefined) {
    starts["  confinement alone"] = whole([...chain, "/usr/bin/setpriv", "--version"]);
  }
  const times: Record<string, number[]> = {};
  // The first round warms the page cache.
  for (let round = -1; round < ROUNDS && !signal.aborted; round++) {
    for (const [what, start] of Object.entries(starts)) {
      const time = await start();
      if (round >= 0) (times[what] ??= []).push(time);
    }
  }
  if (signal.aborted) return;
  const row = (what: string, against: string, goal?: string): BenchRow => ({
    what,
    measured: ms(median(times[what]!)),
    against: `${against} ${ms(median(times[against]!))}`,
    ratio: median(times[what]!.map((time, n) => time / times[against]![n]!)),
    ...(goal === undefined ? {} : { goal }),
  });
  for (const what of ["version", "--help", "exec --help"]) yield row(what, "bare hello", "≤ 1.3");
  yield row("exec hello", "bare worker", "≤ 1.2");
  yield row(TWO, "bare worker");
  yield row("exec hello", TWO);
  yield row("exec hello, component", "exec hello", "≤ 1.5");
  for (const what of Object.keys(starts).filter((name) => name.startsWith("  "))) {
    yield row(what, "bare worker");
  }
};

function ms(value: number): string {
  return `${value.toFixed(1)} ms`;
}
