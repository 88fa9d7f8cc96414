/**
 * How long the binary takes to start, next to a bare hello compiled with the same runtime and timed in
 * turn with it, so that what else the machine does counts for both.
 *
 *     deno task compile && deno run --allow-read --allow-write --allow-run scripts/bench_start.ts [--runtime npm]
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { NPM_DENO, npmRuntime } from "./compile/npm_runtime.ts";
import { run } from "./compile/process.ts";
import { binaryFile, DIST, LINUX_TARGETS } from "./compile/targets.ts";

/** Pairs of runs: enough for a median that one disturbance does not move. */
const RUNS = 50;

const target = LINUX_TARGETS.find(({ triple }) => triple === Deno.build.target);
if (target === undefined) throw new Error(`There is no binary for ${Deno.build.target}`);
const plasm = decodeURIComponent(binaryFile(target).pathname);
const { runtime } = parseArgs(Deno.args, { string: ["runtime"] });
const dir = await Deno.makeTempDir({ prefix: "plasm-bench-" });
try {
  await Deno.writeTextFile(`${dir}/hello.js`, 'console.log("hello")');
  const compile = ["compile", "--quiet", "--no-config", "--output=hello", "hello.js"];
  if (runtime === "npm") {
    const { file } = await npmRuntime(target.triple, new URL(".cache/", DIST));
    const env = { DENORT_BIN: file };
    await run(["npx", "-y", NPM_DENO, ...compile], { cwd: dir, env });
  } else await run([Deno.execPath(), ...compile], { cwd: dir });
  for (const args of [["version"], ["--help"], ["exec", "--help"]]) {
    const times: [number, number][] = [];
    for (let i = 0; i <= RUNS; i++) {
      const pair: [number, number] = [await time([plasm, ...args]), await time([`${dir}/hello`])];
      // The first pair fills the disk's cache.
      if (i > 0) times.push(pair);
    }
    const [own, hello] = [median(times.map(([a]) => a)), median(times.map(([, b]) => b))];
    const ratio = median(times.map(([a, b]) => a / b));
    console.log(
      `plasm ${args.join(" ").padEnd(12)} ${own.toFixed(1)} ms, hello ${hello.toFixed(1)} ms, ` +
        `median of the ratios ${ratio.toFixed(2)}`,
    );
  }
} finally {
  await Deno.remove(dir, { recursive: true });
}

async function time(command: string[]): Promise<number> {
  const start = performance.now();
  await run(command);
  return performance.now() - start;
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1]!;
}
