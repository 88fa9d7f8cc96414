/**
 * Builds a complete release in dist/ from a clean tree: binaries, archives, Debian packages and SHA256SUMS.
 *
 *     deno task release [--runtime npm]
 *
 * `--runtime npm` builds no macOS binaries; see compile/npm_runtime.ts.
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { VERSION } from "../lib/core/mod.ts";
import { compile, type RuntimeSource } from "./compile.ts";
import { writeChecksums } from "./compile/checksums.ts";
import { run } from "./compile/process.ts";
import {
  archiveName,
  binaryFile,
  DIST,
  LINUX_TARGETS,
  packageName,
  productNames,
  type Target,
  TARGETS,
} from "./compile/targets.ts";
import { buildPackages } from "./deb.ts";

const ROOT = new URL("../", import.meta.url);

/** Builds the release. Throws if the tree differs from its commit or a package fails lintian. */
export async function release(runtime: RuntimeSource): Promise<void> {
  const changes = await run(["git", "status", "--porcelain"], { cwd: ROOT });
  if (changes !== "") throw new Error(`working tree has uncommitted changes:\n${changes}`);
  const tags = (await run(["git", "tag", "--points-at", "HEAD"], { cwd: ROOT })).split("\n");
  const wrong = tags.filter((tag) => tag !== "" && tag !== `v${VERSION}`);
  if (wrong.length > 0) throw new Error(`tag ${wrong} does not match version ${VERSION}`);
  await Deno.remove(DIST, { recursive: true }).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
  const targets = runtime === "official" ? TARGETS : LINUX_TARGETS;
  await compile({ targets, runtime });
  await buildPackages();
  await run([
    "lintian",
    "--fail-on",
    "error,warning",
    ...LINUX_TARGETS.map((one) => packageName(one)),
  ], {
    cwd: DIST,
  });
  const time = (await run(["git", "show", "-s", "--format=%ct", "HEAD"], { cwd: ROOT })).trim();
  for (const target of targets) await archive(target, time);
  console.log(await writeChecksums(DIST, productNames()));
}

/** Creates an archive of the binary and the introductory documents; reproducible. */
async function archive(target: Target, time: string): Promise<void> {
  const name = archiveName(target);
  const top = new URL(`.cache/${name.replace(/\.tar\.gz$/, "")}/`, DIST);
  await Deno.mkdir(top, { recursive: true });
  await Deno.copyFile(binaryFile(target), new URL("plasm", top));
  for (const file of ["LICENSE", "README.md"]) {
    await Deno.copyFile(new URL(file, ROOT), new URL(file, top));
  }
  await run([
    "tar",
    "--create",
    "--use-compress-program=gzip -n",
    ...["--sort=name", `--mtime=@${time}`, "--owner=0", "--group=0", "--numeric-owner"],
    "--mode=u=rwX,go=rX",
    `--file=${name}`,
    "--directory=.cache",
    name.replace(/\.tar\.gz$/, ""),
  ], { cwd: DIST });
  await Deno.remove(top, { recursive: true });
  console.log(`archived  ${name}`);
}

if (import.meta.main) {
  try {
    const { runtime = "official" } = parseArgs(Deno.args, { string: ["runtime"] });
    if (runtime !== "official" && runtime !== "npm") {
      throw new Error(`Unknown runtime: ${runtime}; known: official, npm`);
    }
    await release(runtime);
  } catch (error) {
    console.error(`Cannot make a release: ${error instanceof Error ? error.message : error}`);
    Deno.exit(1);
  }
}
