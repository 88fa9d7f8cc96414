/**
 * Measures the second `plasm exec` of large programs against wasmtime with a warm cache (PyPI `wasmtime` in the python3
 * of PATH), which takes minutes to fill it. Needs the compiled program, npm and python3.
 *
 * @module
 */
import { delay } from "../../lib/util/async/mod.ts";
import { fetchPackage } from "../../tests/fixtures/interop/npm_package.ts";
import { fetchPython } from "../../tests/fixtures/interop/python.ts";
import { run } from "../compile/process.ts";
import { binaryFile, LINUX_TARGETS } from "../compile/targets.ts";
import { compileBarePrograms } from "./bare_program.ts";
import { type BenchRow, type BenchSection, median } from "./row.ts";

/** Runs of each program, in turns. */
const ROUNDS = 15;

/** Time for which the background daemon stays, in seconds. */
const LINGER_SECONDS = 20;

/** Runs a module as `plasm exec` does: arguments, standard output and error; its cache is on. */
const WASMTIME = `import sys, wasmtime
config = wasmtime.Config(); config.cache = True
engine = wasmtime.Engine(config)
linker = wasmtime.Linker(engine); linker.define_wasi()
store = wasmtime.Store(engine)
wasi = wasmtime.WasiConfig(); wasi.argv = sys.argv[2:]; wasi.inherit_stdout(); wasi.inherit_stderr()
store.set_wasi(wasi)
module = wasmtime.Module.from_file(engine, sys.argv[1])
try:
    linker.instantiate(store, module).exports(store)["_start"](store)
except wasmtime.ExitTrap as trap:
    sys.exit(trap.code)`;

/** A program and the arguments of a short run. */
interface Program {
  name: string;
  module: string;
  args: string[];
}

/** Programs from npm, as far as it can download them. */
async function programs(dir: string): Promise<Program[]> {
  const clang = await fetchPackage("@yowasp/clang@22.0.0-git20542-10", dir);
  const kept = `${dir}/clang.wasm`;
  if (clang !== undefined) await Deno.rename(`${clang}/gen/llvm.core.wasm`, kept);
  const python = await fetchPython(dir);
  return [
    ...clang === undefined
      ? []
      : [{ name: "clang --version", module: kept, args: ["clang", "--version"] }],
    ...python === undefined
      ? []
      : [{ name: "CPython, print(1)", module: python, args: ["python", "-c", "print(1)"] }],
  ];
}

interface Timed {
  ms: number;
  stdout: string;
}

async function time(command: readonly string[], env: Record<string, string>): Promise<Timed> {
  const [path, ...args] = command;
  const begin = performance.now();
  const { success, stdout } = await new Deno.Command(path!, { args, env, stdin: "null" }).output();
  const ms = performance.now() - begin;
  if (!success) throw new Error(`Failed: ${command.join(" ")}`);
  return { ms, stdout: new TextDecoder().decode(stdout) };
}

/** Section `large`. */
export const large: BenchSection = async function* ({ binary, signal }) {
  const target = LINUX_TARGETS.find(({ triple }) => triple === Deno.build.target);
  if (target === undefined) throw new Error(`No binary for ${Deno.build.target}`);
  const plasm = await Deno.realPath(binary ?? decodeURIComponent(binaryFile(target).pathname));
  const dir = await Deno.makeTempDir();
  const env = { PLASM_STATE_DIR: `${dir}/state`, PLASM_EXEC_LINGER_SECONDS: `${LINGER_SECONDS}` };
  try {
    for (const { name, module, args } of await programs(dir)) {
      const options = ["--memory-mb", "2048", "--timeout", "280", "--argv0", args[0]!];
      const exec = [plasm, "exec", ...options, module, "--", ...args.slice(1)];
      const wasmtime = ["python3", "-c", WASMTIME, module, ...args];
      await time(wasmtime, env); // fills the cache
      const first = await time(exec, { ...env, PLASM_EXEC_LINGER_SECONDS: "0" });
      const starting = await time(exec, env);
      const [ours, theirs]: [number[], number[]] = [[], []];
      for (let round = 0; round < ROUNDS && !signal.aborted; round++) {
        const [second, other] = [await time(exec, env), await time(wasmtime, env)];
        if (second.stdout !== other.stdout) throw new Error(`${name}: outputs differ`);
        ours.push(second.ms);
        theirs.push(other.ms);
      }
      if (signal.aborted) return;
      yield {
        what: `${name}, first run`,
        measured: ms(starting.ms),
        against: `without a daemon ${ms(first.ms)}`,
        ratio: starting.ms / first.ms,
      };
      yield {
        what: `${name}, second run`,
        measured: ms(median(ours)),
        against: `wasmtime, warm cache ${ms(median(theirs))}`,
        ratio: median(ours.map((value, round) => value / theirs[round]!)),
        goal: "≤ 1.2",
      };
    }
    yield* helloRows(plasm, { env, signal });
  } finally {
    await untilEnded(`${dir}/state/exec/plasm.sock`);
    await Deno.remove(dir, { recursive: true });
  }
};

/** hello in the daemon that a large program has started. */
async function* helloRows(
  plasm: string,
  { env, signal }: { env: Record<string, string>; signal: AbortSignal },
): AsyncGenerator<BenchRow> {
  const { deno } = JSON.parse(await run([plasm, "version", "--json"]));
  await using bare = await compileBarePrograms(deno);
  const hello = decodeURIComponent(
    new URL("../../examples/hello/hello.wasm", import.meta.url).pathname,
  );
  const [ours, theirs]: [number[], number[]] = [[], []];
  for (let round = 0; round < ROUNDS && !signal.aborted; round++) {
    ours.push((await time([plasm, "exec", hello], env)).ms);
    theirs.push((await time([bare.hello], env)).ms);
  }
  if (signal.aborted) return;
  yield {
    what: "hello beside a large program",
    measured: ms(median(ours)),
    against: `bare hello ${ms(median(theirs))}`,
    ratio: median(ours.map((value, round) => value / theirs[round]!)),
    goal: "≤ 1.5",
  };
}

/** Waits until the daemon accepts no connections any more. */
async function untilEnded(socket: string): Promise<void> {
  for (;;) {
    try {
      (await Deno.connect({ transport: "unix", path: socket })).close();
    } catch {
      return;
    }
    await delay(200);
  }
}

function ms(value: number): string {
  return `${value.toFixed(0)} ms`;
}
