import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { COMMAND, leb, moduleOf, section } from "../../tests/fixtures/hostile/binary.ts";
import { assemble } from "../../tests/fixtures/hostile/wat.ts";
import { PlasmError } from "../core/errors/errors.ts";
import { type InspectedModule, type InspectLimits, inspectModule } from "./inspect.ts";

const MB = 1_048_576;
const PAGE = 65_536;

async function inspect(memories: string, memoryBytes: number): Promise<InspectedModule> {
  const bytes = await assemble(
    `(module ${memories} (export "memory" (memory 0)) (func (export "_start"))
      (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))`,
  );
  return inspectModule(bytes, { moduleBytes: MB, memoryBytes });
}

/** A command with a given memory section. */
function withMemories(...content: number[]): Uint8Array {
  return moduleOf(
    COMMAND.type,
    COMMAND.function,
    section(5, content),
    COMMAND.export,
    COMMAND.code,
  );
}

function refusal(bytes: Uint8Array, memoryBytes = MB): PlasmError {
  return assertThrows(() => inspectModule(bytes, { moduleBytes: MB, memoryBytes }), PlasmError);
}

Deno.test("readMemories() makes memory.grow return -1 at the limit", async () => {
  const { bytes } = await inspect("(memory 2)", 4 * PAGE);
  const { instance } = await WebAssembly.instantiate(bytes);
  const grow = instance.exports.grow as (pages: number) => number;
  assertEquals([grow(1), grow(2), grow(1), grow(1)], [2, -1, 3, -1]);
});

Deno.test("readMemories() lowers a maximum only when it exceeds the limit", async () => {
  const maximum = async (memory: string): Promise<number | undefined> =>
    (await inspect(memory, 4 * PAGE)).memories[0]?.maximumBytes;
  assertEquals(await maximum("(memory 1 3)"), 3 * PAGE);
  assertEquals(await maximum("(memory 1 4)"), 4 * PAGE);
  assertEquals(await maximum("(memory 1 5)"), 4 * PAGE);
  assertEquals(await maximum("(memory 1 65536)"), 4 * PAGE);
  assertEquals(await maximum("(memory 4)"), 4 * PAGE);
  assertEquals(await maximum("(memory 0 0)"), 0);
});

Deno.test("readMemories() rounds the limit down to whole pages", async () => {
  assertEquals((await inspect("(memory 1)", 3 * PAGE - 1)).memories[0]?.maximumBytes, 2 * PAGE);
});

Deno.test("readMemories() rejects an initial size above the limit with figures", async () => {
  const error = refusal(
    await assemble(`(module (memory (export "memory") 65536) (func (export "_start")))`),
    256 * MB,
  );
  assertEquals(error.code, "job-memory");
  assertEquals(error.exitCode, 137);
  assertEquals(
    error.message,
    "Cannot run module: it needs 4096 MB of memory at start, the job's limit is 256 MB",
  );
  assertEquals(error.details, { asked_bytes: 4096 * MB, allowed_bytes: 256 * MB });
});

Deno.test("readMemories() reports distinct figures when one page exceeds the limit", () => {
  assertEquals(
    refusal(withMemories(1, 0, 17)).message,
    "Cannot run module: it needs 1.07 MB of memory at start, the job's limit is 1 MB",
  );
});

Deno.test("readMemories() limits the sum of several memories", async () => {
  const { memories, initialMemoryBytes, bytes } = await inspect(
    "(memory 1) (memory 2 3) (memory 1 100) (memory i64 0)",
    24 * PAGE,
  );
  // Four initial pages leave twenty: five for each.
  assertEquals(memories.map((one) => one.maximumBytes / PAGE), [6, 3, 6, 5]);
  assertEquals(memories.map((one) => one.is64), [false, false, false, true]);
  assertEquals(initialMemoryBytes, 4 * PAGE);
  assert(WebAssembly.validate(bytes));
});

Deno.test("readMemories() checks the sum of the initial sizes of several memories", () => {
  const sixty = Array.from({ length: 60 }, () => [0, ...leb(1024)]).flat();
  assertEquals(
    refusal(withMemories(60, ...sixty), 256 * MB).message,
    "Cannot run module: it needs 3840 MB of memory at start, the job's limit is 256 MB",
  );
});

Deno.test("readMemories() lowers shared and 64-bit memories", async () => {
  const shared = await inspect("(memory 1 65536 shared)", 2 * PAGE);
  assertEquals(shared.memories, [
    { initialBytes: PAGE, maximumBytes: 2 * PAGE, shared: true, is64: false },
  ]);
  const instance = new WebAssembly.Instance(new WebAssembly.Module(shared.bytes));
  const memory = instance.exports.memory as WebAssembly.Memory;
  assert(memory.buffer instanceof SharedArrayBuffer);
  const wide = withMemories(1, 5, 1, ...leb(262_144));
  const { memories, bytes } = inspectModule(wide, { moduleBytes: MB, memoryBytes: 2 * PAGE });
  assertEquals(memories, [
    { initialBytes: PAGE, maximumBytes: 2 * PAGE, shared: false, is64: true },
  ]);
  assertEquals(bytes, withMemories(1, 5, 1, 2));
});

Deno.test("readMemories() caps the maximum at the address space", () => {
  const { memories, bytes } = inspectModule(withMemories(1, 0, 1), {
    moduleBytes: MB,
    memoryBytes: 2 ** 40,
  });
  assertEquals(memories[0]?.maximumBytes, 2 ** 32);
  assert(WebAssembly.validate(bytes));
  const wide = inspectModule(withMemories(1, 4, 1), { moduleBytes: MB, memoryBytes: 2 ** 40 });
  assertEquals(wide.memories[0]?.maximumBytes, 2 ** 34);
  assert(WebAssembly.validate(wide.bytes));
});

Deno.test("readMemories() rejects malformed memories", () => {
  const cases: [content: number[], message: string][] = [
    [[1, 8, 1, 0], "has a custom page size, which is not supported,"],
    [[1, 0x10, 1], "has unknown limits flags 0x10"],
    [[1, 1, 2, 1], "has a maximum (1) below its initial size (2)"],
    [[1, 2, 1], "has a shared memory without a maximum"],
    [[1, 0, ...leb(65_537)], "has a memory of 65537 pages (limit 65536)"],
    [[1, 1, 1, ...leb(65_537)], "has a memory of 65537 pages (limit 65536)"],
    [[1, 4, ...leb(262_145)], "has a memory of 262145 pages (limit 262144)"],
    [[1, 5, 1, ...leb(2 ** 48)], "has a memory of 281474976710656 pages (limit 262144)"],
    [[2, 0, 1], "declares 2 memories but has room for 1"],
    [[1, 0, 1, 0], "has 1 trailing bytes"],
    [[1, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0], "has an integer wider than 32 bits"],
    [[101, ...Array<number>(202).fill(0)], "has 101 memories (limit 100)"],
  ];
  for (const [content, message] of cases) {
    assertStringIncludes(
      refusal(withMemories(...content)).message,
      `Cannot run module: its memory section ${message}`,
    );
  }
});

Deno.test("readMemories() shortens overlong integers", () => {
  const bytes = withMemories(1, 1, 0x81, 0x80, 0x80, 0x00, 0xff, 0xff, 0x03);
  const inspected = inspectModule(bytes, { moduleBytes: MB, memoryBytes: MB });
  assertEquals(inspected.memories[0]?.maximumBytes, MB);
  assertEquals(inspected.bytes, withMemories(1, 1, 1, 16));
});

const TABLE_LIMITS: InspectLimits = { moduleBytes: 1_048_576, memoryBytes: 65_536 };

/** A command with a given table section. */
function withTables(...content: number[]): Uint8Array {
  const { type, function: functions, memory, export: exports, code } = COMMAND;
  return moduleOf(type, functions, section(4, content), memory, exports, code);
}

function tableRefusal(...content: number[]): PlasmError {
  return assertThrows(() => inspectModule(withTables(...content), TABLE_LIMITS), PlasmError);
}

Deno.test("readTables() makes table.grow return -1 at the limit", async () => {
  const text = `(module (memory (export "memory") 1) (func (export "_start")) (table 2 externref)
    (func (export "grow") (param i32) (result i32)
      (table.grow 0 (ref.null extern) (local.get 0))))`;
  const { bytes } = inspectModule(await assemble(text), { ...TABLE_LIMITS, tableEntries: 4 });
  const { instance } = await WebAssembly.instantiate(bytes);
  const grow = instance.exports.grow as (entries: number) => number;
  assertEquals([grow(1), grow(2), grow(1), grow(1)], [2, -1, 3, -1]);
});

Deno.test("readTables() limits the sum of all tables", () => {
  const { tables, bytes } = inspectModule(
    withTables(4, 0x70, 0, 2, 0x6f, 1, 1, 9, 0x70, 1, 1, 3, 0x70, 5, 0, ...leb(2 ** 45)),
    { ...TABLE_LIMITS, tableEntries: 24 },
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
  assertEquals(bytes, inspectModule(capped, { ...TABLE_LIMITS, tableEntries: 24 }).bytes);
  assert(WebAssembly.validate(bytes));
});

Deno.test("readTables() rejects initial sizes above the limit with figures", () => {
  const fifty = Array.from({ length: 50 }, () => [0x70, 0, ...leb(10_000_000)]).flat();
  const error = tableRefusal(50, ...fifty);
  assertEquals(error.code, "over-limit");
  assertEquals(
    error.message,
    "Cannot run module: its tables have 500000000 entries at start, limit 1000000",
  );
  assertEquals(error.details, { asked: 500_000_000, allowed: 1_000_000 });
});

Deno.test("readTables() skips typed tables and their initializers", () => {
  const initializers: number[][] = [
    [0xd2, 0], // ref.func 0
    [0xd0, 0x73], // ref.null nofunc
    [0xd0, 0x80, 0x80, 0x00], // ref.null 0, overlong
  ];
  for (const code of initializers) {
    const bytes = withTables(2, 0x40, 0, 0x63, 0, 0, 1, ...code, 0x0b, 0x70, 0, 1);
    assert(WebAssembly.validate(bytes as BufferSource), `${code}`);
    const inspected = inspectModule(bytes, TABLE_LIMITS);
    assertEquals(inspected.tables.map((table) => table.maximumEntries), [500_000, 500_000]);
    assert(WebAssembly.validate(inspected.bytes));
  }
});

Deno.test("readTables() skips every constant instruction", () => {
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
  const { tables } = inspectModule(withTables(1, 0x40, 0, 0x70, 0, 3, ...code, 0x0b), TABLE_LIMITS);
  assertEquals(tables, [{ initialEntries: 3, maximumEntries: 1_000_000 }]);
});

Deno.test("readTables() rejects malformed tables", () => {
  const cases: [content: number[], message: string][] = [
    [[1, 0x7f, 0, 1], "has an unknown element type 0x7f"],
    [[1, 0x40, 1, 0x70, 0, 1, 0x0b], "has an unknown table form"],
    [[1, 0x40, 0, 0x70, 0, 1, 0x00, 0x0b], "has an initializer that is not constant"],
    [[1, 0x40, 0, 0x70, 0, 1, 0xfb, 0x02, 0x0b], "has an initializer that is not constant"],
    [[1, 0x40, 0, 0x70, 0, 1, 0xfd, 0x0d, 0x0b], "has an initializer that is not constant"],
    [[1, 0x40, 0, 0x70, 0, 1, 0xd2, 0], "is truncated"],
    [[1, 0x70, 1, 2, 1], "has a maximum (1) below its initial size (2)"],
    [[2, 0x70, 0, 1], "declares 2 tables but has room for 1"],
    [[1, 0x70, 0, 1, 1], "has 1 trailing bytes"],
    [[...leb(10_001), ...Array<number>(30_003).fill(0)], "has 10001 tables (limit 10000)"],
  ];
  for (const [content, message] of cases) {
    assertStringIncludes(
      tableRefusal(...content).message,
      `Cannot run module: its table section ${message}`,
    );
  }
});
