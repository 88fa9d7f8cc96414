import { assert, assertEquals, assertNotEquals } from "@std/assert";
import fc from "fast-check";
import { type Behaviour, behaviourOf, firstDifference } from "../fixtures/generated/behaviour.ts";
import { Choices, type ChoicesOptions } from "../fixtures/generated/choices.ts";
import { generateFloatProgram } from "../fixtures/generated/float_programs.ts";
import { generateModule } from "../fixtures/generated/module_generator.ts";
import { meterNaively, NAIVE_COUNT } from "../fixtures/generated/naive_meter.ts";
import { FuelGauge } from "../../lib/sandbox/worker/fuel_gauge.ts";
import { InstructionReader } from "../../lib/wasm/instrument/instruction_reader.ts";
import { instrument } from "../../lib/wasm/instrument/mod.ts";
import { ByteReader } from "../../lib/wasm/reader.ts";
import { reorderFunctions } from "../../lib/wasm/reorder/mod.ts";
import { readSections } from "../../lib/wasm/sections.ts";

/**
 * Number of modules of each comparison. Any number can be asked for:
 *
 *     PLASM_FUZZ_RUNS=1000000 PLASM_FUZZ_SEED=7 deno task test tests/integration/rewriting_test.ts
 */
const RUNS = Number(Deno.env.get("PLASM_FUZZ_RUNS") ?? 800);

/** Seed of fast-check, which prints it with the module's own seed and length when a comparison fails. */
const SEED = Number(Deno.env.get("PLASM_FUZZ_SEED") ?? 1);

/** Seed and length of a module's choices; shrinks to a small module. */
const MODULE: fc.Arbitrary<ChoicesOptions> = fc.record({ seed: fc.nat(), length: fc.nat(3000) });

/** Checks a property of generated modules, and of those with the given choices. */
function forModules(
  property: (choices: ChoicesOptions) => void,
  ...examples: ChoicesOptions[]
): void {
  fc.assert(fc.property(MODULE, property), {
    seed: SEED,
    numRuns: RUNS,
    examples: examples.map((choices) => [choices]),
  });
}

Deno.test("reorderFunctions() preserves the behaviour of generated modules", () => {
  let moved = 0;
  forModules((choices) => {
    const bytes = generateModule(new Choices(choices));
    const reordered = reorderFunctions(bytes);
    assert(reordered.frames !== undefined);
    if (reordered.bytes !== bytes) moved++;
    assertEquals(firstDifference(behaviourOf(bytes), behaviourOf(reordered.bytes)), undefined);
  });
  assert(moved > RUNS / 2, `${moved} modules were reordered`);
});

Deno.test("instrument() gives generated modules the behaviour of canonical NaNs after each operation", () => {
  let changed = 0;
  forModules((choices) => {
    const bytes = generateModule(new Choices(choices), { canonical: false });
    const canonical = instrument(reorderFunctions(bytes).bytes, { canonicalizeNaN: true }).bytes;
    if (canonical !== bytes) changed++;
    const expected = behaviourOf(generateModule(new Choices(choices)));
    assertEquals(firstDifference(expected, behaviourOf(canonical)), undefined);
  });
  assert(changed > RUNS / 2, `${changed} modules were changed`);
});

Deno.test("instrument() gives float programs the results of canonical NaNs after each operation", () => {
  let differs = 0;
  forModules((choices) => {
    const bytes = generateFloatProgram(new Choices(choices), { canonical: false });
    const expected = behaviourOf(generateFloatProgram(new Choices(choices)));
    if (firstDifference(expected, behaviourOf(bytes)) !== undefined) differs++;
    const canonical = instrument(bytes, { canonicalizeNaN: true }).bytes;
    assertEquals(firstDifference(expected, behaviourOf(canonical)), undefined);
    // Stores two f64, of which the halves look like NaNs, or the result of four f32.
  }, { seed: 213_549, length: 768 });
  assert(differs > RUNS / 3, `${differs} programs have other results without it`);
});

/** Fuel that all runs of generated modules together do not use. */
const ENOUGH = Number.MAX_SAFE_INTEGER;

/** Behaviour of a module that counts, and what it has counted. */
function metered(
  bytes: Uint8Array<ArrayBuffer>,
  { fuel, canonicalizeNaN }: { fuel: number; canonicalizeNaN?: boolean } = { fuel: ENOUGH },
): [Behaviour, number] {
  let left = () => BigInt(fuel);
  const rewritten = instrument(bytes, { fuel, canonicalizeNaN });
  const behaviour = behaviourOf(rewritten.bytes, (instance) => {
    const gauge = new FuelGauge(fuel);
    left = () => gauge.left();
    gauge.add(instance);
  });
  return [behaviour, fuel - Number(left())];
}

Deno.test("instrument() with fuel preserves the behaviour of generated modules", () => {
  forModules((choices) => {
    const bytes = generateModule(new Choices(choices));
    const [behaviour, used] = metered(bytes);
    assertEquals(firstDifference(behaviourOf(bytes), behaviour), undefined);
    const [again, same] = metered(reorderFunctions(bytes).bytes);
    assertEquals(firstDifference(behaviour, again), undefined);
    assertEquals(same, used);
  });
});

Deno.test("instrument() with fuel counts what a count at every block is", () => {
  let counted = 0;
  forModules((choices) => {
    const bytes = generateModule(new Choices(choices));
    const naive = meterNaively(bytes);
    let count: WebAssembly.Global | undefined;
    const { events } = behaviourOf(naive, ({ exports }) => {
      count = exports[NAIVE_COUNT] as WebAssembly.Global;
    });
    // After a trap or exception, what counts is the last checkpoint, and a start function has run before.
    if (count === undefined || events.some((event) => /^(run\d|start):/.test(event))) return;
    counted++;
    assertEquals(metered(bytes)[1], Number(count.value));
    // More calls of the host than are recorded, and then a trap.
  }, { seed: 1_477_597_306, length: 1078 });
  assert(counted > RUNS / 8, `${counted} modules have neither traps nor exceptions`);
});

Deno.test("instrument() with fuel ends a generated module at the same point whatever it is rewritten to", () => {
  let exhausted = 0;
  forModules(({ seed, length }) => {
    const bytes = generateModule(new Choices({ seed, length }));
    const fuel = seed % 3000;
    const [one, used] = metered(bytes, { fuel });
    const [other, same] = metered(reorderFunctions(bytes).bytes, { fuel });
    assertEquals(firstDifference(one, other), undefined);
    assertEquals(used, same);
    if (used > fuel) exhausted++;
  });
  assert(exhausted > RUNS / 20, `${exhausted} modules used up their fuel`);
});

Deno.test("instrument() with fuel and canonical NaNs counts and behaves as with each alone", () => {
  forModules((choices) => {
    const bytes = generateModule(new Choices(choices), { canonical: false });
    const canonical = instrument(bytes, { canonicalizeNaN: true }).bytes;
    const [behaviour, used] = metered(reorderFunctions(bytes).bytes, {
      fuel: ENOUGH,
      canonicalizeNaN: true,
    });
    const [expected, same] = metered(canonical);
    assertEquals(firstDifference(expected, behaviour), undefined);
    if (canonical === bytes) assertEquals(used, same);
    else assert(used <= same, `${used} of ${same}`);
  });
});

Deno.test("generateModule() uses the instructions of the GC proposal", () => {
  const used = new Set<number>();
  for (let seed = 0; seed < 100; seed++) {
    const bytes = generateModule(new Choices({ seed, length: 3000 }));
    const code = new ByteReader(bytes, "code section", readSections(bytes).known.get("code")!);
    const reader = new InstructionReader(bytes);
    for (let left = code.u32(); left > 0; left--) {
      const size = code.u32();
      const end = code.position + size;
      reader.seek(code.position, end);
      reader.readLocals(0);
      while (reader.position < end) {
        reader.next();
        if (reader.opcode >>> 16 === 0xfb) used.add(reader.opcode & 0xffff);
      }
      code.skip(size);
    }
  }
  // All but ref.cast to what is not null.
  const all = Array.from({ length: 31 }, (_, opcode) => opcode).filter((opcode) => opcode !== 22);
  assertEquals([...used].sort((a, b) => a - b), all);
});

Deno.test("generateModule() is determined by seed and length", () => {
  const options = { seed: 5, length: 2000 };
  const [one, other] = [options, options].map((same) => generateModule(new Choices(same)));
  assertEquals(one, other);
  assertNotEquals(one, generateModule(new Choices({ ...options, seed: 6 })));
});

Deno.test("behaviourOf() of generated modules has returns, exceptions, host calls and every trap", () => {
  const seen = new Set<string>();
  for (let seed = 0; seed < 400; seed++) {
    const { events } = behaviourOf(generateModule(new Choices({ seed, length: 2000 })));
    for (const event of events) {
      seen.add(event.replace(/^(run\d|start)/, "run").replace(/\(.*/, ""));
    }
  }
  for (
    const event of [
      "log",
      "floats",
      "pair",
      "other",
      "run returned",
      "run: Exception ",
      "run: RuntimeError unreachable",
      "run: RuntimeError divide by zero",
      "run: RuntimeError remainder by zero",
      "run: RuntimeError float unrepresentable in integer range",
      "run: RuntimeError memory access out of bounds",
      "run: RuntimeError table index is out of bounds",
      "run: RuntimeError function signature mismatch",
      "run: RuntimeError rethrowing null value",
    ]
  ) assert(seen.has(event), `${event} is missing in: ${[...seen].join("; ")}`);
});

Deno.test("firstDifference() finds a changed instruction", () => {
  let found = 0;
  let changed = 0;
  for (let seed = 0; seed < 60; seed++) {
    const bytes = generateModule(new Choices({ seed, length: 2500 }));
    const before = behaviourOf(bytes);
    for (let at = 0, left = 10; left > 0 && at < bytes.length; at++) {
      if (bytes[at] !== 0x71) continue; // i32.and, which most addresses end with
      const mutant = bytes.with(at, 0x72); // i32.or
      if (!WebAssembly.validate(mutant)) continue;
      left--;
      changed++;
      if (firstDifference(before, behaviourOf(mutant)) !== undefined) found++;
    }
  }
  assert(found > 30 && found < changed, `${found} of ${changed}`);
});
