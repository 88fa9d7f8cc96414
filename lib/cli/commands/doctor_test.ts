import { assertEquals } from "@std/assert";
import wabt from "wabt";
import { LEAST_MODULE } from "./doctor.ts";

Deno.test("LEAST_MODULE is what its text says", async () => {
  const { parseWat } = await wabt();
  const text = '(module (memory (export "memory") 1) (func (export "_start")))';
  const module = parseWat("least.wat", text);
  const { exports, bytes } = {
    bytes: new Uint8Array(module.toBinary({}).buffer),
    exports: WebAssembly.Module.exports(new WebAssembly.Module(LEAST_MODULE as BufferSource)),
  };
  module.destroy();
  const byName = (list: WebAssembly.ModuleExportDescriptor[]): string[] =>
    list.map(({ name, kind }) => `${kind} ${name}`).sort();
  assertEquals(byName(exports), ["function _start", "memory memory"]);
  assertEquals(
    byName(exports),
    byName(WebAssembly.Module.exports(new WebAssembly.Module(bytes as BufferSource))),
  );
});
