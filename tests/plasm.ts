/**
 * Runs the real program in a child process: from source with exactly the permissions of the `plasm`
 * task, or the binary that `PLASM_BINARY` names.
 * @module
 */
import config from "../deno.json" with { type: "json" };

const ROOT = decodeURIComponent(new URL("../", import.meta.url).pathname);

/** Options of {@linkcode plasm} and {@linkcode spawnPlasm}. */
export interface PlasmOptions {
  /** Standard input. @default {empty} */
  stdin?: Uint8Array | string;
  /** Variables added to an empty environment. @default {{}} */
  env?: Record<string, string>;
  /** The program and its first arguments. @default {$PLASM_BINARY, else from source} */
  program?: readonly string[];
}

/** What a finished process left. */
export interface PlasmResult {
  code: number;
  stdout: string;
  stderr: string;
  bytes: Uint8Array;
}

/** Starts the program with all three streams piped. */
export function spawnPlasm(args: string[], options: PlasmOptions = {}): Deno.ChildProcess {
  const [path, ...prefix] = options.program ?? programCommand();
  return new Deno.Command(path!, {
    args: [...prefix, ...args],
    clearEnv: true,
    env: {
      // Deno's own cache is looked for under HOME.
      ...pick("HOME", "DENO_DIR", "XDG_CACHE_HOME"),
      NO_COLOR: "1",
      ...options.env,
    },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** Runs the program to its end. */
export async function plasm(args: string[], options: PlasmOptions = {}): Promise<PlasmResult> {
  const child = spawnPlasm(args, options);
  const { stdin = "" } = options;
  const writing = new Blob([stdin as Uint8Array<ArrayBuffer>]).stream().pipeTo(child.stdin)
    // A program may end without reading its input.
    .catch(() => {});
  const { code, stdout, stderr } = await child.output();
  await writing;
  return {
    code,
    bytes: stdout,
    stdout: new TextDecoder().decode(stdout),
    stderr: new TextDecoder().decode(stderr),
  };
}

/** A temporary directory that is also the state directory of what runs in the callback. */
export async function withTempDir<T>(run: (dir: string) => Promise<T>): Promise<T> {
  const dir = await Deno.makeTempDir({ prefix: "plasm-test-" });
  try {
    return await run(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** How the program is started: `$PLASM_BINARY`, else from source. */
export function programCommand(): string[] {
  const binary = Deno.env.get("PLASM_BINARY");
  if (binary !== undefined) return [binary];
  const [, ...flags] = config.tasks.plasm.command.split(" ");
  return [Deno.execPath(), ...flags.slice(0, -1), "--config", `${ROOT}deno.json`, `${ROOT}main.ts`];
}

function pick(...names: string[]): Record<string, string> {
  return Object.fromEntries(
    names.map((name) => [name, Deno.env.get(name)]).filter(([, value]) => value !== undefined),
  );
}
