/**
 * Bundles the program for the compiler: what is embedded is then what is used, and it starts faster.
 * @module
 */
import { renameChunks } from "./chunk_names.ts";
import { run } from "./process.ts";

const ROOT = new URL("../../", import.meta.url);
const ENTRY = "main.js";

/** Loaded by URL rather than imported, with the path that lib/sandbox/child/worker_control.ts uses. */
const WORKER = "worker.ts";

/** Build information that the program reads; see lib/cli/commands/show_version.ts. */
const BUILD_INFO = "build.json";

/** Any fixed time does: the compiler embeds the times of the files. */
const FILE_TIME = new Date("2020-01-01T00:00:00Z");

/**
 * npm:@achingbrain/ssdp reads its own package.json for the name that it announces, by a call that no
 * bundler follows.
 */
const SSDP_REQUIRE = /\("\.\.\/\.\.\/package\.json"\)/g;
const SSDP_PACKAGE = { file: "ssdp_package.json", content: { name: "ssdp", version: "4" } };

/**
 * What CommonJS packages ask for by `require` are modules of Node, which a module has no `require` for.
 * Imported as `node:module` it would be loaded at every start; asked of the process, when it is used.
 */
const REQUIRE_MISSING = "Dynamic require of";
const REQUIRE = "const require=(name)=>{const module=process.getBuiltinModule(name);" +
  'if(module===undefined)throw new Error(`Not embedded: "${name}"`);return module};\n';

/** A bundle on disk. */
export interface Bundle {
  /** The module to compile. */
  entry: string;
  /** Files to embed beside it, which no module imports. */
  include: string[];
}

/** Options of {@linkcode bundleProgram}. */
export interface BundleOptions {
  /** The directory for the bundle; it is emptied. */
  stage: URL;
  /** The commit that is built, for `plasm version`. */
  commit: string | null;
}

/** Bundles main.ts, in parts that are loaded when they are needed, and the guest's worker. */
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

/** Tells whether there was one; a file that is not embedded would fail only when it is loaded. */
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
    throw new Error(`The bundle requires files by name: ${creators} times, known are ${replaced}`);
  }
  return replaced === 1;
}
