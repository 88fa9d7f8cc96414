/**
 * Bundles the program before compilation, so that the binary embeds only what it uses and starts faster.
 * @module
 */
import { renameChunks } from "./chunk_names.ts";
import { run } from "./process.ts";

const ROOT = new URL("../../", import.meta.url);
const ENTRY = "main.js";

/** Worker entry point. Loaded by URL, from the path used in lib/sandbox/child/worker_control.ts. */
const WORKER = "worker.ts";

/** Build information read by lib/cli/commands/node_commands.ts. */
const BUILD_INFO = "build.json";

/** Fixed modification time: the compiler embeds the times of files. */
const FILE_TIME = new Date("2020-01-01T00:00:00Z");

/**
 * npm:@achingbrain/ssdp reads its own package.json for its advertised name, through a call that bundlers cannot
 * follow.
 */
const SSDP_REQUIRE = /\("\.\.\/\.\.\/package\.json"\)/g;
const SSDP_PACKAGE = { file: "ssdp_package.json", content: { name: "ssdp", version: "4" } };

/**
 * CommonJS packages `require` Node's built-in modules, which ES modules cannot. Importing `node:module` would load it
 * at every start; `process.getBuiltinModule` resolves them on use.
 */
const REQUIRE_MISSING = "Dynamic require of";
const REQUIRE = "const require=(name)=>{const module=process.getBuiltinModule(name);" +
  'if(module===undefined)throw new Error(`Not embedded: "${name}"`);return module};\n';

/** Bundle on disk. */
export interface Bundle {
  /** Entry point to compile. */
  entry: string;
  /** Additional files to embed, which no module imports. */
  include: string[];
}

/** Options of {@linkcode bundleProgram}. */
export interface BundleOptions {
  /** Output directory; emptied first. */
  stage: URL;
  /** Commit shown by `plasm version`. */
  commit: string | null;
}

/** Bundles main.ts, split into chunks that load on demand, and the guest's worker. */
export async function bundleProgram({ stage, commit }: BundleOptions): Promise<Bundle> {
  await Deno.remove(stage, { recursive: true }).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
  const raw = new URL("raw/", stage);
  await Deno.mkdir(raw, { recursive: true });
  const bundle = [Deno.execPath(), "bundle", "--quiet", "--platform=deno", "--minify"];
  const path = decodeURIComponent(raw.pathname);
  await run([...bundle, "--keep-names", "--code-splitting", "--outdir", path, "main.ts"], {
    cwd: ROOT,
  });
  const files = new Map<string, string>();
  for await (const { name } of Deno.readDir(raw)) {
    files.set(name, await Deno.readTextFile(new URL(name, raw)));
  }
  const output = renameChunks(files, ENTRY);
  await run([...bundle, "--output", `${path}${WORKER}`, "lib/sandbox/worker/worker.ts"], {
    cwd: ROOT,
  });
  output.set(WORKER, await Deno.readTextFile(new URL(WORKER, raw)));
  output.set(BUILD_INFO, JSON.stringify({ commit }));
  for (const [name, text] of output) {
    if (text.includes(REQUIRE_MISSING)) output.set(name, REQUIRE + text);
  }
  const include = [WORKER, BUILD_INFO];
  if (replaceRequires(output)) {
    output.set(SSDP_PACKAGE.file, JSON.stringify(SSDP_PACKAGE.content));
    include.push(SSDP_PACKAGE.file);
  }
  await Deno.remove(raw, { recursive: true });
  for (const [name, text] of output) {
    await Deno.writeTextFile(new URL(name, stage), text);
    await Deno.utime(new URL(name, stage), FILE_TIME, FILE_TIME);
  }
  return { entry: ENTRY, include };
}

/** Returns whether the file contained the call; a file that is not embedded would fail only when loaded. */
function replaceRequires(files: Map<string, string>): boolean {
  let replaced = 0;
  let creators = 0;
  for (const [name, text] of files) {
    creators += text.match(/createRequire\w*\s*(?:as\s+\w+)?\s*\}\s*from/g)?.length ?? 0;
    files.set(
      name,
      text.replace(SSDP_REQUIRE, () => {
        replaced++;
        return `("./${SSDP_PACKAGE.file}")`;
      }),
    );
  }
  if (replaced !== creators || replaced > 1) {
    throw new Error(
      `Unsupported createRequire calls in the bundle: found ${creators}, replaced ${replaced}`,
    );
  }
  return replaced === 1;
}
