/**
 * Modules that want more memory than they may have: linear memories, tables, the engine's heap.
 * @module
 */
import { body, COMMAND, concat, leb, moduleOf, SECTION, section, vector } from "./binary.ts";
import { command, type HostileModule } from "./case.ts";
import { assemble } from "./wat.ts";

const MB = 1_048_576;

/** Grows memory `index` by single pages to its end. */
function fill(index: number): string {
  return `(loop $again
    (br_if $again (i32.ne (memory.grow ${index} (i32.const 1)) (i32.const -1))))`;
}

/** A table section of `count` funcref tables with `entries` each. */
function tables(count: number, entries: number): Uint8Array<ArrayBuffer> {
  return section(
    SECTION.table,
    vector(Array.from({ length: count }, () => [0x70, 0, ...leb(entries)])),
  );
}

/** A command made of bytes: what is given replaces or joins the smallest command's sections. */
function binary(
  sections: { types: Uint8Array; code: Uint8Array; tag?: Uint8Array },
): Promise<Uint8Array<ArrayBuffer>> {
  return Promise.resolve(moduleOf(
    sections.types,
    COMMAND.function,
    COMMAND.memory,
    sections.tag ?? [],
    COMMAND.export,
    section(SECTION.code, vector([sections.code])),
  ));
}

const OVER_CAP = { status: "rejected", code: "job-memory" } as const;

/** Modules that want more memory than they may have. */
export const MEMORY: readonly HostileModule[] = [
  {
    name: "memory-initial",
    what: "Has 4 GiB of memory at start",
    bytes: () => assemble(command("", { pages: 65_536 })),
    expect: {
      ...OVER_CAP,
      messageIncludes: "needs 4096 MB of memory at start, the job is allowed 64 MB",
    },
  },
  {
    name: "memory-initial-many",
    what: "Has sixty memories of 64 MiB at start",
    bytes: () => assemble(command("", { fields: "(memory 1024)".repeat(60) })),
    expect: { ...OVER_CAP, messageIncludes: "the job is allowed 64 MB" },
  },
  {
    name: "memory-grow",
    what: "Grows its memory to the cap, sees -1 there, and exits with the size in MiB",
    bytes: () =>
      assemble(command(
        `${fill(0)} (call $proc_exit (i32.div_u (memory.size) (i32.const 16)))`,
        { uses: ["proc_exit"] },
      )),
    expect: { status: "exited", exitCode: 64 },
  },
  {
    name: "memory-grow-many",
    what: "Grows four memories to their caps and exits with their sizes together in MiB",
    bytes: () =>
      assemble(
        command(
          `${[0, 1, 2, 3].map(fill).join("\n")}
         (call $proc_exit (i32.div_u
           (i32.add (i32.add (memory.size 0) (memory.size 1))
                    (i32.add (memory.size 2) (memory.size 3)))
           (i32.const 16)))`,
          { uses: ["proc_exit"], pages: 16, fields: "(memory 0) (memory 0 2048) (memory i64 0)" },
        ).replace(fill(3), fill(3).replaceAll("i32", "i64"))
          .replace("(memory.size 3)", "(i32.wrap_i64 (memory.size 3))"),
      ),
    expect: { status: "exited", exitCode: 64 },
  },
  {
    name: "memory-touched",
    what: "Writes to all of the memory it may have",
    bytes: () =>
      assemble(command(
        `(memory.fill (i32.const 0) (i32.const 1) (i32.const ${64 * MB}))`,
        { pages: 1024 },
      )),
    expect: { status: "exited", exitCode: 0 },
  },
  {
    name: "tables-huge",
    what: "Has fifty tables of ten million entries at start: 12 GB of engine memory",
    bytes: () =>
      Promise.resolve(moduleOf(
        COMMAND.type,
        COMMAND.function,
        tables(50, 10_000_000),
        COMMAND.memory,
        COMMAND.export,
        COMMAND.code,
      )),
    expect: { status: "rejected", code: "over-limit", messageIncludes: "500000000 entries" },
  },
  {
    name: "tables-many",
    what: "Has a hundred thousand tables",
    bytes: () =>
      Promise.resolve(moduleOf(
        COMMAND.type,
        COMMAND.function,
        tables(100_000, 0),
        COMMAND.memory,
        COMMAND.export,
        COMMAND.code,
      )),
    expect: { status: "rejected", code: "bad-module", messageIncludes: "100000 tables" },
  },
  {
    name: "table-grow",
    what: "Grows a table to its cap, sees -1 there, and exits with its size in ten thousands",
    bytes: () =>
      assemble(command(
        `(loop $again (br_if $again (i32.ne
           (table.grow $t (ref.null func) (i32.const 10000)) (i32.const -1))))
         (call $proc_exit (i32.div_u (table.size $t) (i32.const 10000)))`,
        { uses: ["proc_exit"], fields: "(table $t 0 funcref)" },
      )),
    expect: { status: "exited", exitCode: 100 },
  },
  {
    name: "gc-list",
    what: "Makes a linked list on the garbage-collected heap, for ever",
    bytes: () =>
      binary({
        // Type 1: a struct of a mutable reference to its own type, or null.
        types: section(SECTION.type, [2, 0x60, 0, 0, 0x5f, 1, 0x63, 1, 1]),
        // loop: local 0 = struct.new 1 (local 0)
        code: bodyWithReference(0x63, 1, [0x03, 0x40, 0x20, 0, 0xfb, 0, 1, 0x21, 0, 0x0c, 0, 0x0b]),
      }),
    expect: { status: "memory" },
  },
  {
    name: "gc-arrays",
    what: "Keeps arrays of a million numbers on the garbage-collected heap, for ever",
    bytes: () =>
      binary({
        // Type 1: an array of i64. Type 2: a struct of such an array and the next struct.
        types: section(SECTION.type, [
          ...[3, 0x60, 0, 0],
          ...[0x5e, 0x7e, 1],
          ...[0x5f, 2, 0x63, 1, 0, 0x63, 2, 0],
        ]),
        // loop: local 0 = struct.new 2 (array.new_default 1 (i32.const 1,000,000)) (local 0)
        code: bodyWithReference(0x63, 2, [
          ...[0x03, 0x40, 0x41, 0xc0, 0x84, 0x3d, 0xfb, 7, 1],
          ...[0x20, 0, 0xfb, 0, 2, 0x21, 0, 0x0c, 0, 0x0b],
        ]),
      }),
    expect: { status: "memory" },
  },
  {
    name: "exception-list",
    what: "Throws exceptions that each hold the one before, for ever",
    bytes: () =>
      binary({
        // Type 1: what the tag holds, an exnref. Type 2: what the catch leaves, it and its own.
        types: section(SECTION.type, [
          ...[3, 0x60, 0, 0],
          ...[0x60, 1, 0x69, 0],
          ...[0x60, 0, 2, 0x69, 0x69],
        ]),
        tag: section(SECTION.tag, [1, 0, 1]),
        // loop: (block 2: try_table (catch_ref 0 0): throw 0 (local 0)); local 0 = the new; drop
        code: body([
          ...[0x03, 0x40, 0x02, 2, 0x1f, 0x40, 1, 0x01, 0, 0],
          ...[0x20, 0, 0x08, 0, 0x0b, 0x00, 0x0b],
          ...[0x21, 0, 0x1a, 0x0c, 0, 0x0b],
        ], [[1, 0x69]]),
      }),
    expect: { status: "memory" },
  },
  {
    name: "data-large",
    what: "Has 32 MiB of data segments",
    bytes: () => {
      const segment = concat([0, 0x41, 0, 0x0b], leb(MB), new Uint8Array(MB).fill(1));
      return Promise.resolve(moduleOf(
        COMMAND.type,
        COMMAND.function,
        section(SECTION.memory, [1, 0, 16]),
        COMMAND.export,
        COMMAND.code,
        section(SECTION.data, vector(Array.from({ length: 32 }, () => segment))),
      ));
    },
    expect: { status: "exited", exitCode: 0 },
  },
  {
    name: "elements-large",
    what: "Has five million element entries, and makes the engine read them all",
    bytes: () => {
      const segment = concat([1, 0], leb(1_000_000), new Uint8Array(1_000_000));
      // table.init table 0 from segment I: no entries, but the segment is made for it.
      const reads = [0, 1, 2, 3, 4].flatMap((
        index,
      ) => [0x41, 0, 0x41, 0, 0x41, 0, 0xfc, 12, index, 0]);
      return Promise.resolve(moduleOf(
        COMMAND.type,
        COMMAND.function,
        tables(1, 1),
        COMMAND.memory,
        COMMAND.export,
        section(SECTION.element, vector([segment, segment, segment, segment, segment])),
        section(SECTION.code, vector([body(reads)])),
      ));
    },
    expect: { status: "exited", exitCode: 0 },
  },
];

/** A body with one local of a reference type, which takes two bytes. */
function bodyWithReference(
  kind: number,
  type: number,
  code: readonly number[],
): Uint8Array<ArrayBuffer> {
  const content = [1, 1, kind, type, ...code, 0x0b];
  return concat(leb(content.length), content);
}
