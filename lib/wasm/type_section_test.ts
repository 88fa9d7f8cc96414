import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { concat, leb, moduleOf, section } from "../../tests/fixtures/hostile/binary.ts";
import { PlasmError } from "../core/errors/errors.ts";
import { readSections } from "./sections.ts";
import { functionType, readTypes, type TypesInfo } from "./type_section.ts";

function read(...content: number[]): { bytes: Uint8Array<ArrayBuffer>; types: TypesInfo } {
  const bytes = moduleOf(section(1, content));
  return { bytes, types: readTypes(bytes, readSections(bytes).known.get("type")) };
}

/** Formatted types of a section that V8 accepts. */
function texts(...content: number[]): string[] {
  const { bytes, types } = read(...content);
  assert(WebAssembly.validate(bytes));
  return types.functions.map((start, index) =>
    start < 0 ? "other" : functionType(bytes, types, index)
  );
}

Deno.test("readTypes() decodes function types", () => {
  assertEquals(
    texts(3, 0x60, 0, 0, 0x60, 2, 0x7f, 0x7e, 1, 0x7d, 0x60, 3, 0x7c, 0x7b, 0x70, 2, 0x6f, 0x64, 0),
    ["->", "i32 i64 -> f32", "f64 v128 funcref -> externref ref"],
  );
});

Deno.test("readTypes() indexes each type of a recursive group", () => {
  const group = [0x4e, 2, 0x5f, 1, 0x63, 1, 1, 0x60, 0, 0];
  assertEquals(texts(2, ...group, 0x60, 1, 0x7f, 0), ["other", "->", "i32 ->"]);
});

Deno.test("readTypes() decodes structs, arrays and subtypes", () => {
  const { types } = read(3, 0x50, 0, 0x5f, 2, 0x78, 0, 0x77, 1, 0x4f, 1, 0, 0x5f, 0, 0x5e, 0x7f, 1);
  assertEquals(types.usesGc, true);
  assertEquals(types.functions, [-1, -1, -1]);
  assertEquals(texts(1, 0x50, 0, 0x60, 0, 0), ["->"]);
  assertEquals(read(1, 0x50, 0, 0x60, 0, 0).types.usesGc, false);
});

Deno.test("readTypes() accepts an empty group and a module without types", () => {
  assertEquals(texts(1, 0x4e, 0), []);
  assertEquals(readTypes(moduleOf(), undefined).functions, []);
});

Deno.test("readTypes() rejects malformed types", () => {
  const cases: [content: number[], message: string][] = [
    [[1, 0x61, 0, 0], "has an unknown type form 0x61"],
    [[1, 0x60, 1, 0x40, 0], "has an unknown type 0x40"],
    [[1, 0x4e, 1, 0x4e, 1, 0x60, 0, 0], "has an unknown type form 0x4e"],
    [[1, 0x60, 1, 0x64], "is truncated"],
    [[1, 0x60, 0, 0, 0], "has 1 trailing bytes"],
    [[...leb(1_000_000), 0x60, 0, 0], "declares 1000000 types but has room for 1"],
    [[1, 0x4e, ...leb(1_000_000)], "declares 1000000 types in a group but has room for 0"],
    [[1, 0x60, ...leb(4_000_000_000)], "declares 4000000000 types but has room for 0"],
  ];
  for (const [content, message] of cases) {
    assertStringIncludes(
      assertThrows(() => read(...content), PlasmError).message,
      `Cannot run module: its type section ${message}`,
    );
  }
});

Deno.test("functionType() truncates a long list and caches the result", () => {
  const long = concat([1, 0x60], leb(1000), new Uint8Array(1000).fill(0x7f), [0]);
  const bytes = moduleOf(section(1, long));
  const types = readTypes(bytes, readSections(bytes).known.get("type"));
  assertEquals(functionType(bytes, types, 0), `${"i32 ".repeat(24)}… ->`);
  assertEquals(types.signatures.size, 1);
});

Deno.test("functionType() throws when the index is not a function type", () => {
  const { bytes, types } = read(1, 0x5f, 0);
  for (const index of [0, 1, -1]) {
    assertStringIncludes(
      assertThrows(() => functionType(bytes, types, index), PlasmError).message,
      `its type ${index} is not a function type`,
    );
  }
});

Deno.test("readTypes() rejects more types than V8 accepts", () => {
  const group = concat([0x4e], leb(1_000_001), repeated([0x5f, 0], 1_000_001));
  const bytes = moduleOf(section(1, concat([1], group)));
  assertStringIncludes(
    assertThrows(() => readTypes(bytes, readSections(bytes).known.get("type")), PlasmError).message,
    "has more than 1000000 types",
  );
});

function repeated(pattern: readonly number[], count: number): Uint8Array {
  return new Uint8Array(count * pattern.length).map((_, index) => pattern[index % pattern.length]!);
}
