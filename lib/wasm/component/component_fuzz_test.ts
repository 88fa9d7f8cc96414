import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  COMPONENT_LIMITS,
  ComponentExit,
  runComponent,
} from "../../../tests/fixtures/components/run_component.ts";
import { FakeHost } from "../../../tests/fixtures/fake_guest.ts";
import {
  type Bytes,
  concat,
  join,
  leb,
  moduleOf,
  name,
  section,
  signedLeb,
  vector,
} from "../../../tests/fixtures/hostile/binary.ts";
import { PlasmError } from "../../core/errors/errors.ts";
import { inspectComponent, linkInspected } from "./inspect_component.ts";
import { AbiError } from "./runtime/mod.ts";

const FIXTURES = new URL("../../../tests/fixtures/components/", import.meta.url);
const HELLO = await Deno.readFile(new URL("hello.wasm", FIXTURES));
const EXCHANGE = await Deno.readFile(new URL("exchange.wasm", FIXTURES));

const HEADER = [0x00, 0x61, 0x73, 0x6d, 0x0d, 0x00, 0x01, 0x00];

function componentOf(...sections: readonly Bytes[]): Uint8Array<ArrayBuffer> {
  return concat(HEADER, ...sections);
}

/** Whether an error is one that a component may cause. */
function isExpected(error: unknown): boolean {
  return error instanceof PlasmError || error instanceof AbiError ||
    error instanceof ComponentExit || error instanceof WebAssembly.CompileError ||
    error instanceof WebAssembly.LinkError || error instanceof WebAssembly.RuntimeError;
}

/** Runs a component, which may fail in expected ways only; returns whether it ran to its end. */
function tryToRun(bytes: Uint8Array): boolean {
  try {
    runComponent(bytes);
    return true;
  } catch (error) {
    if (isExpected(error)) return false;
    throw error;
  }
}

function refusal(bytes: Uint8Array): string {
  return assertThrows(() => inspectComponent(bytes, COMPONENT_LIMITS), PlasmError).message;
}

Deno.test("runComponent() runs the fixtures", () => {
  const host = new FakeHost({ stdin: "Hello, World" });
  assertEquals([runComponent(HELLO, host), host.output.stdout], [0, "dlroW ,olleH"]);
  assertEquals(runComponent(EXCHANGE), 0);
});

Deno.test("a truncated component is refused, unless only custom sections are missing", () => {
  let ran = 0;
  for (let length = 8; length < EXCHANGE.length; length++) {
    ran += Number(tryToRun(EXCHANGE.subarray(0, length)));
  }
  assert(ran < 5, `${ran} truncated components run`);
});

Deno.test("a component with any byte changed is refused or runs", () => {
  const { modules } = linkInspected(EXCHANGE);
  let ran = 0;
  for (let at = 8; at < EXCHANGE.length; at++) {
    const changed = EXCHANGE.slice();
    changed[at]! ^= at % 2 === 0 ? 1 : 0xff;
    if (!modules.some(({ start, end }) => at >= start && at < end)) {
      ran += Number(tryToRun(changed));
    } else {
      // Changed code may run for ever.
      try {
        inspectComponent(changed, COMPONENT_LIMITS);
      } catch (error) {
        assert(isExpected(error), `byte ${at}: ${error}`);
      }
    }
  }
  assert(ran > 0);
});

const CORE = moduleOf();

Deno.test("inspectComponent() limits instances", () => {
  const module = section(1, CORE);
  const many = join(Array(10_000).fill([0x00, 0, 0]));
  assertEquals(
    refusal(componentOf(module, section(2, concat(leb(10_000), many)))),
    "Cannot run module: it has more than 1000 core instances",
  );
  // Each component instantiates the one before it twice.
  let nested: Uint8Array<ArrayBuffer> = componentOf();
  for (let level = 0; level < 20; level++) {
    nested = componentOf(section(4, nested), section(5, [2, 0x00, 0, 0, 0x00, 0, 0]));
  }
  assertEquals(refusal(nested), "Cannot run module: it has more than 1000 component instances");
  for (let level = 0; level < 20; level++) nested = componentOf(section(4, nested));
  assertEquals(
    refusal(nested),
    "Cannot run module: it nests components more than 32 levels deep",
  );
});

Deno.test("inspectComponent() counts the memories of each instance", () => {
  const module = section(1, moduleOf(section(5, [1, 0, 100])));
  const twice = componentOf(module, section(2, vector([[0x00, 0, 0], [0x00, 0, 0], [0x00, 0, 0]])));
  assertEquals(
    refusal(twice),
    "Cannot run module: the memories of its core instances start with 19660800 bytes, limit 16777216",
  );
});

Deno.test("inspectComponent() divides the limits of memories and tables among the instances", () => {
  for (const file of [HELLO, EXCHANGE]) {
    const { bytes } = inspectComponent(file, COMPONENT_LIMITS);
    const { sizes, plan } = linkInspected(bytes);
    const used = plan.instances.map(({ module }) => sizes[module]!);
    const memory = used.flatMap(({ memories }) => memories.map((one) => one.maximumBytes));
    const entries = used.flatMap(({ tables }) => tables.map((one) => one.maximumEntries));
    const sum = (list: number[]) => list.reduce((total, one) => total + one, 0);
    assert(memory.length > 0 && sum(memory) <= COMPONENT_LIMITS.memoryBytes);
    assert(sum(entries) <= COMPONENT_LIMITS.tableEntries!);
    assertEquals(inspectComponent(bytes, COMPONENT_LIMITS).bytes, bytes);
  }
});

Deno.test("inspectComponent() limits the size of types", () => {
  const options = Array.from(
    { length: 10_000 },
    (_, level) => level === 0 ? [0x6b, 0x7f] : [0x6b, ...signedLeb(level - 1)],
  );
  const message = "Cannot run module: it has types that are too large, limit 20000 characters each";
  assertEquals(refusal(componentOf(section(7, vector(options)))), message);
  const pairs = Array.from(
    { length: 64 },
    (_, level) =>
      level === 0 ? [0x6f, 1, 0x7f] : [0x6f, 2, ...signedLeb(level - 1), ...signedLeb(level - 1)],
  );
  assertEquals(refusal(componentOf(section(7, vector(pairs)))), message);
  let instance: Bytes = [0x42, 0];
  for (let level = 0; level < 1000; level++) instance = concat([0x42, 1, 0x01], instance);
  assertEquals(
    refusal(componentOf(section(7, vector([instance])))).startsWith(
      "Cannot run module: its type section nests types more than 16 levels deep",
    ),
    true,
  );
});

Deno.test("inspectComponent() refuses indices, sorts and counts that lie", () => {
  const cases: [what: string, bytes: Uint8Array][] = [
    ["refers to core module 9, but has 0", section(2, [1, 0x00, 9, 0])],
    ["refers to component 9, but has 0", section(5, [1, 0x00, 9, 0])],
    ["refers to type 9, but has 0", section(10, concat([1, 0], name("x"), [0x01, 9]))],
    ["refers to instance 9, but has 0", section(6, concat([1, 0x03, 0x00, 9], name("x")))],
    ["refers to core instance 9, but has 0", section(6, concat([1, 0, 0, 1, 9], name("x")))],
    ["has an alias of 9 levels outside", section(6, [1, 0x03, 0x02, 9, 0])],
    ["refers to function 9, but has 0", section(8, [1, 0x01, 0x00, 9, 0])],
    ["declares 100 definitions but has room for 1", section(6, [100, 0])],
    ["it uses a future (0x65), which WASI 0.2 does not have", section(7, [1, 0x65, 0])],
    ["it uses an asynchronous built-in function (canon 0x9)", section(8, [1, 0x09, 0])],
    ["it has a component start function", section(9, [0, 0, 0])],
    ["it has a component section with unknown id 77", section(77, [])],
    ["it is a component that exports nothing, expected wasi:cli/run@0.2", section(0, name("x"))],
  ];
  for (const [what, bytes] of cases) {
    assert(refusal(componentOf(bytes)).includes(what), `${refusal(componentOf(bytes))}: ${what}`);
  }
});

Deno.test("inspectComponent() refuses core modules that import what the component does not give", () => {
  const importing = moduleOf(
    section(1, [1, 0x60, 0, 0]),
    section(2, concat([1], name("host"), name("call"), [0x00, 0])),
  );
  const alone = componentOf(section(1, importing), section(2, vector([[0x00, 0, 0]])));
  assertEquals(
    refusal(alone),
    'Cannot run module: its core module 0 imports function "host"."call", which the component does not give it',
  );
  // resource.drop has a parameter, which the import has not.
  const given = componentOf(
    section(1, importing),
    section(7, [1, 0x3f, 0x7f, 0]),
    section(8, [1, 0x03, 0]),
    section(
      2,
      vector([
        concat([0x01, 1], name("call"), [0x00, 0]),
        concat([0x00, 0, 1], name("host"), [0x12, 0]),
      ]),
    ),
  );
  assertEquals(
    refusal(given),
    'Cannot run module: its core module 0 imports "call" as (->), the component gives (i32 ->)',
  );
});

Deno.test("inspectComponent() refuses functions that WASI 0.2 does not have, by name", () => {
  const importing = (interfaceName: string, func: Bytes) =>
    componentOf(
      section(7, vector([concat([0x42, 2, 0x01], func, [0x04, 0], name("now"), [0x01, 0])])),
      section(10, concat([1, 0], name(interfaceName), [0x05, 0])),
      section(6, concat([1, 0x01, 0x00, 0], name("now"))),
      section(8, [1, 0x01, 0x00, 0, 0]),
    );
  const nothing = [0x40, 0, 0x01, 0];
  assertEquals(
    refusal(importing("wasi:clocks/monotonic-clock@0.2.3", nothing)),
    'Cannot run module: it imports "now" of wasi:clocks/monotonic-clock as (), WASI 0.2 defines () -> u64',
  );
  assertEquals(
    refusal(importing("wasi:clocks/monotonic-clock@0.3.0", nothing)),
    'Cannot run module: it imports "now" of "wasi:clocks/monotonic-clock@0.3.0", which no job has',
  );
  const right = importing("wasi:clocks/monotonic-clock@0.2.3", [0x40, 0, 0x00, 0x77]);
  assertEquals(
    refusal(right),
    "Cannot run module: it is a component that exports nothing, expected wasi:cli/run@0.2",
  );
});

Deno.test("inspectComponent() refuses another version of the format", () => {
  const old = concat([0x00, 0x61, 0x73, 0x6d, 0x0a, 0x00, 0x01, 0x00]);
  assertEquals(
    refusal(old),
    "Cannot run module: it is a component of version 10, expected 13 (WASI 0.2)",
  );
});
