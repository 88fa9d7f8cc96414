import { assert, assertEquals, assertNotEquals } from "@std/assert";
import {
  body,
  concat,
  moduleOf,
  name,
  SECTION,
  section,
  vector,
} from "../../../tests/fixtures/hostile/binary.ts";
import { random } from "../../../tests/fixtures/random_source.ts";
import { FrameMap, reorderFunctions } from "./reorder.ts";
import { readSections } from "../sections.ts";
import { readCode } from "./code_section.ts";
import { randomModule } from "../../../tests/fixtures/reorder_modules.ts";

/** Results or trap locations of a module for several arguments. */
function behaviour(bytes: Uint8Array<ArrayBuffer>, frames: FrameMap): unknown[] {
  const imports = { wasi_snapshot_preview1: { sched_yield: () => 0 } };
  const seen: unknown[] = [];
  const attempt = (run: () => unknown): void => {
    try {
      seen.push(run());
    } catch (error) {
      assert(error instanceof WebAssembly.RuntimeError, `${error}`);
      const match = /:0x([0-9a-f]+)\)?$/.exec(error.stack!.split("\n")[1]!)!;
      const place = frames.original(parseInt(match[1]!, 16))!;
      seen.push(`${error.message} ${place.index} ${place.offset}`);
    }
  };
  attempt(() => {
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), imports);
    const { run, other } = exports as Record<string, (value: number) => number>;
    seen.push((exports.started as WebAssembly.Global).value);
    for (let value = 0; value < 40; value++) {
      attempt(() => run!(value * 77));
      attempt(() => other!(value));
    }
  });
  return seen;
}

/** Frame map of a module that is not reordered. */
function sameFrames(bytes: Uint8Array<ArrayBuffer>): FrameMap {
  const code = readCode(bytes, readSections(bytes).known.get("code")!, 1)!;
  const order = { imported: 1, fillers: 0, changes: false, index: (old: number) => old };
  return new FrameMap({ code, order, starts: code.start });
}

Deno.test("reorderFunctions() preserves the behaviour and the trap locations of a module", async () => {
  let moved = 0;
  for (let seed = 1; seed <= 30; seed++) {
    const bytes = await randomModule({ seed, functions: 2 + seed * 6 });
    const reordered = reorderFunctions(bytes);
    if (reordered.bytes !== bytes) moved++;
    const [now, before] = [
      behaviour(reordered.bytes, reordered.frames!),
      behaviour(bytes, sameFrames(bytes)),
    ];
    assertEquals(now, before, `seed ${seed}`);
  }
  assertEquals(moved, 30);
});

Deno.test("reorderFunctions() returns a reordered module unchanged", async () => {
  const { bytes } = reorderFunctions(await randomModule({ seed: 7, functions: 100 }));
  assertEquals(reorderFunctions(bytes).bytes, bytes);
});

Deno.test("reorderFunctions() never throws and preserves validity when bytes are corrupted", async () => {
  const below = random(11);
  let accepted = 0;
  for (let seed = 1; seed <= 8; seed++) {
    const bytes = await randomModule({ seed, functions: 8 * seed });
    for (let round = 0; round < 150; round++) {
      const changed = bytes.slice(0, round % 3 === 0 ? below(bytes.length) : bytes.length);
      for (let left = below(4); left > 0 && changed.length > 0; left--) {
        changed[below(changed.length)] = below(256);
      }
      const reordered = reorderFunctions(changed);
      if (!WebAssembly.validate(changed)) continue;
      accepted++;
      assert(WebAssembly.validate(reordered.bytes), `seed ${seed}, round ${round}`);
    }
  }
  assertNotEquals(accepted, 0);
});

Deno.test("reorderFunctions() returns the input when it is not a module, has no code or is random", () => {
  const below = random(3);
  for (const length of [0, 4, 8, 9, 20, 300]) {
    const bytes = Uint8Array.from({ length }, () => below(256));
    bytes.set([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0].slice(0, length));
    const reordered = reorderFunctions(bytes);
    assert(reordered.bytes === bytes);
    assertEquals(reordered.frames, undefined);
  }
});

Deno.test("reorderFunctions() rewrites function references in GC and SIMD initializers", () => {
  const constant = (value: number) => body([0x41, value]);
  // Calls the function in the struct on the stack.
  const call = [0xfb, 2, 1, 0, 0x14, 0];
  const fromTable = (index: number) => body([0x41, index, 0x25, 0, ...call]);
  const structOf = (index: number) => [0xd2, index, 0xfb, 0, 1, 0x0b];
  const bytes = moduleOf(
    // A function that returns an i32, a struct with a reference to one, and a function without results.
    section(SECTION.type, [3, 0x60, 0, 1, 0x7f, 0x5f, 1, 0x63, 0, 0, 0x60, 0, 0]),
    section(SECTION.function, [6, 0, 0, 0, 0, 0, 2]),
    section(SECTION.table, [1, 0x40, 0, 0x63, 1, 0, 2, ...structOf(0)]),
    section(
      SECTION.global,
      vector([
        [0x64, 1, 0, ...structOf(1)],
        [0x7b, 0, 0xfd, 12, ...Array(16).fill(0xd2), 0x0b],
        [0x6c, 0, 0x41, 5, 0xfb, 28, 0x0b],
      ]),
    ),
    section(
      SECTION.export,
      vector(["global", "table0", "table1"].map((label, at) => concat(name(label), [0, 2 + at]))),
    ),
    section(SECTION.element, [1, 6, 0, 0x41, 1, 0x0b, 0x63, 1, 1, ...structOf(1)]),
    section(
      SECTION.code,
      vector([
        ...[constant(7), constant(9), body([0x23, 0, ...call]), fromTable(0), fromTable(1)],
        body([0x03, 0x40, 0x41, 0, 0x0d, 0, 0x0b]), // a loop
      ]),
    ),
  );
  const reordered = reorderFunctions(bytes);
  assert(reordered.bytes !== bytes);
  for (const module of [bytes, reordered.bytes]) {
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(module));
    const results = Object.values(exports).map((run) => (run as () => number)());
    assertEquals(results, [9, 7, 9]);
  }
});

Deno.test("reorderFunctions() returns the input when a function index is out of range", async () => {
  const bytes = await randomModule({ seed: 3, functions: 20 });
  // One imported function, 20 and the start function.
  for (const [index, moved] of [[21, true], [22, false], [53, false]] as const) {
    const changed = concat(bytes, []);
    const start = readSections(changed).known.get("start")!;
    changed[start.start] = index;
    assertEquals(reorderFunctions(changed).bytes !== changed, moved, `${index}`);
  }
});
