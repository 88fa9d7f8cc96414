import {
  assert,
  assertEquals,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
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
import { checkHeader, type InspectLimits, inspectModule } from "./inspect.ts";

const MB = 1_048_576;
const LIMITS: InspectLimits = { moduleBytes: MB, memoryBytes: 256 * MB };

const HELLO = await assemble(`(module
  (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))
  (memory (export "memory") 2)
  (table 3 funcref)
  (func (export "_start")))`);

Deno.test("inspectModule() describes a command", () => {
  const module = inspectModule(HELLO, LIMITS);
  assertEquals(module.imports, [
    { module: "wasi_snapshot_preview1", name: "fd_write", kind: "function" },
    { module: "wasi_snapshot_preview1", name: "proc_exit", kind: "function" },
  ]);
  assertEquals(module.exports, [
    { name: "memory", kind: "memory", index: 0 },
    { name: "_start", kind: "function", index: 2 },
  ]);
  assertEquals(module.memories, [
    { initialBytes: 131_072, maximumBytes: 256 * MB, shared: false, is64: false },
  ]);
  assertEquals(module.tables, [{ initialEntries: 3, maximumEntries: 1_000_000 }]);
  assertEquals(module.initialMemoryBytes, 131_072);
  assertEquals({
    usesGc: module.usesGc,
    usesExceptions: module.usesExceptions,
    usesSharedMemory: module.usesSharedMemory,
  }, { usesGc: false, usesExceptions: false, usesSharedMemory: false });
  assert(WebAssembly.validate(module.bytes));
});

Deno.test("inspectModule() returns the input bytes when nothing has to change", async () => {
  const bytes = await assemble(`(module (memory (export "memory") 1 2) (func (export "_start")))`);
  assertStrictEquals(inspectModule(bytes, LIMITS).bytes, bytes);
});

Deno.test("inspectModule() does not modify its input", () => {
  const before = HELLO.slice();
  inspectModule(HELLO, LIMITS);
  assertEquals(HELLO, before);
});

Deno.test("inspectModule() copies shared memory", () => {
  const shared = new Uint8Array(new SharedArrayBuffer(HELLO.length));
  shared.set(HELLO);
  const { bytes } = inspectModule(shared, LIMITS);
  assert(bytes.buffer instanceof ArrayBuffer);
  assert(WebAssembly.validate(bytes));
});

Deno.test("inspectModule() rejects a module above the size limit with figures", () => {
  const error = assertThrows(
    () => inspectModule(HELLO, { ...LIMITS, moduleBytes: HELLO.length - 1 }),
    PlasmError,
  );
  assertEquals(error.code, "over-limit");
  assertEquals(
    error.message,
    `Cannot run module: it has ${HELLO.length} bytes, limit ${HELLO.length - 1}`,
  );
  inspectModule(HELLO, { ...LIMITS, moduleBytes: HELLO.length });
});

Deno.test("inspectModule() rejects a _start with parameters or results", async () => {
  const bytes = await assemble(`(module (memory (export "memory") 1)
    (func (export "_start") (param i32) (result i64) (i64.const 0)))`);
  assertEquals(
    assertThrows(() => inspectModule(bytes, LIMITS), PlasmError).message,
    "Cannot run module: its _start has type (i32 -> i64), expected no parameters and no results",
  );
});

Deno.test("inspectModule() rejects an imported function as _start", async () => {
  const bytes = await assemble(`(module
    (import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))
    (memory (export "memory") 1)
    (export "_start" (func 0)))`);
  assertStringIncludes(
    assertThrows(() => inspectModule(bytes, LIMITS), PlasmError).message,
    "type (i32 ->)",
  );
});

Deno.test("inspectModule() rejects an undefined function as _start", () => {
  const bytes = moduleOf(COMMAND.type, COMMAND.memory, COMMAND.export);
  assertEquals(
    assertThrows(() => inspectModule(bytes, LIMITS), PlasmError).message,
    "Cannot run module: it exports function 0, but has 0 functions",
  );
});

Deno.test("inspectModule() reports features that can fill the heap", async () => {
  const struct = section(1, [2, 0x60, 0, 0, 0x5f, 1, 0x63, 1, 1]);
  const { type: _type, ...rest } = COMMAND;
  const withGc = moduleOf(struct, ...Object.values(rest));
  assert(WebAssembly.validate(withGc));
  assert(inspectModule(withGc, LIMITS).usesGc);
  const tag = await assemble(
    `(module (memory (export "memory") 1) (tag (param i32)) (func (export "_start")))`,
  );
  assert(inspectModule(tag, LIMITS).usesExceptions);
  const shared = await assemble(
    `(module (memory (export "memory") 1 2 shared) (func (export "_start")))`,
  );
  assert(inspectModule(shared, LIMITS).usesSharedMemory);
});

async function refusal(text: string): Promise<string> {
  const bytes = await assemble(text);
  return assertThrows(() => inspectModule(bytes, LIMITS), PlasmError).message;
}

/** The smallest command, with a given export section. */
function exporting(...exports: Uint8Array[]): Uint8Array {
  const { type, function: functions, memory, code } = COMMAND;
  return moduleOf(
    type,
    functions,
    memory,
    section(7, concat(leb(exports.length), ...exports)),
    code,
  );
}

const START = concat(name("_start"), [0, 0]);
const MEMORY = concat(name("memory"), [2, 0]);

Deno.test("inspectModule() rejects a reactor", async () => {
  assertEquals(
    await refusal(`(module (memory (export "memory") 1) (func (export "_initialize")))`),
    "Cannot run module: it is a reactor (exports _initialize but no _start), expected a command",
  );
});

Deno.test("inspectModule() rejects a module without memory, _start or both", async () => {
  assertEquals(
    await refusal(`(module (func (export "_start")))`),
    "Cannot run module: it exports no memory, which WASI calls require",
  );
  assertEquals(
    await refusal(`(module (memory (export "memory") 1))`),
    "Cannot run module: it exports no _start function",
  );
  assertEquals(
    await refusal(`(module (func (export "main") (param externref)))`),
    "Cannot run module: it exports no _start function",
  );
  assertEquals(await refusal("(module)"), "Cannot run module: it exports no _start function");
  assertEquals(
    await refusal(`(module (func (export "add") (param i32 f64)) (func (export "main")))`),
    'Cannot run module: it exports no _start function; its functions of numbers are "add", "main"',
  );
});

Deno.test("inspectModule() rejects exports _start and memory of another kind", async () => {
  assertEquals(
    await refusal(
      `(module (memory (export "memory") 1) (global (export "_start") i32 i32.const 0))`,
    ),
    "Cannot run module: its export _start is a global, expected a function",
  );
  assertEquals(
    await refusal(`(module (table (export "memory") 1 funcref) (func (export "_start")))`),
    "Cannot run module: its export memory is a table, expected a memory",
  );
});

Deno.test("inspectModule() treats hostile export names as data", () => {
  const names = ["__proto__", "constructor", "toString", "", "\0", "\ud7ff😀", "x".repeat(100_000)];
  const bytes = exporting(START, MEMORY, ...names.map((one) => concat(name(one), [0, 0])));
  const { exports } = inspectModule(bytes, LIMITS);
  assertEquals(exports.slice(2).map((one) => one.name), names);
});

Deno.test("inspectModule() rejects an export name of a megabyte", () => {
  const bytes = exporting(START, MEMORY, concat(name("x".repeat(1_000_000)), [0, 0]));
  assertStringIncludes(
    assertThrows(() => inspectModule(bytes, LIMITS), PlasmError).message,
    "has a name of 1000000 bytes (limit 100000)",
  );
});

Deno.test("inspectModule() rejects a duplicate export", () => {
  assertStringIncludes(
    assertThrows(() => inspectModule(exporting(START, MEMORY, START), LIMITS), PlasmError).message,
    'its export section has a duplicate export "_start"',
  );
});

Deno.test("inspectModule() rejects an unknown export kind and too many exports", () => {
  const unknown = concat(name("x"), [5, 0]);
  assertStringIncludes(
    assertThrows(() => inspectModule(exporting(unknown), LIMITS), PlasmError).message,
    "has an unknown import or export kind 0x5",
  );
  const many = moduleOf(section(7, concat(leb(100_001), new Uint8Array(300_003))));
  assertStringIncludes(
    assertThrows(() => inspectModule(many, LIMITS), PlasmError).message,
    "has 100001 exports (limit 100000)",
  );
});

function headerRefusal(bytes: Iterable<number>): string {
  return assertThrows(() => checkHeader(new Uint8Array(bytes)), PlasmError).message;
}

function refusalOfText(text: string): string {
  return headerRefusal(Array.from(text, (character) => character.charCodeAt(0)));
}

Deno.test("checkHeader() accepts the header of a core module", () => {
  checkHeader(new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]));
});

Deno.test("checkHeader() rejects an empty file", () => {
  assertEquals(headerRefusal([]), "Cannot run module: the file is empty");
});

Deno.test("checkHeader() rejects every truncated header", () => {
  const header = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
  for (let length = 1; length < header.length; length++) {
    assertEquals(
      headerRefusal(header.slice(0, length)),
      `Cannot run module: its header is truncated to ${length} of 8 bytes`,
    );
  }
});

Deno.test("checkHeader() names the type of another file", () => {
  const cases: [content: string, what: string][] = [
    ["\x7fELF\x02\x01\x01\0", "an ELF executable"],
    ["MZ\x90\0", "a Windows executable"],
    ["\x1f\x8b\x08\0", "gzip data"],
    ["PK\x03\x04\x14\0", "a zip archive"],
    ["BC\xc0\xde5\x14", "LLVM bitcode"],
    ["!<arch>\nfoo", "a library archive"],
    ["#!/bin/sh\necho", "a script"],
    ["version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"],
    ["\n<!DOCTYPE html><title>404</title>", "an HTML page"],
    ["<html>", "an HTML page"],
    ["(module (memory 1))", "WebAssembly text"],
    [";; a comment\n(module)", "WebAssembly text"],
    ['{"error": "not found"}', "JSON text"],
    ["int main(void) { return 0; }", "text"],
    ["\x01\x02\x03\x04", "unknown binary data"],
  ];
  for (const [content, what] of cases) {
    assertEquals(
      refusalOfText(content),
      `Cannot run module: it is not WebAssembly, it looks like ${what}`,
    );
  }
});

Deno.test("checkHeader() rejects a component", () => {
  const error = assertThrows(
    () => checkHeader(new Uint8Array([0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0])),
    PlasmError,
  );
  assertEquals(
    error.message,
    "Cannot run module: a WebAssembly component (version 13) is in place of a core module",
  );
});

Deno.test("checkHeader() rejects an unknown version", () => {
  assertEquals(
    headerRefusal([0, 0x61, 0x73, 0x6d, 2, 0, 0, 0]),
    "Cannot run module: unsupported WebAssembly version 2 layer 0, expected 1 layer 0",
  );
});
