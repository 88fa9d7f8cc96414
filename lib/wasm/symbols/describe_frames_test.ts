import { assertEquals } from "@std/assert";
import {
  concat,
  leb,
  name,
  SECTION,
  section,
  signedLeb,
} from "../../../tests/fixtures/hostile/binary.ts";
import { assemble } from "../../../tests/fixtures/reorder_modules.ts";
import { readSections } from "../sections.ts";
import { describeFrames } from "./describe_frames.ts";

const MODULE = await assemble(`(module (memory (export "memory") 1)
  (func $first (nop)) (func $_Z3foov (unreachable)) (func (export "_start") (call $_Z3foov)))`);
const CODE = readSections(MODULE).known.get("code")!.start;

/** Offsets in the code section: each body has its size and locals before its first instruction. */
const BODIES = { first: 1 + 2, foo: 1 + 4 + 2, start: 1 + 4 + 4 + 2 };

const IN_CODE = { isInCode: true };

const text = (value: string): Uint8Array => concat(new TextEncoder().encode(value), [0]);
const u16 = (value: number): number[] => [value & 0xff, value >> 8];
const u32 = (value: number): number[] => [...u16(value & 0xffff), ...u16(value >>> 16)];

/** Rows: `foo` is line 7 column 3, and `_start` line 9. */
const PROGRAM = concat(
  [0, 5, 2, ...u32(BODIES.foo - 2)], // set the address
  [3, ...signedLeb(6), 5, 3, 1], // advance the line, set the column, copy
  [2, 4, 3, ...signedLeb(2), 5, 0, 1], // advance the address, the line
  [2, 4, 0, 1, 1], // end of the sequence
);

/** Standard operands of opcodes 1 to 12. */
const OPERANDS = [0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1];

function lineTable(version: 4 | 5): Uint8Array {
  const files = version === 4 ? concat(text("src"), [0], text("foo.c"), [1, 0, 0], [0]) : concat(
    [1, ...leb(1), ...leb(0x08), 1],
    text("/build"),
    [2, ...leb(1), ...leb(0x1f), ...leb(2), ...leb(0x0b), 2],
    [...u32(0), 0, ...u32(0), 0],
  );
  const header = concat([1, 1, 1, 0xfb, 14, 13], OPERANDS, files);
  const unit = concat(
    u16(version),
    version === 5 ? [4, 0] : [],
    u32(header.length),
    header,
    PROGRAM,
  );
  return concat(u32(unit.length), unit);
}

function withSections(sections: Record<string, Uint8Array>): Uint8Array {
  return concat(
    MODULE,
    ...Object.entries(sections).map(([key, content]) =>
      section(SECTION.custom, concat(name(key), content))
    ),
  );
}

const unknown = { file: null, line: null, column: null };

Deno.test("describeFrames() names functions by the name section, demangled", () => {
  assertEquals(describeFrames(MODULE, [BODIES.foo, BODIES.start], IN_CODE), [
    { offset: CODE + BODIES.foo, function: 1, name: "foo()", ...unknown },
    { offset: CODE + BODIES.start, function: 2, name: null, ...unknown },
  ]);
});

for (const version of [4, 5] as const) {
  Deno.test(`describeFrames() finds source lines in a DWARF ${version} line table`, () => {
    const module = withSections({
      ".debug_line": lineTable(version),
      ".debug_line_str": text("foo.c"),
    });
    const frames = describeFrames(module, [BODIES.first, BODIES.foo, BODIES.start], IN_CODE);
    const file = version === 4 ? "src/foo.c" : "/build/foo.c";
    assertEquals(frames.map(({ file, line, column }) => ({ file, line, column })), [
      unknown,
      { file, line: 7, column: 3 },
      { file, line: 9, column: null },
    ]);
    assertEquals(describeFrames(module, [CODE + BODIES.foo], { isInCode: false }), [frames[1]]);
  });
}

Deno.test("describeFrames() escapes names and files of the module", () => {
  const forged = "a\u{202e}b\x1b[2J\nc";
  const names = section(1, concat(leb(1), leb(1), name(forged)));
  const stripped = MODULE.subarray(0, readSections(MODULE).known.get("code")!.end);
  const module = concat(stripped, section(SECTION.custom, concat(name("name"), names)));
  const [frame] = describeFrames(module, [BODIES.foo], IN_CODE);
  assertEquals(frame?.name, "a\\u202eb\\u001b[2J\\u000ac");
});

Deno.test("describeFrames() ignores debug information that is malformed", () => {
  const table = lineTable(5);
  for (const version of [4, 5] as const) {
    const valid = lineTable(version);
    for (let at = 0; at < valid.length; at++) {
      for (const value of [0, 0x7f, 0xff]) {
        const changed = valid.slice();
        changed[at] = value;
        describeFrames(withSections({ ".debug_line": changed }), [BODIES.foo], IN_CODE);
      }
      describeFrames(withSections({ ".debug_line": valid.slice(0, at) }), [BODIES.foo], IN_CODE);
    }
  }
  const names = withSections({ name: Uint8Array.of(1, 200, 5), ".debug_line": table });
  assertEquals(describeFrames(names, [BODIES.foo, 9999], IN_CODE).map(({ function: at }) => at), [
    1,
    null,
  ]);
  assertEquals(describeFrames(new Uint8Array(3), [5], IN_CODE), [
    { offset: 5, function: null, name: null, ...unknown },
  ]);
});
