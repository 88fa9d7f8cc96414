/**
 * The least that can run a module: V8, and the WASI shim with streams that go nowhere but to the
 * terminal. A process of its own, with the flags of V8 that are to be compared. Its last line says how
 * many milliseconds compiling, instantiating and running took.
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
