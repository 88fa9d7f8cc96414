/**
 * Compiles the binaries to `dist/TARGET/plasm` and writes `dist/SHA256SUMS`.
 *
 *     deno task compile [--target TRIPLE …] [--runtime npm] [--commit HASH]
 *
 * `--runtime npm` takes the runtime from npm instead of Deno's download site; see compile/npm_runtime.ts.
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { type Bundle, bundleProgram } from "./compile/bundle.ts";
import { writeChecksums } from "./compile/checksums.ts";
import { BAKED_FLAGS } from "./compile/flags.ts";
import { NPM_DENO, npmRuntime } from "./compile/npm_runtime.ts";
import { run } from "./compile/process.ts";
import {
  binaryFile,
  DIST,
  LINUX_TARGETS,
  productNames,
  type Target,
  TARGETS,
} from "./compile/targets.ts";

/** Directory for intermediate files; safe to delete. */
const CACHE = new URL(".cache/", DIST);

/** Source of the runtime. */
export type RuntimeSource = "official" | "npm";

/** Options of {@linkcode compile}. */
export interface CompileOptions {
  /**
   * Targets to compile for.
   * @default {the Linux targets}
   */
  targets?: readonly Target[];
  /**
   * Source of the runtime: Deno's download site or npm.
   * @default {"official"}
   */
  runtime?: RuntimeSource;
  /**
   * Commit recorded in the binary.
   * @default {output of git rev-parse, or null}
   */
  commit?: string | null;
}

/** Compiles each target reproducibly. */
export async function compile(options: CompileOptions = {}): Promise<void> {
  const { targets = LINUX_TARGETS, runtime = "official", commit = await gitCommit() } = options;
  const stage = new URL("stage/", CACHE);
  const bundle = await bundleProgram({ stage, commit });
  for (const target of targets) {
    const output = binaryFile(target);
    await Deno.mkdir(new URL("./", output), { recursive: true });
    const arguments_ = compilerArguments(target, bundle);
    if (runtime === "npm") {
      const found = await npmRuntime(target.triple, CACHE);
      console.log(`runtime   denort from ${found.package}, sha256 ${found.sha256}`);
      await run(["npx", "-y", NPM_DENO, ...arguments_], {
        cwd: stage,
        env: { DENORT_BIN: found.file },
      });
    } else {
      await run([Deno.execPath(), ...arguments_], { cwd: stage }).catch((error: Error) => {
        const hint = "hint: If Deno's download site is unreachable, use --runtime npm";
        throw new Error(`${error.message}\n${hint}`);
      });
    }
    const { size } = await Deno.stat(output);
    console.log(`compiled  ${target.triple}, ${(size / 1e6).toFixed(1)} MB`);
  }
  console.log(await writeChecksums(DIST, productNames()));
}

/** Returns the arguments of `deno compile` for one target. */
export function compilerArguments(target: Target, bundle: Bundle): string[] {
  return [
    "compile",
    "--quiet",
    "--no-config",
    "--no-lock",
    "--no-check",
    `--target=${target.triple}`,
    ...BAKED_FLAGS,
    ...bundle.include.map((name) => `--include=${name}`),
    `--output=${decodeURIComponent(binaryFile(target).pathname)}`,
    bundle.entry,
  ];
}

/** Returns the commit of the working tree, marked if files differ from it; null without git. */
async function gitCommit(): Promise<string | null> {
  try {
    const options = { cwd: new URL("../", import.meta.url) };
    const commit = (await run(["git", "rev-parse", "HEAD"], options)).trim();
    const changed = await run(["git", "status", "--porcelain", "--untracked-files=no"], options);
    return changed === "" ? commit : `${commit}-dirty`;
  } catch {
    return null;
  }
}

/** Parses the command line; throws on unknown arguments. */
export function parseOptions(args: string[]): CompileOptions {
  const known = ["target", "runtime", "commit"];
  const parsed = parseArgs(args, {
    string: known,
    collect: ["target"],
    unknown: (arg) => {
      throw new Error(`Unknown argument: ${arg}; known: ${known.map((name) => `--${name}`)}`);
    },
  });
  const targets = (parsed["target"] as string[] | undefined ?? []).map((triple) => {
    const target = TARGETS.find((one) => one.triple === triple);
    if (target !== undefined) return target;
    throw new Error(`Unknown target: ${triple}; known: ${TARGETS.map((one) => one.triple)}`);
  });
  const runtime = parsed["runtime"] as string | undefined ?? "official";
  if (runtime !== "official" && runtime !== "npm") {
    throw new Error(`Unknown runtime: ${runtime}; known: official, npm`);
  }
  const commit = parsed["commit"] as string | undefined;
  return {
    runtime,
    ...(targets.length === 0 ? {} : { targets }),
    ...(commit === undefined ? {} : { commit }),
  };
}

if (import.meta.main) {
  try {
    await compile(parseOptions(Deno.args));
  } catch (error) {
    console.error(`Cannot compile: ${error instanceof Error ? error.message : error}`);
    Deno.exit(1);
  }
}
