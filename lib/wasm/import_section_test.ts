import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import {
  COMMAND,
  concat,
  leb,
  moduleOf,
  name,
  section,
} from "../../tests/fixtures/hostile/binary.ts";
import { assemble } from "../../tests/fixtures/hostile/wat.ts";
import { PlasmError } from "../core/errors/errors.ts";
import { inspectModule } from "./inspect.ts";
import { PREVIEW1_TYPES } from "./import_section.ts";

const LIMITS = { moduleBytes: 4_194_304, memoryBytes: 1_048_576 };
const COMMAND_TEXT = `(memory (export "memory") 1) (func (export "_start"))`;

/** Prepends fields to a command. */
async function command(fields: string): Promise<Uint8Array> {
  return await assemble(`(module ${fields} ${COMMAND_TEXT})`);
}

async function refusal(fields: string): Promise<PlasmError> {
  const bytes = await command(fields);
  return assertThrows(() => inspectModule(bytes, LIMITS), PlasmError);
}

function text(type: string): string {
  const [parameters, results] = type.split("->");
  return `(func (param ${parameters}) (result ${results}))`;
}

Deno.test("readImports() accepts every preview1 function with its signature", async () => {
  assertEquals(PREVIEW1_TYPES.size, 46);
  const fields = [...PREVIEW1_TYPES].map(([name, type]) =>
    `(import "wasi_snapshot_preview1" "${name}" ${text(type)})`
  );
  const { imports } = inspectModule(await command(fields.join("\n")), LIMITS);
  assertEquals(imports.map((one) => one.name), [...PREVIEW1_TYPES.keys()]);
});

Deno.test("readImports() rejects every preview1 function with another signature", async () => {
  for (const [name, type] of PREVIEW1_TYPES) {
    for (const other of [`i64 ${type}`, `externref ${type}`, `${type} f64`]) {
      const error = await refusal(`(import "wasi_snapshot_preview1" "${name}" ${text(other)})`);
      assertEquals(
        error.message,
        `Cannot run module: it imports ${name} as (${other.trim()}), preview1 defines (${type})`,
      );
    }
  }
});

Deno.test("readImports() lists the first unsupported imports", async () => {
  const fields = Array.from(
    { length: 8 },
    (_, index) => `(import "env" "emscripten_${index}" (func))`,
  );
  const error = await refusal(fields.join("\n"));
  assertEquals(
    error.message,
    'Cannot run module: it imports function "env"."emscripten_0", ' +
      'function "env"."emscripten_1", function "env"."emscripten_2", ' +
      'function "env"."emscripten_3", function "env"."emscripten_4" and 3 more, ' +
      "which WASI preview1 does not define",
  );
  assertEquals(error.code, "bad-module");
  assertEquals(error.details.count, 8);
});

Deno.test("readImports() hints at the toolchain of a foreign module", async () => {
  const cases: [fields: string, hint: string][] = [
    [`(import "wasi" "thread-spawn" (func (param i32) (result i32)))`, "wasi-threads"],
    [`(import "env" "memory" (memory 1 2 shared))`, "imports its memory"],
    [`(import "wasi_unstable" "fd_write" (func (param i32)))`, "preview0"],
    [`(import "wasi:cli/environment@0.2.0" "get-environment" (func))`, "wasm-tools component new"],
    [`(import "env" "emscripten_resize_heap" (func (param i32)))`, "Emscripten"],
    [`(import "env" "abort" (func (param i32 i32 i32 i32)))`, "AssemblyScript"],
    [`(import "wbg" "__wbg_log_1" (func))`, "wasm-bindgen"],
    [`(import "a" "b" (func))`, "emcc -sSTANDALONE_WASM"],
    [`(import "wasix_32v1" "thread_spawn_v2" (func (param i32)))`, "It uses WASIX"],
    [`(import "wasi_nn" "load" (func (param i32)))`, "an extension of WASI that no job has"],
    [`(import "gojs" "runtime.wasmExit" (func))`, "GOOS=wasip1"],
    [`(import "wasi_snapshot_preview1" "fd_telepathy" (func))`, "never defined"],
    [`(import "env" "some_function" (func))`, "undefined symbols"],
    [`(import "__proto__" "constructor" (func))`, "cargo build --target wasm32-wasip1"],
  ];
  for (const [fields, hint] of cases) {
    assertStringIncludes((await refusal(fields)).hint ?? "", hint);
  }
  const preview1 = `(import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))`;
  assertEquals(
    (await refusal(`${preview1} (import "host" "call" (func))`)).hint,
    "Remove these imports; jobs may import functions of wasi_snapshot_preview1 only",
  );
});

Deno.test("readImports() rejects tables, memories, globals and tags and lists later imports", async () => {
  const error = await refusal(`
    (import "a" "table" (table 1 externref))
    (import "a" "memory" (memory i64 1 2))
    (import "a" "global" (global (mut i32)))
    (import "a" "tag" (tag))
    (import "a" "last" (func))`);
  assertEquals(error.details.imports, [
    'table "a"."table"',
    'memory "a"."memory"',
    'global "a"."global"',
    'tag "a"."tag"',
    'function "a"."last"',
  ]);
});

Deno.test("readImports() rejects preview1 names in another module and other names in preview1", async () => {
  await refusal(`(import "wasi_snapshot_preview2" "sched_yield" (func (result i32)))`);
  await refusal(`(import "" "sched_yield" (func (result i32)))`);
  await refusal(`(import "wasi_snapshot_preview1" "__proto__" (func (result i32)))`);
  await refusal(`(import "wasi_snapshot_preview1" "" (func (result i32)))`);
});

Deno.test("readImports() recognizes object files and shared libraries", async () => {
  const foreign = await command(`(import "env" "__linear_memory" (memory 1))`);
  for (
    const [custom, hint] of [["linking", "unlinked object file"], ["dylink.0", "shared library"]]
  ) {
    const bytes = concat(foreign, section(0, name(custom!)));
    assertStringIncludes(
      assertThrows(() => inspectModule(bytes, LIMITS), PlasmError).hint ?? "",
      hint!,
    );
  }
});

Deno.test("readImports() rejects too many imports", () => {
  const one = concat(name("wasi_snapshot_preview1"), name("proc_exit"), [0, 0]);
  const many = section(2, concat(leb(10_001), ...Array<Uint8Array>(10_001).fill(one)));
  const bytes = moduleOf(COMMAND.type, many);
  assertStringIncludes(
    assertThrows(() => inspectModule(bytes, LIMITS), PlasmError).message,
    "has 10001 imports (limit 10000)",
  );
});

Deno.test("readImports() rejects an undefined type index", () => {
  const one = concat(name("wasi_snapshot_preview1"), name("proc_exit"), [0, 7]);
  const bytes = moduleOf(COMMAND.type, section(2, concat([1], one)));
  assertStringIncludes(
    assertThrows(() => inspectModule(bytes, LIMITS), PlasmError).message,
    "its type 7 is not a function type",
  );
});
