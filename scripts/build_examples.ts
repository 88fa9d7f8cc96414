/**
 * Builds the example modules from their C sources with Debian's clang and writes their hashes.
 *
 *     deno run --allow-run=clang --allow-read=. --allow-write=examples scripts/build_examples.ts
 *
 * Needs the packages in {@linkcode PACKAGES}. With Debian 12's versions the build reproduces the committed bytes.
 * @module
 */

/** Debian packages needed for the build. */
export const PACKAGES = "clang lld wasi-libc libclang-rt-14-dev-wasm32";

/** Compiler that built the committed modules, as reported by `clang --version`. */
export const COMPILER = "Debian clang version 14.0.6";

/** Examples: `examples/NAME/NAME.c` is compiled to `examples/NAME/NAME.wasm`. */
export const EXAMPLES: readonly string[] = ["hello"];

/**
 * Passes the optimization level to the compiler proper. As a driver option, `-O2` makes clang run wasm-opt if
 * binaryen is installed, which changes the bytes and rejects SIMD.
 */
const FLAGS = [
  "--target=wasm32-wasi",
  "-Xclang",
  "-O2",
  "-s",
  "-Wall",
  "-Wextra",
  "-Werror",
];

const FOLDER = new URL("../examples/", import.meta.url);

/** First line of `clang --version`; undefined if clang is missing or may not be run. */
export async function compilerVersion(): Promise<string | undefined> {
  try {
    const { stdout } = await new Deno.Command("clang", { args: ["--version"] }).output();
    return new TextDecoder().decode(stdout).split("\n")[0];
  } catch (error) {
    const { NotFound, NotCapable } = Deno.errors;
    if (error instanceof NotFound || error instanceof NotCapable) return undefined;
    throw error;
  }
}

/** Path of an example's file; `extension` has no dot. */
export function exampleFile(name: string, extension: string): URL {
  return new URL(`${name}/${name}.${extension}`, FOLDER);
}

/** Compiles an example and returns the module's bytes. On failure, throws clang's diagnostics. */
export async function buildExample(name: string): Promise<Uint8Array<ArrayBuffer>> {
  const { success, stdout, stderr } = await new Deno.Command("clang", {
    args: [...FLAGS, "-o", "-", `${name}.c`],
    cwd: new URL(`${name}/`, FOLDER),
  }).output();
  if (!success) {
    throw new Error(
      `Cannot build ${name}: ${
        new TextDecoder().decode(stderr)
      }\nInstall: apt-get install ${PACKAGES}`,
    );
  }
  return new Uint8Array(stdout);
}

/** Formats the `sha256sum` line of an example's module. */
export async function hashLine(name: string, bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
  return `${hash}  ${name}.wasm\n`;
}

if (import.meta.main) {
  const version = await compilerVersion();
  if (version === undefined) {
    console.error(`Cannot build examples: clang not found\nhint: Run: apt-get install ${PACKAGES}`);
    Deno.exit(1);
  }
  if (version !== COMPILER) {
    console.error(`Building with ${version}: the bytes will differ from those of ${COMPILER}`);
  }
  for (const name of EXAMPLES) {
    const bytes = await buildExample(name);
    const line = await hashLine(name, bytes);
    await Deno.writeFile(exampleFile(name, "wasm"), bytes);
    await Deno.writeTextFile(exampleFile(name, "wasm.sha256"), line);
    console.log(line.trimEnd());
  }
}
