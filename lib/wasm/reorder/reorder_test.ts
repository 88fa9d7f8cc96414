import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { random } from "../../../tests/fixtures/random_source.ts";
import { reorderFunctions } from "./reorder.ts";
import { readSections } from "../sections.ts";
import { readCode } from "./code_section.ts";
import { FrameMap } from "./frame_map.ts";
import { randomModule } from "../../../tests/fixtures/reorder_modules.ts";

/** What a module does for some numbers: its answers, or where it traps. */
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

/** The places of a module that is not arranged. */
function sameFrames(bytes: Uint8Array<ArrayBuffer>): FrameMap {
  const code = readCode(bytes, readSections(bytes).known.get("code")!)!;
  const order = { imported: 1, fillers: 0, changes: false, index: (old: number) => old };
  return new FrameMap({ code, order, starts: code.start });
}

Deno.test("reorderFunctions() keeps the behaviour and the trap locations of a module", async () => {
  let moved = 0;
  for (let seed = 1; seed <= 30; seed++) {
    const bytes = await randomModule({ seed, functions: 2 + seed * 6 });
    const arranged = reorderFunctions(bytes);
    if (arranged.bytes !== bytes) moved++;
    const [now, before] = [
      behaviour(arranged.bytes, arranged.frames!),
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

Deno.test("reorderFunctions() never throws and keeps valid modules valid when bytes are corrupted", async () => {
  const below = random(11);
  let accepted = 0;
  for (let seed = 1; seed <= 8; seed++) {
    const bytes = await randomModule({ seed, functions: 8 * seed });
    for (let round = 0; round < 150; round++) {
      const changed = bytes.slice(0, round % 3 === 0 ? below(bytes.length) : bytes.length);
      for (let left = below(4); left > 0 && changed.length > 0; left--) {
        changed[below(changed.length)] = below(256);
      }
      const arranged = reorderFunctions(changed);
      if (!WebAssembly.validate(changed)) continue;
      accepted++;
      assert(WebAssembly.validate(arranged.bytes), `seed ${seed}, round ${round}`);
    }
  }
  assertNotEquals(accepted, 0);
});

Deno.test("reorderFunctions() returns the input when it is not a module, has no code or is random", () => {
  const below = random(3);
  for (const length of [0, 4, 8, 9, 20, 300]) {
    const bytes = Uint8Array.from({ length }, () => below(256));
    bytes.set([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0].slice(0, length));
    const arranged = reorderFunctions(bytes);
    assert(arranged.bytes === bytes);
    assertEquals(arranged.frames, undefined);
  }
});
