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

const LIMITS = { moduleBytes: 4_194_304, memoryBytes: 1_048_576 };

async function refusal(text: string): Promise<string> {
  const bytes = await assemble(text);
  return assertThrows(() => inspectModule(bytes, LIMITS), PlasmError).message;
}

/** The smallest command with another export section. */
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

Deno.test("checkCommand() refuses a reactor", async () => {
  assertEquals(
    await refusal(`(module (memory (export "memory") 1) (func (export "_initialize")))`),
    "Cannot run module: it is a reactor (exports _initialize, no _start), a job must be a command",
  );
});

Deno.test("checkCommand() refuses a module without memory, without _start, without both", async () => {
  assertEquals(
    await refusal(`(module (func (export "_start")))`),
    "Cannot run module: it exports no memory, so that no WASI call could work",
  );
  assertEquals(
    await refusal(`(module (memory (export "memory") 1))`),
    "Cannot run module: it exports no _start, so there is nothing to run",
  );
  assertEquals(
    await refusal(`(module (func (export "main")))`),
    "Cannot run module: it exports neither _start nor memory",
  );
  assertEquals(
    await refusal("(module)"),
    "Cannot run module: it exports neither _start nor memory",
  );
});

Deno.test("checkCommand() refuses _start and memory of another kind", async () => {
  assertEquals(
    await refusal(
      `(module (memory (export "memory") 1) (global (export "_start") i32 i32.const 0))`,
    ),
    "Cannot run module: its export _start is a global, it must be a function",
  );
  assertEquals(
    await refusal(`(module (table (export "memory") 1 funcref) (func (export "_start")))`),
    "Cannot run module: its export memory is a table, it must be a memory",
  );
});

Deno.test("readExports() takes hostile names for what they are", () => {
  const names = ["__proto__", "constructor", "toString", "", "\0", "\ud7ff😀", "x".repeat(100_000)];
  const bytes = exporting(START, MEMORY, ...names.map((one) => concat(name(one), [0, 0])));
  const { exports } = inspectModule(bytes, LIMITS);
  assertEquals(exports.slice(2).map((one) => one.name), names);
});

Deno.test("readExports() refuses a name of a megabyte", () => {
  const bytes = exporting(START, MEMORY, concat(name("x".repeat(1_000_000)), [0, 0]));
  assertStringIncludes(
    assertThrows(() => inspectModule(bytes, LIMITS), PlasmError).message,
    "has a name of 1000000 bytes, 100000 are allowed",
  );
});

Deno.test("readExports() refuses a name twice", () => {
  assertStringIncludes(
    assertThrows(() => inspectModule(exporting(START, MEMORY, START), LIMITS), PlasmError).message,
    'its export section names "_start" twice',
  );
});

Deno.test("readExports() refuses an unknown kind and too many exports", () => {
  const unknown = concat(name("x"), [5, 0]);
  assertStringIncludes(
    assertThrows(() => inspectModule(exporting(unknown), LIMITS), PlasmError).message,
    "has an unknown kind 0x5",
  );
  const many = moduleOf(section(7, concat(leb(100_001), new Uint8Array(300_003))));
  assertStringIncludes(
    assertThrows(() => inspectModule(many, LIMITS), PlasmError).message,
    "has 100001 exports, 100000 are allowed",
  );
});
