import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { PlasmError } from "../../core/errors/mod.ts";
import { assemble } from "../../../tests/fixtures/reorder_modules.ts";
import { FLOAT_ARITHMETIC, SIMD_ARITHMETIC } from "../opcodes.ts";
import { reorderFunctions } from "../reorder/mod.ts";
import { instrument, type InstrumentedModule } from "./instrument.ts";
import { PLAIN_EFFECTS, PREFIXED_EFFECTS, ROLE } from "./stack_effects.ts";

function canonicalized(
  bytes: Uint8Array<ArrayBuffer>,
  arithmetic?: Uint8Array,
): InstrumentedModule {
  return instrument(bytes, { canonicalizeNaN: true, arithmetic });
}

/** Number of places in a function at which values are made canonical: each has an `if` and one constant. */
function places(before: Uint8Array, after: Uint8Array): number {
  const count = (bytes: Uint8Array): number =>
    bytes.reduce((sum, byte, at) => sum + (byte === 0x04 && bytes[at + 1] === 0x40 ? 1 : 0), 0);
  return count(after) - count(before);
}

async function placesIn(body: string): Promise<number> {
  const bytes = await assemble(`(module (memory 1) (global $g (mut f64) (f64.const 0))
    (func $callee (param f64) (result f64) (local.get 0))
    (func (export "run") (param $a i32) (param $p f64)
      (local $x f64) (local $y f64) (local $v v128) (local $i i32) ${body}))`);
  const after = canonicalized(bytes).bytes;
  new WebAssembly.Module(after);
  return places(bytes, after);
}

const LOAD = "(f64.load (local.get $a))";
const ADD = `(f64.add ${LOAD} ${LOAD})`;
const KEEP = "(f64.store (local.get $a) (local.get $x))";

for (
  const [what, body, expected] of [
    ["a stored result", `(f64.store (local.get $a) ${ADD})`, 1],
    [
      "only the last of a chain",
      `(f64.store (local.get $a) (f64.sqrt (f64.mul ${ADD} ${ADD})))`,
      1,
    ],
    ["a result in a global variable", `(global.set $g ${ADD})`, 1],
    ["an argument, not its call's result", `(f64.store (local.get $a) (call $callee ${ADD}))`, 1],
    ["the operand of reinterpret", `(drop (i64.reinterpret_f64 ${ADD}))`, 1],
    ["the operand of a stored negation", `(f64.store (local.get $a) (f64.neg ${ADD}))`, 1],
    ["the sign's operand of copysign", `(drop (f64.copysign (f64.const 1) ${ADD}))`, 1],
    [
      "a result chosen with a moved value",
      `(f64.store (local.get $a)
      (select ${ADD} ${LOAD} (local.get $a)))`,
      1,
    ],
    [
      "a result where it joins a moved value",
      `(if (local.get $a) (then (local.set $x ${ADD}))
      (else (local.set $x (local.get $p)))) ${KEEP}`,
      1,
    ],
    [
      "a stored vector",
      `(v128.store (local.get $a)
      (f32x4.add (local.get $v) (local.get $v)))`,
      1,
    ],
    ["lanes that are used as others", `(local.set $v (f64x2.sqrt (f32x4.sqrt (local.get $v))))`, 1],
  ] as const
) {
  Deno.test(`canonicalizeNaN() makes canonical ${what}`, async () => {
    assertEquals(await placesIn(body), expected);
  });
}

for (
  const [what, body] of [
    ["a value that is loaded and stored", `(f64.store (local.get $a) ${LOAD})`],
    [
      "a value moved through variables and a choice",
      `(local.set $x (local.get $p))
      (global.set $g (select (local.get $x) ${LOAD} (local.get $a)))
      (local.set $y (f64.add (local.get $x) (local.get $x)))`,
    ],
    ["a converted integer", "(f64.store (local.get $a) (f64.convert_i32_s (local.get $a)))"],
    ["a result that is compared", `(if (f64.lt ${ADD} ${LOAD}) (then unreachable))`],
    ["a result that is dropped", `(drop ${ADD})`],
    [
      "a result that a loop carries for arithmetic",
      `(loop $again
      (local.set $x (f64.add (local.get $x) ${LOAD}))
      (br_if $again (f64.gt (local.get $x) (f64.const 1))))`,
    ],
    ["negation for arithmetic", `(drop (f64.add (f64.neg ${ADD}) ${LOAD}))`],
  ] as const
) {
  Deno.test(`canonicalizeNaN() does not change ${what}`, async () => {
    assertEquals(await placesIn(body), 0);
  });
}

Deno.test("canonicalizeNaN() makes a result canonical after the loop that carries it", async () => {
  const body = `(loop $again
      (local.set $x (f64.add (local.get $x) ${LOAD}))
      (br_if $again (local.get $a)))`;
  const bytes = await assemble(
    `(module (memory 1) (func (export "run") (param $a i32) (local $x f64)
    ${body} ${KEEP}))`,
  );
  const { bytes: after } = canonicalized(bytes);
  // Nothing is inserted before the loop's branch.
  const branch = (all: Uint8Array): number => all.lastIndexOf(0x0d);
  assertEquals(places(bytes, after), 1);
  assertEquals(
    after.subarray(branch(after) - 12, branch(after)),
    bytes.subarray(branch(bytes) - 12, branch(bytes)),
  );
});

Deno.test("canonicalizeNaN() returns a module without float arithmetic as it is", async () => {
  const bytes = await assemble('(module (memory 1) (func (export "run") (drop (f64.const 1))))');
  const { bytes: after, original } = canonicalized(bytes);
  assertStrictEquals(after, bytes);
  assertEquals(original(20), 20);
});

Deno.test("canonicalizeNaN() drops custom sections, and maps every instruction back", async () => {
  const assembled = await assemble(`(module (memory 1)
    (func $unchanged (drop (i32.clz (i32.const 1))))
    (func $first (param f64) (result f64) (f64.sqrt (local.get 0)))
    (func $second (param f64) (result f64) (f64.floor (call $first (local.get 0)))))`);
  // One more custom section, before the code.
  const custom = [0, 5, 1, 0x61, 0, 0, 0];
  const bytes = Uint8Array.of(...assembled.subarray(0, 8), ...custom, ...assembled.subarray(8));
  const { bytes: after, original } = canonicalized(bytes);
  assertEquals(WebAssembly.Module.customSections(new WebAssembly.Module(bytes), "name").length, 1);
  assertEquals(WebAssembly.Module.customSections(new WebAssembly.Module(after), "name").length, 0);
  for (const opcode of [0x67, 0x9f, 0x9c, 0x10]) {
    assertEquals(original(after.indexOf(opcode, 30)), bytes.indexOf(opcode, 30));
  }
});

Deno.test("canonicalizeNaN() reads the same bodies as reorderFunctions() marks", async () => {
  const functions = Array.from(
    { length: 40 },
    (_, index) =>
      `(func (export "f${index}") (param f64) (result f64)
      (f64.${["neg", "sqrt", "abs", "ceil"][index % 4]} (local.get 0)))`,
  );
  const { bytes, arithmetic } = reorderFunctions(await assemble(`(module ${functions.join("")})`));
  assertEquals(arithmetic!.filter((mark) => mark === 1).length, 20);
  assertEquals(canonicalized(bytes, arithmetic).bytes, canonicalized(bytes).bytes);
});

Deno.test("stack effects and opcode tables agree on what is float arithmetic", () => {
  const marked = (roles: Uint8Array): number[] =>
    [...roles].flatMap((role, opcode) => role === ROLE.ARITHMETIC ? [opcode] : []);
  const listed = (marks: Uint8Array): number[] =>
    [...marks].flatMap((mark, opcode) => mark === 1 ? [opcode] : []);
  assertEquals(marked(PLAIN_EFFECTS.role), listed(FLOAT_ARITHMETIC));
  assertEquals(marked(PREFIXED_EFFECTS.get(0xfd)!.role), listed(SIMD_ARITHMETIC));
});

/** A module of one function without parameters and the given locals and code. */
function oneFunction(locals: readonly number[], code: readonly number[]): Uint8Array<ArrayBuffer> {
  const leb = (value: number): number[] =>
    value < 0x80 ? [value] : [value & 0x7f | 0x80, ...leb(value >>> 7)];
  const body = [...locals, ...code, 0x0b];
  const content = [1, ...leb(body.length), ...body];
  return Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...[1, 4, 1, 0x60, 0, 0],
    ...[3, 2, 1, 0],
    ...[6, 13, 1, 0x7c, 1, 0x44, 0, 0, 0, 0, 0, 0, 0, 0, 0x0b],
    ...[10, ...leb(content.length), ...content],
  ]);
}

const NUMBER = [0x44, 1, 0, 0, 0, 0, 0, 0, 0];
/** Sets the global variable to a square root. */
const VISIBLE = [...NUMBER, 0x9f, 0x24, 0];

function refusal(bytes: Uint8Array<ArrayBuffer>): string {
  const error = assertThrows(() => canonicalized(bytes), PlasmError);
  assertEquals(error.code, "bad-module");
  return error.message;
}

Deno.test("canonicalizeNaN() refuses instructions that it does not know and names them", () => {
  assertEquals(
    refusal(oneFunction([0], [...VISIBLE, 0x16])),
    "Cannot run module: its code section has an unknown instruction 0x16 at byte 50",
  );
  assertEquals(
    refusal(oneFunction([0], [0xfd, 0x9a, 0x01])),
    "Cannot run module: its code section has an unsupported instruction 0xfd 154 at byte 38",
  );
  assert(refusal(oneFunction([0], [...VISIBLE, 0xfe, 3, 0])).includes("0xfe 3"));
});

Deno.test("canonicalizeNaN() refuses an index that its own variables would make valid", () => {
  const invalid = oneFunction([0], [...VISIBLE, 0x20, 0, 0x1a]);
  assert(!WebAssembly.validate(invalid));
  assert(refusal(invalid).includes("has no local variable 0"));
  // Also in code that is never executed.
  assert(refusal(oneFunction([0], [...VISIBLE, 0, 0x20, 0, 0x1a])).includes("local variable 0"));
});

Deno.test("canonicalizeNaN() refuses a function that would exceed V8's limits", () => {
  const locals = [1, 0xd0, 0x86, 0x03, 0x7f]; // 50,000
  assert(WebAssembly.validate(oneFunction(locals, VISIBLE)));
  assert(refusal(oneFunction(locals, VISIBLE)).includes("50003 local variables"));
  const code = Array<number[]>(250_000).fill(VISIBLE).flat();
  assert(WebAssembly.validate(oneFunction([0], code)));
  assert(refusal(oneFunction([0], code)).endsWith("limit 7654321"));
});

Deno.test("canonicalizeNaN() bounds the work for functions of many variables and branches", () => {
  const many = [1, 0xa0, 0x9c, 0x01, 0x7c]; // 20,000 of f64
  const loops = [...NUMBER, 0x9f, 0x21, 0, ...Array<number[]>(200).fill([0x03, 0x40]).flat()];
  const code = [...loops, 0x20, 0, 0x24, 0, ...Array<number>(200).fill(0x0b)];
  const bytes = oneFunction(many, code);
  const after = canonicalized(bytes).bytes;
  assert(WebAssembly.validate(after));
  assertEquals(places(bytes, after), 1);
});
