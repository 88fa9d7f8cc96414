/**
 * Makes the Debian packages of the compiled binaries: `dist/plasm_VERSION_ARCH.deb`.
 *
 *     deno task deb [--arch amd64|arm64 …]
 *
 * Needs Debian's debhelper, and the binaries of `deno task compile`.
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { allSpecs } from "../lib/cli/commands/completions.ts";
import { bashCompletions } from "../lib/cli/completions/bash.ts";
import { fishCompletions } from "../lib/cli/completions/fish.ts";
import { zshCompletions } from "../lib/cli/completions/zsh.ts";
import { VERSION } from "../lib/core/version.ts";
import { writeChecksums } from "./compile/checksums.ts";
import { run } from "./compile/process.ts";
import {
  binaryFile,
  DIST,
  LINUX_TARGETS,
  packageName,
  productNames,
  type Target,
} from "./compile/targets.ts";
import { configPage } from "./deb/man_config.ts";
import { plasmPage } from "./deb/man_plasm.ts";

const DEBIAN = new URL("../debian/", import.meta.url);

/** Options of {@linkcode buildPackage}. */
export interface BuildPackageOptions {
  /**
   * Another version than the changelog's, for a test of upgrades.
   * @default {the changelog's}
   */
  version?: string;
  /**
   * Text added to the configuration file, for a test of upgrades.
   * @default {none}
   */
  configSuffix?: string;
  /**
   * The directory for the package.
   * @default {dist/}
   */
  output?: URL;
}

/** Builds one package with debhelper, and gives its file. */
export async function buildPackage(
  target: Target,
  options: BuildPackageOptions = {},
): Promise<URL> {
  const { version = VERSION, configSuffix = "", output = DIST } = options;
  const top = new URL(`.cache/deb-${target.debian}/`, DIST);
  await Deno.remove(top, { recursive: true }).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
  const source = new URL(`plasm-${version}/`, top);
  await copyDirectory(DEBIAN, new URL("debian/", source));
  const changelog = await Deno.readTextFile(new URL("changelog", DEBIAN));
  if (!changelog.startsWith(`plasm (${VERSION}) `)) {
    throw new Error(`debian/changelog does not begin with version ${VERSION} of deno.json`);
  }
  const config = await Deno.readTextFile(new URL("config.jsonc", DEBIAN));
  const specs = await allSpecs();
  const generated: Record<string, string> = {
    "debian/changelog": changelog.replace(`(${VERSION})`, `(${version})`),
    "config.jsonc": config + configSuffix,
    "plasm.1": plasmPage(specs),
    "plasm.jsonc.5": configPage(),
    "completions/bash/plasm": bashCompletions(specs),
    "completions/zsh/_plasm": zshCompletions(specs),
    "completions/fish/plasm.fish": fishCompletions(specs),
  };
  for (const [name, text] of Object.entries(generated)) {
    await Deno.mkdir(new URL("./", new URL(name, source)), { recursive: true });
    await Deno.writeTextFile(new URL(name, source), text);
  }
  await Deno.copyFile(binaryFile(target), new URL("plasm", source));
  // -d: for another architecture it would ask for that one's compiler, which nothing here needs.
  const command = ["dpkg-buildpackage", "-us", "-uc", "-b", "-d", `-a${target.debian}`];
  const env = { LC_ALL: "C.UTF-8", DEB_BUILD_OPTIONS: "nocheck" };
  await run(command, { cwd: source, env });
  const file = new URL(packageName(target, version), output);
  await Deno.copyFile(new URL(packageName(target, version), top), file);
  await Deno.remove(top, { recursive: true });
  return file;
}

async function copyDirectory(from: URL, to: URL): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for await (const { name } of Deno.readDir(from)) {
    await Deno.copyFile(new URL(name, from), new URL(name, to));
  }
}

/** Builds the packages and adds them to SHA256SUMS, with the binaries they are made of. */
export async function buildPackages(targets: readonly Target[] = LINUX_TARGETS): Promise<void> {
  for (const target of targets) {
    const { size } = await Deno.stat(await buildPackage(target));
    console.log(`packed    ${packageName(target)}, ${(size / 1e6).toFixed(1)} MB`);
  }
  console.log(await writeChecksums(DIST, productNames()));
}

if (import.meta.main) {
  try {
    const { arch } = parseArgs(Deno.args, { string: ["arch"], collect: ["arch"] });
    const asked = arch as string[] | undefined ?? [];
    const known = LINUX_TARGETS.map(({ debian }) => debian!);
    const unknown = asked.find((one) => !known.includes(one));
    if (unknown !== undefined) throw new Error(`Unknown architecture: ${unknown}; known: ${known}`);
    await buildPackages(
      LINUX_TARGETS.filter(({ debian }) => asked.length === 0 || asked.includes(debian!)),
    );
  } catch (error) {
    console.error(`Cannot build packages: ${error instanceof Error ? error.message : error}`);
    Deno.exit(1);
  }
}
