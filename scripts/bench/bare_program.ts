/**
 * Compiles minimal programs with the binary's runtime, as a lower bound for start-up time.
 * @module
 */
import { NPM_DENO, npmRuntime } from "../compile/npm_runtime.ts";
import { run } from "../compile/process.ts";
import { DIST } from "../compile/targets.ts";

/** Minimal programs. */
export interface BarePrograms extends AsyncDisposable {
  /** Prints one line. */
  hello: string;
  /** Starts a worker without permissions, waits for its first message and exits. */
  worker: string;
  /** Starts the program named by its arguments as a host starts its child, and waits for its exit. */
  parent: string;
}

const HELLO = 'console.log("hello");';
const WORKER = `const url = new URL("./idle.js", import.meta.url);
const worker = new Worker(url, { type: "module", deno: { permissions: "none" } });
worker.onmessage = () => Deno.exit(0);`;
const IDLE = "postMessage(0);";

const PARENT = `const [program, ...args] = Deno.args;
const pipes = { stdin: "piped", stdout: "piped", stderr: "piped" };
const options = { args, clearEnv: true, cwd: "/", detached: true, ...pipes };
const { code } = await new Deno.Command(program, options).spawn().status;
Deno.exit(code);`;

/**
 * Compiles the programs.
 *
 * @param version Deno version of the binary under test: start-up differs between runtimes.
 */
export async function compileBarePrograms(version: string): Promise<BarePrograms> {
  const dir = await Deno.makeTempDir({ prefix: "plasm-bench-" });
  const remove = () => Deno.remove(dir, { recursive: true });
  try {
    await Deno.writeTextFile(`${dir}/hello.js`, HELLO);
    await Deno.writeTextFile(`${dir}/worker.js`, WORKER);
    await Deno.writeTextFile(`${dir}/idle.js`, IDLE);
    await Deno.writeTextFile(`${dir}/parent.js`, PARENT);
    const isOwn = version === Deno.version.deno;
    const deno = isOwn ? [Deno.execPath()] : ["npx", "-y", NPM_DENO];
    const env = isOwn
      ? {}
      : { DENORT_BIN: (await npmRuntime(Deno.build.target, new URL(".cache/", DIST))).file };
    for (const name of ["hello", "worker", "parent"]) {
      const flags = ["--quiet", "--no-config", "--unstable-worker-options", "--include=idle.js"];
      const allowed = name === "parent" ? ["--allow-run"] : [];
      const output = `--output=${name}`;
      const command = [...deno, "compile", ...flags, ...allowed, output, `${name}.js`];
      await run(command, { cwd: dir, env });
    }
    return {
      hello: `${dir}/hello`,
      worker: `${dir}/worker`,
      parent: `${dir}/parent`,
      [Symbol.asyncDispose]: remove,
    };
  } catch (error) {
    await remove();
    throw error;
  }
}
