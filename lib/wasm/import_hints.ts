/**
 * Tells from a module's foreign imports which tool built it, and what to do about it.
 * @module
 */
import { PREVIEW1 } from "./preview1_imports.ts";

interface Named {
  module: string;
  name: string;
  kind: string;
}

const HINTS: readonly (readonly [test: (found: Named) => boolean, hint: string])[] = [
  [
    ({ module, name }) => module === "wasi" || name === "thread-spawn",
    "It uses wasi-threads; a job has one thread: build for wasm32-wasip1 without -threads",
  ],
  [
    ({ module, kind }) => module === "env" && kind === "memory",
    "It imports its memory (threads or --import-memory); build it to define and export its own",
  ],
  [
    ({ module }) => module === "wasi_unstable",
    "It is built for WASI preview0; rebuild it for wasm32-wasip1 with a current toolchain",
  ],
  [
    ({ module }) => module.startsWith("wasi:"),
    "It is the core of a preview2 component; build for wasm32-wasip1 instead of wasm32-wasip2",
  ],
  [
    ({ module, name }) =>
      module === "env" && /^(emscripten|_emscripten|__syscall|invoke_|__cxa_|_abort_js)/.test(name),
    "It is built by Emscripten for JavaScript; build with -sSTANDALONE_WASM or use wasi-sdk",
  ],
  [
    ({ module, name }) => module === "env" && name === "abort",
    "It is built by AssemblyScript for JavaScript; build with @assemblyscript/wasi-shim",
  ],
  [
    ({ module }) => module === "wbg" || module.startsWith("__wbindgen"),
    "It is built by wasm-bindgen for a browser; build for wasm32-wasip1",
  ],
  [
    ({ module }) => module === "go" || module === "gojs",
    "It is built by Go for a browser; build with GOOS=wasip1",
  ],
  [
    ({ module }) => module === PREVIEW1,
    "It names a function that preview1 never had; build it against wasi-libc",
  ],
  [
    ({ module }) => module === "env",
    "Its linker left symbols open; link them in, or use wasi-sdk instead of a browser toolchain",
  ],
];

/** The hint for the first refused import that tells something. */
export function hintForImports(
  refused: readonly Named[],
  telling: ReadonlySet<string>,
): string {
  if (telling.has("linking")) {
    return "It is an object file that is not linked yet; link it with wasm-ld";
  }
  if (telling.has("dylink") || telling.has("dylink.0")) {
    return "It is a shared library; link it into a command module";
  }
  for (const [test, hint] of HINTS) {
    if (refused.some(test)) return hint;
  }
  return `Build for wasm32-wasip1: a job may import functions of ${PREVIEW1} only`;
}
