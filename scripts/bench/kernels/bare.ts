/**
 * Runs a module with bare V8 and a minimal WASI shim that supports only the terminal's streams. Runs as its own
 * process, so that V8 flags can be compared. The last line of output is the time for compilation, instantiation and
 * execution in milliseconds.
 *
 *     deno run --allow-read --v8-flags=--no-liftoff bare.ts MODULE [ARG…]
 *
 * @module
 */
import { WasiExit } from "../../../lib/wasi/preview1/call_context.ts";
import { createWasi } from "../../../lib/wasi/preview1/preview1.ts";

const [file, ...args] = Deno.args;
const bytes = await Deno.readFile(file!);
const begin = performance.now();
const wasi = createWasi({
  args: ["main.wasm", ...args],
  env: {},
  inputs: [],
  limits: { fsBytes: 2 ** 28, fsInodes: 1_000_000, openFds: 1024 },
  host: {
    readStdin: () => 0,
    stdinReady: () => ({ bytes: 0, ended: true }),
    wait: () => false,
    write: (stream, data) => Deno[stream].writeSync(data.slice()),
    exhausted(reason) {
      throw new Error(reason);
    },
  },
});
const module = await WebAssembly.compile(bytes);
const instance = new WebAssembly.Instance(module, { wasi_snapshot_preview1: wasi.imports });
wasi.attach(instance.exports.memory as WebAssembly.Memory);
try {
  (instance.exports._start as () => void)();
} catch (error) {
  if (!(error instanceof WasiExit) || error.code !== 0) throw error;
}
console.error((performance.now() - begin).toFixed(1));
