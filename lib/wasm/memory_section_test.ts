import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { COMMAND, leb, moduleOf, section } from "../../tests/fixtures/hostile/binary.ts";
import { assemble } from "../../tests/fixtures/hostile/wat.ts";
import { PlasmError } from "../core/errors/errors.ts";
import { type InspectedModule, inspectModule } from "./inspect.ts";

const MB = 1_048_576;
const PAGE = 65_536;

async function inspect(memories: string, memoryBytes: number): Promise<InspectedModule> {
  const bytes = await assemble(
    `(module ${memories} (export "memory" (memory 0)) (func (export "_start"))
      (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))`,
  );
  return inspectModule(bytes, { moduleBytes: MB, memoryBytes });
}

/** A command whose memory section is these bytes. */
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

Deno.test("readMemories() makes memory.grow answer -1 at the cap", async () => {
  const { bytes } = await inspect("(memory 2)", 4 * PAGE);
  const { instance } = await WebAssembly.instantiate(bytes);
  const grow = instance.exports.grow as (pages: number) => number;
  assertEquals([grow(1), grow(2), grow(1), grow(1)], [2, -1, 3, -1]);
});

Deno.test("readMemories() keeps a maximum under the cap and lowers one over it", async () => {
  const maximum = async (memory: string): Promise<number | undefined> =>
    (await inspect(memory, 4 * PAGE)).memories[0]?.maximumBytes;
  assertEquals(await maximum("(memory 1 3)"), 3 * PAGE);
  assertEquals(await maximum("(memory 1 4)"), 4 * PAGE);
  assertEquals(await maximum("(memory 1 5)"), 4 * PAGE);
  assertEquals(await maximum("(memory 1 65536)"), 4 * PAGE);
  assertEquals(await maximum("(memory 4)"), 4 * PAGE);
  assertEquals(await maximum("(memory 0 0)"), 0);
});

Deno.test("readMemories() rounds a cap down to whole pages", async () => {
  assertEquals((await inspect("(memory 1)", 3 * PAGE - 1)).memories[0]?.maximumBytes, 2 * PAGE);
});

Deno.test("readMemories() refuses an initial size over the cap with figures", async () => {
  const error = refusal(
    await assemble(`(module (memory (export "memory") 65536) (func (export "_start")))`),
    256 * MB,
  );
  assertEquals(error.code, "job-memory");
  assertEquals(error.exitCode, 137);
  assertEquals(
    error.message,
    "Cannot run module: it needs 4096 MB of memory at start, the job is allowed 256 MB",
  );
  assertEquals(error.details, { asked_bytes: 4096 * MB, allowed_bytes: 256 * MB });
});

Deno.test("readMemories() shows a single page too much", () => {
  assertEquals(
    refusal(withMemories(1, 0, 17)).message,
    "Cannot run module: it needs 1.07 MB of memory at start, the job is allowed 1 MB",
  );
});

Deno.test("readMemories() keeps several memories together under the cap", async () => {
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

Deno.test("readMemories() adds the initial sizes of several memories", () => {
  const sixty = Array.from({ length: 60 }, () => [0, ...leb(1024)]).flat();
  assertEquals(
    refusal(withMemories(60, ...sixty), 256 * MB).message,
    "Cannot run module: it needs 3840 MB of memory at start, the job is allowed 256 MB",
  );
});

Deno.test("readMemories() rewrites shared and 64-bit memories", async () => {
  const shared = await inspect("(memory 1 65536 shared)", 2 * PAGE);
  assertEquals(shared.memories, [
    { initialBytes: PAGE, maximumBytes: 2 * PAGE, shared: true, is64: false },
  ]);
  const instance = new WebAssembly.Instance(new WebAssembly.Module(shared.bytes));
  const memory = instance.exports.memory as WebAssembly.Memory;
  assert(memory.buffer instanceof SharedArrayBuffer);
  const wide = withMemories(1, 5, 1, ...leb(2 ** 48));
  const { memories, bytes } = inspectModule(wide, { moduleBytes: MB, memoryBytes: 2 * PAGE });
  assertEquals(memories, [
    { initialBytes: PAGE, maximumBytes: 2 * PAGE, shared: false, is64: true },
  ]);
  assertEquals(bytes, withMemories(1, 5, 1, 2));
});

Deno.test("readMemories() never states more than an address can reach", () => {
  const { memories, bytes } = inspectModule(withMemories(1, 0, 1), {
    moduleBytes: MB,
    memoryBytes: 2 ** 40,
  });
  assertEquals(memories[0]?.maximumBytes, 2 ** 32);
  assert(WebAssembly.validate(bytes));
});

Deno.test("readMemories() refuses what is no memory", () => {
  const cases: [content: number[], message: string][] = [
    [[1, 8, 1, 0], "asks for pages of its own size, which are not supported"],
    [[1, 0x10, 1], "has limits of unknown form 0x10"],
    [[1, 1, 2, 1], "has a maximum (1) under its initial size (2)"],
    [[1, 2, 1], "has a shared memory without a maximum"],
    [[1, 0, ...leb(65_537)], "has a memory of 65537 pages, 65536 can be"],
    [[1, 1, 1, ...leb(65_537)], "has a memory of 65537 pages, 65536 can be"],
    [[1, 4, ...leb(2 ** 48 + 1)], "has a memory of 281474976710657 pages, 281474976710656 can be"],
    [[2, 0, 1], "says it has 2 memories, there is room for 1"],
    [[1, 0, 1, 0], "has 1 bytes too many"],
    [[1, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0], "has a number of more than 32 bits"],
    [[101, ...Array<number>(202).fill(0)], "has 101 memories, 100 are allowed"],
  ];
  for (const [content, message] of cases) {
    assertStringIncludes(
      refusal(withMemories(...content)).message,
      `Cannot run module: its memory section ${message}`,
    );
  }
});

Deno.test("readMemories() writes a number that was written long in its short form", () => {
  const bytes = withMemories(1, 1, 0x81, 0x80, 0x80, 0x00, 0xff, 0xff, 0x03);
  const inspected = inspectModule(bytes, { moduleBytes: MB, memoryBytes: MB });
  assertEquals(inspected.memories[0]?.maximumBytes, MB);
  assertEquals(inspected.bytes, withMemories(1, 1, 1, 16));
});
