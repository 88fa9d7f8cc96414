import { assert, assertEquals, assertStrictEquals } from "@std/assert";
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
import { type InspectLimits, inspectModule } from "./inspect.ts";

const LIMITS: InspectLimits = { moduleBytes: 65_536, memoryBytes: 1_048_576, tableEntries: 100 };

/** A module with every kind of section. */
const RICH = `(module
  (type $v (func)) (type $r (func (param i64 f32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_seek" (func (param i32 i64 i32 i32) (result i32)))
  (table 2 8 funcref) (table $x 1 externref)
  (memory (export "memory") 1) (memory 2 3) (memory i64 1)
  (tag (param i32))
  (global $g (mut i64) (i64.const -5)) (global f64 (f64.const 1.5))
  (export "_start" (func $s)) (export "table" (table $x)) (export "g" (global $g))
  (start $s)
  (elem (i32.const 0) $s $w) (elem func $w)
  (func $s (local i32 i64) (drop (call $w (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 0))))
  (func (type $r) (data.drop 1) (memory.grow (i32.const 1)))
  (data (i32.const 8) "hello") (data "passive"))`;

const GC = moduleOf(
  section(1, [2, 0x60, 0, 0, 0x4e, 2, 0x50, 0, 0x5f, 1, 0x63, 1, 1, 0x5e, 0x78, 1]),
  COMMAND.function,
  section(4, [2, 0x40, 0, 0x63, 0, 0, 1, 0xd2, 0, 0x0b, 0x70, 1, 0, 4]),
  COMMAND.memory,
  COMMAND.export,
  section(0, concat(name("name"), [0, 1, 0])),
  COMMAND.code,
);

/** Pseudo-random numbers below `limit` from a fixed seed (mulberry32), so that a failure can be reproduced. */
function numbers(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = state + 0x6d2b79f5 | 0;
    let mixed = Math.imul(state ^ state >>> 15, state | 1);
    mixed ^= mixed + Math.imul(mixed ^ mixed >>> 7, mixed | 61);
    return Math.floor(((mixed ^ mixed >>> 14) >>> 0) / 2 ** 32 * limit);
  };
}

/**
 * Checks the invariants of any input: only a PlasmError is thrown, V8 accepts the rewritten module if it accepts the
 * input, all maxima are within the limits, and a second inspection changes nothing.
 */
function check(bytes: Uint8Array<ArrayBuffer>): "refused" | "invalid" | "valid" {
  let inspected;
  try {
    inspected = inspectModule(bytes, LIMITS);
  } catch (error) {
    if (error instanceof PlasmError) return "refused";
    throw error;
  }
  const sum = (of: number[]): number => of.reduce((total, one) => total + one, 0);
  assert(sum(inspected.memories.map((memory) => memory.maximumBytes)) <= LIMITS.memoryBytes);
  assert(sum(inspected.tables.map((table) => table.maximumEntries)) <= LIMITS.tableEntries!);
  const again = inspectModule(inspected.bytes, LIMITS);
  assertStrictEquals(again.bytes, inspected.bytes);
  assertEquals({ memories: again.memories, tables: again.tables }, {
    memories: inspected.memories,
    tables: inspected.tables,
  });
  if (!WebAssembly.validate(bytes)) return "invalid";
  assert(WebAssembly.validate(inspected.bytes), "the rewritten module is not valid");
  return "valid";
}

async function seeds(): Promise<Uint8Array<ArrayBuffer>[]> {
  return [await assemble(RICH), GC];
}

Deno.test("inspectModule() rejects a module truncated at any byte", async () => {
  for (const bytes of await seeds()) {
    assertEquals(check(bytes), "valid");
    for (let length = 0; length < bytes.length; length++) {
      assert(check(bytes.slice(0, length)) !== "valid", `${length}`);
    }
  }
});

Deno.test("inspectModule() rejects or accepts every value of every byte", async () => {
  for (const bytes of await seeds()) {
    const ends = { refused: 0, invalid: 0, valid: 0 };
    for (let offset = 0; offset < bytes.length; offset++) {
      const mutant = bytes.slice();
      for (let value = 0; value < 256; value++) {
        mutant[offset] = value;
        ends[check(mutant)]++;
      }
    }
    assertEquals(ends.refused + ends.invalid + ends.valid, bytes.length * 256);
    assert(ends.refused > 10_000 && ends.valid > 1_000, JSON.stringify(ends));
  }
});

Deno.test("inspectModule() rejects or accepts modules with many mutations", async () => {
  const random = numbers(0x706c6173);
  const all = await seeds();
  const ends = { refused: 0, invalid: 0, valid: 0 };
  for (let round = 0; round < 20_000; round++) {
    let mutant = all[round % all.length]!;
    for (let changes = 1 + random(4); changes > 0; changes--) {
      const at = random(mutant.length);
      const size = random(4);
      const inserted = Array.from({ length: random(3) }, () => random(256));
      mutant = concat(mutant.subarray(0, at), inserted, mutant.subarray(at + size));
    }
    ends[check(mutant)]++;
  }
  assert(ends.refused > 10_000 && ends.valid > 50, JSON.stringify(ends));
});

Deno.test("inspectModule() rejects or accepts random bytes after a header", () => {
  const random = numbers(1);
  for (let round = 0; round < 5_000; round++) {
    check(moduleOf(Array.from({ length: random(200) }, () => random(256))));
  }
});

/** Offsets of a section, its size field, its content and its end. */
interface Span {
  start: number;
  sizeAt: number;
  contentAt: number;
  end: number;
}

function spans(bytes: Uint8Array): Span[] {
  const found: Span[] = [];
  for (let start = 8; start < bytes.length;) {
    let size = 0;
    let at = start + 1;
    for (let shift = 0;; shift += 7) {
      const byte = bytes[at++]!;
      size |= (byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    found.push({ start, sizeAt: start + 1, contentAt: at, end: at + size });
    start = at + size;
  }
  return found;
}

Deno.test("inspectModule() rejects duplicate and misordered sections", async () => {
  for (const bytes of await seeds()) {
    const parts = spans(bytes).map(({ start, end }) => bytes.subarray(start, end));
    const known = parts.filter((part) => part[0] !== 0);
    const ends = { refused: 0, invalid: 0, valid: 0 };
    known.forEach((part, index) => {
      ends[check(moduleOf(...known.slice(0, index), part, ...known.slice(index)))]++;
      ends[check(moduleOf(...known, part))]++;
      for (let other = index + 1; other < known.length; other++) {
        ends[check(moduleOf(...known.with(index, known[other]!).with(other, part)))]++;
      }
    });
    const count = known.length * 2 + known.length * (known.length - 1) / 2;
    assertEquals(ends, { refused: count, invalid: 0, valid: 0 });
    // Custom sections may occur anywhere and any number of times.
    const custom = section(0, concat(name("x"), [1, 2, 3]));
    assertEquals(
      check(moduleOf(custom, ...known.flatMap((part) => [part, custom, custom]))),
      "valid",
    );
  }
});

Deno.test("inspectModule() rejects false section lengths", async () => {
  const falseSizes = (size: number): number[] => [
    ...[0, size - 1, size + 1, size * 2, 127, 128, 65_535, 2 ** 31 - 1, 2 ** 32 - 1],
  ];
  for (const bytes of await seeds()) {
    for (const { sizeAt, contentAt, end } of spans(bytes)) {
      for (const wrong of falseSizes(end - contentAt)) {
        if (wrong === end - contentAt || wrong < 0) continue;
        const changed = concat(bytes.subarray(0, sizeAt), leb(wrong), bytes.subarray(contentAt));
        assert(check(changed) !== "valid", `${wrong} at ${sizeAt}`);
      }
      // Overlong integers.
      for (const size of [[0x80, 0x80, 0x80, 0x80, 0x80, 0], [0xff, 0xff, 0xff, 0xff, 0x7f]]) {
        const changed = concat(bytes.subarray(0, sizeAt), size, bytes.subarray(contentAt));
        assertEquals(check(changed), "refused");
      }
    }
  }
});
