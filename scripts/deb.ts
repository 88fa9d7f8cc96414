/**
 * Builds the Debian packages from the compiled binaries: `dist/plasm_VERSION_ARCH.deb`.
 *
 *     deno task deb [--arch amd64|arm64 …]
 *
 * Needs debhelper and the binaries built by `deno task compile`.
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import {
  allSpecs,
  bashCompletions,
  fishCompletions,
  zshCompletions,
} from "../lib/cli/commands/completions.ts";
import { VERSION } from "../lib/core/mod.ts";
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

const ROOT = new URL("../", import.meta.url);

/** Documents and examples below /usr/share/doc/plasm: path in the repository → path in the package's source. */
const DOCUMENTS: Readonly<Record<string, string>> = {
  "README.md": "doc/README.md",
  "docs/operations.md": "doc/operations.md",
  "schemas/openapi.json": "doc/openapi.json",
  "examples/": "doc/examples/",
};

/** Options of {@linkcode buildPackage}. */
export interface BuildPackageOptions {
  /**
   * Package version, to test upgrades.
   * @default {version in debian/changelog}
   */
  version?: string;
  /**
   * Text appended to the configuration file, to test upgrades.
   * @default {none}
   */
  configSuffix?: string;
  /**
   * Output directory.
   * @default {dist/}
   */
  output?: URL;
}

/** Builds one package with debhelper and returns its path. */
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
    throw new Error(`debian/changelog does not start with version ${VERSION} of deno.json`);
  }
  const config = await Deno.readTextFile(new URL("config.jsonc", DEBIAN));
  const specs = await allSpecs();
  const generated: Record<string, string> = {
    "debian/changelog": changelog.replace(`(${VERSION})`, `(${version})`),
    "config.jsonc": config + configSuffix,
    "plasm.1": plasmPage(specs, { date: changelogDate(changelog) }),
    "plasm.jsonc.5": configPage({ date: changelogDate(changelog) }),
    "completions/bash/plasm": bashCompletions(specs),
    "completions/zsh/_plasm": zshCompletions(specs),
    "completions/fish/plasm.fish": fishCompletions(specs),
  };
  for (const [name, text] of Object.entries(generated)) {
    await Deno.mkdir(new URL("./", new URL(name, source)), { recursive: true });
    await Deno.writeTextFile(new URL(name, source), text);
  }
  for (const [from, to] of Object.entries(DOCUMENTS)) await copyDocument(from, to, source);
  await Deno.copyFile(binaryFile(target), new URL("plasm", source));
  // -d: dpkg-buildpackage would require the target architecture's compiler, which is not needed.
  const command = ["dpkg-buildpackage", "-us", "-uc", "-b", "-d", `-a${target.debian}`];
  const env = { LC_ALL: "C.UTF-8", DEB_BUILD_OPTIONS: "nocheck" };
  await run(command, { cwd: source, env });
  const file = new URL(packageName(target, version), output);
  await Deno.copyFile(new URL(packageName(target, version), top), file);
  await Deno.remove(top, { recursive: true });
  return file;
}

/** Date of the latest entry of debian/changelog, as YYYY-MM-DD. */
export function changelogDate(changelog: string): string {
  const text = /^ -- .*> {2}(.+)$/m.exec(changelog)?.[1] ?? "";
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) throw new Error(`debian/changelog has no date: "${text}"`);
  return date.toISOString().slice(0, 10);
}

/** Copies a file or, without tests, a directory of the repository. */
async function copyDocument(from: string, to: string, source: URL): Promise<void> {
  const path = new URL(from, ROOT);
  if (!from.endsWith("/")) {
    const target = new URL(to, source);
    await Deno.mkdir(new URL("./", target), { recursive: true });
    return await Deno.copyFile(path, target);
  }
  for await (const { name, isDirectory } of Deno.readDir(path)) {
    if (isDirectory && name === "tests") continue;
    const slash = isDirectory ? "/" : "";
    await copyDocument(`${from}${name}${slash}`, `${to}${name}${slash}`, source);
  }
}

async function copyDirectory(from: URL, to: URL): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for await (const { name } of Deno.readDir(from)) {
    await Deno.copyFile(new URL(name, from), new URL(name, to));
  }
}

/** Builds the packages and lists them in SHA256SUMS together with their binaries. */
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
    const requested = arch as string[] | undefined ?? [];
    const known = LINUX_TARGETS.map(({ debian }) => debian!);
    const unknown = requested.find((one) => !known.includes(one));
    if (unknown !== undefined) throw new Error(`Unknown architecture: ${unknown}; known: ${known}`);
    await buildPackages(
      LINUX_TARGETS.filter(({ debian }) => requested.length === 0 || requested.includes(debian!)),
    );
  } catch (error) {
    console.error(`Cannot build packages: ${error instanceof Error ? error.message : error}`);
    Deno.exit(1);
  }
}
