import { assert, assertEquals, assertThrows } from "@std/assert";
import { PlasmError } from "../../core/errors/mod.ts";
import { FuelGauge } from "../../sandbox/worker/fuel_gauge.ts";
import { mutationsOf } from "../../../tests/fixtures/module_mutants.ts";
import { assemble } from "../../../tests/fixtures/reorder_modules.ts";
import {
  body,
  moduleOf,
  SECTION,
  section,
  vector,
} from "../../../tests/fixtures/hostile/binary.ts";
import { meterModule } from "./fuel.ts";

/** What a run of `run` did. */
interface Run {
  /** Results, or the message of a trap. */
  result: unknown;
  /** Fuel used at the last checkpoint. */
  used: number;
}

/** Runs the export `run` of a module. */
function runMetered(bytes: Uint8Array<ArrayBuffer>, fuel: number, ...args: unknown[]): Run {
  const metered = meterModule(bytes, fuel);
  const instance = new WebAssembly.Instance(new WebAssembly.Module(metered.bytes), {
    host: { call: () => {} },
  });
  const gauge = new FuelGauge(fuel);
  let result: unknown;
  try {
    gauge.add(instance);
    result = (instance.exports.run as (...args: unknown[]) => unknown)(...args);
  } catch (error) {
    assert(error instanceof WebAssembly.RuntimeError, `${error}`);
    result = error.message;
  }
  return { result, used: fuel - Number(gauge.left()) };
}

/** Numbers of instructions that functions with one parameter execute for 0 and for 3. */
const COUNTS: [what: string, wat: string, ofZero: number, ofThree: number][] = [
  ["nothing", "", 0, 0],
  ["straight code", "(drop (i32.add (local.get 0) (i32.const 1)))", 4, 4],
  ["nop, and block, loop and end, which are free", "(block (loop nop))", 1, 1],
  ["a branch over code", "(block (br_if 0 (local.get 0)) nop nop) nop", 5, 3],
  ["if without else", "(if (local.get 0) (then nop nop nop))", 2, 5],
  ["if with else", "(if (local.get 0) (then nop nop) (else nop)) nop", 4, 5],
  [
    "a loop",
    "(loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))",
    5 * 2 ** 32,
    15,
  ],
  [
    "a jump table",
    "(block (block (block (br_table 0 1 2 (local.get 0))) nop (br 1)) nop nop)",
    4,
    2,
  ],
  ["return", "(if (local.get 0) (then return)) nop nop", 4, 3],
  ["a call", "(call $callee) nop", 5, 5],
  ["a call of the host", "(call $host) nop", 2, 2],
  ["an indirect call", "(call_indirect (i32.const 0)) nop", 6, 6],
  [
    "memory.fill of 0 to 24 bytes",
    "(memory.fill (i32.const 0) (i32.const 0) (i32.mul (local.get 0) (i32.const 8)))",
    6,
    9,
  ],
  ["memory.copy of bytes", "(memory.copy (i32.const 0) (i32.const 0) (local.get 0))", 4, 5],
  ["memory.init of bytes", "(memory.init 0 (i32.const 0) (i32.const 0) (local.get 0))", 4, 5],
  ["table.fill of entries", "(table.fill (i32.const 0) (ref.null func) (local.get 0))", 4, 7],
  ["table.copy of entries", "(table.copy (i32.const 0) (i32.const 0) (local.get 0))", 4, 7],
  ["table.grow by entries", "(drop (table.grow (ref.null func) (local.get 0)))", 4, 7],
  ["memory.grow", "(drop (memory.grow (local.get 0)))", 3, 3],
  ["a caught exception", "(try (do (call $throws) nop) (catch $t nop nop))", 4, 4],
];

const FRAME = (code: string) =>
  `(module
  (type $none (func))
  (import "host" "call" (func $host))
  (memory 1 10) (table 8 100 funcref) (elem (i32.const 0) $callee) (data "0123456789")
  (tag $t)
  (func $callee nop nop nop)
  (func $throws (throw $t))
  (func (export "run") (param i32) ${code}))`;

Deno.test("meterModule() counts the instructions executed, and lengths", async () => {
  for (const [what, wat, ofZero, ofThree] of COUNTS) {
    const bytes = await assemble(FRAME(wat.replace("call_indirect", "call_indirect (type $none)")));
    for (const [argument, count] of [[0, ofZero], [3, ofThree]] as const) {
      if (count > 1e6) continue; // too long to run
      const run = runMetered(bytes, 1_000_000, argument);
      assertEquals(run, { result: undefined, used: count }, `${what} of ${argument}`);
    }
  }
});

Deno.test("meterModule() leaves the count of the last call where another instruction traps", async () => {
  const run = async (code: string): Promise<Run> =>
    runMetered(await assemble(FRAME(code)), 1_000_000, 3);
  const trap = "(drop (i32.div_u (local.get 0) (i32.const 0)))";
  const loop = "(loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))";
  const result = "divide by zero";
  assertEquals(await run(`nop ${trap}`), { result, used: 0 });
  assertEquals(await run(`nop (call $host) ${loop} ${trap}`), { result, used: 2 });
  assertEquals(await run(`nop (call $callee) ${loop} ${trap}`), { result, used: 5 });
  assertEquals(await run(`${loop} unreachable`), { result: "unreachable", used: 16 });
});

Deno.test("meterModule() lets a module run with exactly the fuel that it uses, and no less", async () => {
  const bytes = await assemble(
    FRAME("(loop (call $callee) (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))"),
  );
  const { used } = runMetered(bytes, 1_000_000, 50);
  assertEquals(used, 50 * 9);
  assertEquals(runMetered(bytes, used, 50), { result: undefined, used });
  // The last call returns after the last check, so that the host compares at the end.
  assert(runMetered(bytes, used - 1, 50).used === used);
  const early = runMetered(bytes, used - 10, 50);
  assertEquals(early.result, "unreachable");
});

Deno.test("meterModule() ends loops and recursion with a trap that a guest cannot catch", async () => {
  for (
    const code of [
      "(loop (br 0))",
      "(loop $l (try (do (loop (br 0))) (catch_all (br $l))))",
      "(try (do (call $again)) (catch_all (loop (br 0))))",
      "(loop $l (block (br_table 0 $l (local.get 0))) (br 0))",
      "(loop $l (try (do (throw $t)) (catch $t (br $l))))",
      "(return_call $again)",
    ]
  ) {
    const bytes = await assemble(`(module (tag $t)
      (func $again (return_call $again))
      (func (export "run") (param i32) ${code}))`);
    const run = runMetered(bytes, 10_000, 1);
    assertEquals(run.result, "unreachable", code);
    assert(run.used > 10_000 && run.used < 10_020, `${code}: ${run.used}`);
  }
});

Deno.test("meterModule() counts a length before the instruction runs", async () => {
  const fill = (length: string) =>
    FRAME(`(memory.fill (i32.const 0) (i32.const 1) (i32.const ${length}))`);
  assertEquals(runMetered(await assemble(fill("65536")), 8195, 0).result, "unreachable");
  assertEquals(runMetered(await assemble(fill("65536")), 8196, 0).result, undefined);
  // Out of bounds, but its length is more than the fuel.
  assertEquals(runMetered(await assemble(fill("-1")), 1000, 0).result, "unreachable");
});

Deno.test("meterModule() does not add fuel for lengths of 64 bits", async () => {
  // A table with 64-bit indices: table.grow of a length that is negative as a signed number returns -1.
  const grow = (length: readonly number[]) =>
    moduleOf(
      section(SECTION.type, [1, 0x60, 0, 0]),
      section(SECTION.function, [1, 0]),
      section(SECTION.table, [1, 0x70, 5, 1, 9]),
      section(SECTION.export, [1, 3, 0x72, 0x75, 0x6e, 0, 0]),
      section(
        SECTION.code,
        vector([body([0xd0, 0x70, 0x42, ...length, 0xfc, 15, 0, 0x1a])]),
      ),
    );
  assertEquals(runMetered(grow([2]), 100), { result: undefined, used: 6 });
  for (
    const negative of [[0x7f], [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7f]]
  ) {
    assertEquals(runMetered(grow(negative), Number.MAX_SAFE_INTEGER).result, "unreachable");
  }
  const bytes = await assemble(`(module (memory i64 1)
    (func (export "run") (memory.fill (i64.const 0) (i32.const 0) (i64.const -8))))`);
  assertEquals(runMetered(bytes, 1e15).result, "unreachable");
});

Deno.test("meterModule() exports the start function instead of running it, under free names", async () => {
  const bytes = await assemble(`(module (global $g (mut i32) (i32.const 0))
    (func $s (global.set $g (i32.const 7))) (start $s)
    (func (export "run") (result i32) (global.get $g))
    (func (export "start")) (func (export "fuel")) (func (export "start2")))`);
  assertEquals(runMetered(bytes, 100), { result: 7, used: 3 });
  const { exports } = new WebAssembly.Instance(
    new WebAssembly.Module(meterModule(bytes, 100).bytes),
  );
  assertEquals(Object.keys(exports), ["run", "start", "fuel", "start2", "start3", "fuel3"]);
});

Deno.test("meterModule() refuses indices that only the rewritten module has", () => {
  const code = (...bytes: number[]) =>
    moduleOf(
      section(SECTION.type, [1, 0x60, 0, 0]),
      section(SECTION.function, [1, 0]),
      section(SECTION.global, [1, 0x7e, 1, 0x42, 0, 0x0b]),
      section(SECTION.code, vector([body(bytes)])),
    );
  assert(WebAssembly.validate(code(0x42, 5, 0x24, 0)));
  meterModule(code(0x42, 5, 0x24, 0), 9);
  const exported = moduleOf(
    section(SECTION.export, [1, 1, 0x78, 3, 0]), // global 0, which does not exist
  );
  // The engine does not check the start function that has become an export.
  const started = (type: number[], ...bytes: number[]) =>
    moduleOf(
      section(SECTION.type, [1, 0x60, ...type]),
      section(SECTION.function, [1, 0]),
      section(SECTION.start, [0]),
      section(SECTION.code, vector([body(bytes)])),
    );
  assert(WebAssembly.validate(started([0, 0])));
  meterModule(started([0, 0]), 9);
  for (
    const [bytes, text] of [
      [started([1, 0x7f, 0]), "start function"],
      [started([0, 1, 0x7f], 0x41, 0), "start function"],
      [started([0, 0], 0xd2, 0, 0x1a), "start function"], // ref.func of a function that nothing declares
      [code(0x42, 5, 0x24, 1), "no global variable 1"],
      [code(0x23, 1, 0x1a), "no global variable 1"],
      [code(0x42, 5, 0x21, 0), "no local variable 0"],
      [code(0x20, 0, 0x1a), "no local variable 0"],
      [code(0x42, 5, 0x22, 0, 0x1a), "no local variable 0"],
      [code(0x0c, 1), "no label 1"],
      [exported, "no global variable 0"],
    ] as const
  ) {
    assertEquals(WebAssembly.validate(bytes), false);
    assertThrows(() => meterModule(bytes, 9), PlasmError, text);
  }
});

Deno.test("meterModule() makes no invalid module valid, and no valid one invalid", async () => {
  const bytes = await assemble(FRAME(`(local i64)
    (block $b (loop $l (br_if $b (local.get 0)) (br_if $l (i32.const 0))
      (if (result i32) (local.get 0) (then (i32.const 1)) (else (br $b))) drop))
    (memory.fill (i32.const 0) (i32.const 0) (local.get 0)) (call $callee)`));
  let index = 0;
  let valid = 0;
  for (const mutation of mutationsOf(bytes)) {
    if (index++ % 7 !== 0) continue;
    const mutant = mutation();
    const isValid = WebAssembly.validate(mutant);
    let metered: Uint8Array<ArrayBuffer> | undefined;
    try {
      metered = meterModule(mutant, 1000).bytes;
    } catch (error) {
      assert(error instanceof PlasmError, `${error}`);
    }
    if (isValid) valid++;
    // Imports other than functions are refused by inspection, and never metered.
    if (metered !== undefined) assertEquals(WebAssembly.validate(metered), isValid, `${index}`);
    else assert(!isValid || !isCommandLike(mutant), `mutant ${index} is refused`);
  }
  assert(valid > 100, `${valid}`);
});

/** Whether all imports are functions. */
function isCommandLike(bytes: Uint8Array<ArrayBuffer>): boolean {
  const imports = WebAssembly.Module.imports(new WebAssembly.Module(bytes));
  return imports.every(({ kind }) => kind === "function");
}

Deno.test("meterModule() maps the locations of traps back", async () => {
  const bytes = await assemble(FRAME(`(loop (call $callee) (br_if 0 (i32.eqz (local.get 0)))
    (if (local.get 0) (then (drop (i32.div_u (i32.const 1) (i32.sub (local.get 0) (local.get 0)))))))`));
  const locationOf = (module: Uint8Array<ArrayBuffer>): number => {
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(module), {
      host: { call: () => {} },
    });
    try {
      (exports.run as (value: number) => void)(1);
    } catch (error) {
      const [, offset] = /:0x([0-9a-f]+)\)?$/.exec((error as Error).stack!.split("\n")[1]!)!;
      return parseInt(offset!, 16);
    }
    throw new Error("it did not trap");
  };
  const metered = meterModule(bytes, 1000);
  const location = locationOf(metered.bytes);
  assert(location !== locationOf(bytes));
  assertEquals(metered.insertions.original(location), locationOf(bytes));
});

Deno.test("meterModule() refuses functions that are too large afterwards", () => {
  const locals = (count: number) =>
    moduleOf(
      section(SECTION.type, [1, 0x60, 0, 0]),
      section(SECTION.function, [1, 0]),
      section(SECTION.code, vector([body([], [[count, 0x7f]])])),
    );
  assert(WebAssembly.validate(meterModule(locals(49_997), 9).bytes));
  assert(WebAssembly.validate(locals(50_000)));
  assertThrows(() => meterModule(locals(50_000), 9), PlasmError, "limit 50000");
});
