import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { COMMAND, leb, moduleOf, section } from "../../tests/fixtures/hostile/binary.ts";
import { assemble } from "../../tests/fixtures/hostile/wat.ts";
import { PlasmError } from "../core/errors/errors.ts";
import { type InspectLimits, inspectModule } from "./inspect.ts";

const LIMITS: InspectLimits = { moduleBytes: 1_048_576, memoryBytes: 65_536 };

/** A command whose table section is these bytes. */
function withTables(...content: number[]): Uint8Array {
  const { type, function: functions, memory, export: exports, code } = COMMAND;
  return moduleOf(type, functions, section(4, content), memory, exports, code);
}

function refusal(...content: number[]): PlasmError {
  return assertThrows(() => inspectModule(withTables(...content), LIMITS), PlasmError);
}

Deno.test("readTables() makes table.grow answer -1 at the cap", async () => {
  const text = `(module (memory (export "memory") 1) (func (export "_start")) (table 2 externref)
    (func (export "grow") (param i32) (result i32)
      (table.grow 0 (ref.null extern) (local.get 0))))`;
  const { bytes } = inspectModule(await assemble(text), { ...LIMITS, tableEntries: 4 });
  const { instance } = await WebAssembly.instantiate(bytes);
  const grow = instance.exports.grow as (entries: number) => number;
  assertEquals([grow(1), grow(2), grow(1), grow(1)], [2, -1, 3, -1]);
});

Deno.test("readTables() keeps all tables together under the cap", () => {
  const { tables, bytes } = inspectModule(
    withTables(4, 0x70, 0, 2, 0x6f, 1, 1, 9, 0x70, 1, 1, 3, 0x70, 5, 0, ...leb(2 ** 45)),
    { ...LIMITS, tableEntries: 24 },
  );
  // Four initial entries leave twenty: five for each.
  assertEquals(tables, [
    { initialEntries: 2, maximumEntries: 7 },
    { initialEntries: 1, maximumEntries: 6 },
    { initialEntries: 1, maximumEntries: 3 },
    { initialEntries: 0, maximumEntries: 5 },
  ]);
  const capped = withTables(4, 0x70, 1, 2, 7, 0x6f, 1, 1, 6, 0x70, 1, 1, 3, 0x70, 5, 0, 5);
  // Its memory is rewritten as well.
  assertEquals(bytes, inspectModule(capped, { ...LIMITS, tableEntries: 24 }).bytes);
  assert(WebAssembly.validate(bytes));
});

Deno.test("readTables() refuses more entries than allowed with figures", () => {
  const fifty = Array.from({ length: 50 }, () => [0x70, 0, ...leb(10_000_000)]).flat();
  const error = refusal(50, ...fifty);
  assertEquals(error.code, "over-limit");
  assertEquals(
    error.message,
    "Cannot run module: its tables have 500000000 entries at start, 1000000 are allowed",
  );
  assertEquals(error.details, { asked: 500_000_000, allowed: 1_000_000 });
});

Deno.test("readTables() steps over typed tables and their initializers", () => {
  const initializers: number[][] = [
    [0xd2, 0], // ref.func 0
    [0xd0, 0x73], // ref.null nofunc
    [0xd0, 0x80, 0x80, 0x00], // ref.null 0, written long
  ];
  for (const code of initializers) {
    const bytes = withTables(2, 0x40, 0, 0x63, 0, 0, 1, ...code, 0x0b, 0x70, 0, 1);
    assert(WebAssembly.validate(bytes as BufferSource), `${code}`);
    const inspected = inspectModule(bytes, LIMITS);
    assertEquals(inspected.tables.map((table) => table.maximumEntries), [500_000, 500_000]);
    assert(WebAssembly.validate(inspected.bytes));
  }
});

Deno.test("readTables() steps over every constant instruction", () => {
  const code = [
    [0x23, 0x80, 0x01], // global.get 128
    [0x41, 0xff, 0xff, 0xff, 0xff, 0x7f], // i32.const -1
    [0x42, 0x0b], // i64.const 11, which is also the code of end
    [0x43, 0x0b, 0x0b, 0x0b, 0x0b], // f32.const
    [0x44, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b], // f64.const
    [0x6a, 0x6b, 0x6c, 0x7c, 0x7d, 0x7e], // add, sub, mul
    [0xfd, 0x0c, ...Array<number>(16).fill(0x0b)], // v128.const
    [0xfb, 0x00, 0x0b, 0xfb, 0x07, 0x0b, 0xfb, 0x08, 0x0b, 0x0b, 0xfb, 0x1c], // GC
  ].flat();
  const { tables } = inspectModule(withTables(1, 0x40, 0, 0x70, 0, 3, ...code, 0x0b), LIMITS);
  assertEquals(tables, [{ initialEntries: 3, maximumEntries: 1_000_000 }]);
});

Deno.test("readTables() refuses what is no table", () => {
  const cases: [content: number[], message: string][] = [
    [[1, 0x7f, 0, 1], "has an unknown element type 0x7f"],
    [[1, 0x40, 1, 0x70, 0, 1, 0x0b], "has a table of unknown form"],
    [[1, 0x40, 0, 0x70, 0, 1, 0x00, 0x0b], "has an initializer that is not constant"],
    [[1, 0x40, 0, 0x70, 0, 1, 0xfb, 0x02, 0x0b], "has an initializer that is not constant"],
    [[1, 0x40, 0, 0x70, 0, 1, 0xfd, 0x0d, 0x0b], "has an initializer that is not constant"],
    [[1, 0x40, 0, 0x70, 0, 1, 0xd2, 0], "ends early"],
    [[1, 0x70, 1, 2, 1], "has a maximum (1) under its initial size (2)"],
    [[2, 0x70, 0, 1], "says it has 2 tables, there is room for 1"],
    [[1, 0x70, 0, 1, 1], "has 1 bytes too many"],
    [[...leb(10_001), ...Array<number>(30_003).fill(0)], "has 10001 tables, 10000 are allowed"],
  ];
  for (const [content, message] of cases) {
    assertStringIncludes(
      refusal(...content).message,
      `Cannot run module: its table section ${message}`,
    );
  }
});
