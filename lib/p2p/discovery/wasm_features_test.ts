import { assert, assertArrayIncludes, assertEquals } from "@std/assert";
import { probeWasmFeatures } from "./wasm_features.ts";

Deno.test("probeWasmFeatures() finds what V8 has shipped for years", () => {
  const features = probeWasmFeatures();
  assertArrayIncludes(features, [
    "bulk-memory",
    "extended-const",
    "gc",
    "multi-value",
    "reference-types",
    "relaxed-simd",
    "sat-float-to-int",
    "sign-extension",
    "simd",
    "tail-call",
    "threads",
  ]);
  assertEquals(features, features.toSorted());
});

Deno.test("probeWasmFeatures() asks the engine each time", () => {
  const validate = WebAssembly.validate;
  const asked: number[] = [];
  WebAssembly.validate = (bytes) => {
    asked.push(bytes.byteLength);
    return false;
  };
  try {
    assertEquals(probeWasmFeatures(), []);
    assert(asked.length > 10);
  } finally {
    WebAssembly.validate = validate;
  }
});
