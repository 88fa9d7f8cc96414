/**
 * Modules that cost far more to compile than their size tells. Figures: the optimizing compiler of V8
 * 15.0, which functions with a loop get at once.
 * @module
 */
import {
  body,
  type Bytes,
  COMMAND,
  concat,
  join,
  leb,
  moduleOf,
  SECTION,
  section,
  vector,
} from "./binary.ts";
import type { Expectation, HostileModule } from "./case.ts";

/** V8's own limit (kV8MaxWasmFunctionLocals). */
const MAX_LOCALS = 50_000;

/** V8's own limit (kV8MaxWasmFunctions). */
const MAX_FUNCTIONS = 1_000_000;

const I32 = 0x7f;

function repeat(count: number, part: (index: number) => Bytes): Uint8Array<ArrayBuffer> {
  return join(Array.from({ length: count }, (_, index) => part(index)));
}

/** A command whose function 0, `_start`, has this body. */
function withBody(content: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  const { type, function: functions, memory, export: exports } = COMMAND;
  return Promise.resolve(
    moduleOf(type, functions, memory, exports, section(SECTION.code, vector([content]))),
  );
}

/** A command of `count` functions with the same body. */
function withFunctions(count: number, content: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  return Promise.resolve(moduleOf(
    COMMAND.type,
    section(SECTION.function, concat(leb(count), new Uint8Array(count))),
    COMMAND.memory,
    COMMAND.export,
    section(SECTION.code, concat(leb(count), repeat(count, () => content))),
  ));
}

/** In a loop that runs once. */
function looped(content: Uint8Array): Uint8Array<ArrayBuffer> {
  return concat([0x03, 0x40], content, [0x0b]);
}

/** The engine may meet either limit first: how fast it takes memory depends on the machine. */
const STOPPED: Expectation = { status: ["memory", "timeout"] };

const DONE: Expectation = { status: "exited", exitCode: 0 };

/** Modules that cost far more to compile than their size tells. */
export const COMPILE: readonly HostileModule[] = [
  {
    name: "compile-locals-in-loops",
    what: "Has 50,000 locals in 20,000 nested loops: 160 KB, 12 GB and 75 s to compile",
    bytes: () =>
      withBody(body(
        concat(
          repeat(20_000, (index) => [0x03, 0x40, 0x20, ...leb(index), 0x0d, 0]),
          new Uint8Array(20_000).fill(0x0b),
        ),
        [[MAX_LOCALS, I32]],
      )),
    limits: { wallTimeMs: 30_000 },
    expect: STOPPED,
  },
  {
    name: "compile-locals-in-branches",
    what: "Sets 50,000 locals in 5,000 branches: 60 KB, 6 GB and 14 s to compile",
    bytes: () =>
      withBody(body(
        repeat(5_000, (index) => {
          const local = leb(index);
          return [0x20, ...local, 0x04, 0x40, 0x41, 1, 0x21, ...local, 0x05, 0x0b];
        }),
        [[MAX_LOCALS, I32]],
      )),
    limits: { wallTimeMs: 30_000 },
    expect: STOPPED,
  },
  {
    name: "compile-many-locals",
    what: "Has 100,000 functions of 50,000 locals: 800 KB, 12 s of CPU time to validate",
    bytes: () => withFunctions(100_000, body([], [[MAX_LOCALS, I32]])),
    limits: { cpuTimeMs: 1_000 },
    expect: { status: "timeout", messageIncludes: "CPU" },
  },
  {
    name: "compile-deep-nest",
    what: "Has two million nested blocks: 6 MB, 1.7 GB to compile",
    bytes: () =>
      withBody(
        body(concat(repeat(2_000_000, () => [0x02, 0x40]), new Uint8Array(2_000_000).fill(0x0b))),
      ),
    limits: { wallTimeMs: 30_000 },
    expect: STOPPED,
  },
  {
    name: "compile-branch-tables",
    what: "Has a hundred branch tables of 65,520 targets: 6.5 MB, 2.9 GB to compile",
    bytes: () => {
      const one = concat([0x02, 0x40, 0x41, 0, 0x0e], leb(65_520), new Uint8Array(65_521), [0x0b]);
      return withBody(body(looped(repeat(100, () => one))));
    },
    limits: { wallTimeMs: 30_000 },
    expect: STOPPED,
  },
  {
    name: "compile-long-body",
    what: "Has one body of 700,000 copies within memory: 7 MB, 1 GB and 60 s to compile",
    bytes: () =>
      withBody(body(looped(repeat(700_000, () => [0x41, 0, 0x41, 0, 0x28, 2, 0, 0x36, 2, 0])))),
    limits: { wallTimeMs: 10_000 },
    expect: STOPPED,
  },
  {
    name: "compile-million-functions",
    what: "Has as many functions as the engine takes, each empty",
    bytes: () => withFunctions(MAX_FUNCTIONS, body([])),
    expect: DONE,
  },
  {
    name: "compile-too-many-functions",
    what: "Has one function more than the engine takes",
    bytes: () => withFunctions(MAX_FUNCTIONS + 1, body([])),
    expect: { status: "rejected", code: "bad-module" },
  },
  {
    name: "compile-too-many-locals",
    what: "Has one local more than the engine takes",
    bytes: () => withBody(body([], [[MAX_LOCALS + 1, I32]])),
    expect: { status: "rejected", code: "bad-module" },
  },
  {
    name: "compile-too-long-body",
    what: "Has a body longer than the engine takes",
    bytes: () => withBody(body(new Uint8Array(7_654_321).fill(0x01))),
    expect: { status: "rejected", code: "bad-module" },
  },
];
