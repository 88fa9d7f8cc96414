/**
 * Decodes the binary format of components into definitions.
 *
 * Work and allocations are linear in the file's size, nesting is limited, and core modules are skipped.
 * Source: WebAssembly/component-model design/mvp/Binary.md.
 *
 * @module
 */
import { badModule, ByteReader, quoteName } from "../reader.ts";
import type {
  Alias,
  CanonicalOptions,
  Component,
  CoreSort,
  Definition,
  ExternDescription,
  NamedReference,
  ResourceFunction,
  Sort,
} from "./definitions.ts";
import { DAMAGED_COMPONENT, readTypeNode, skipCoreType } from "./type_decoder.ts";

const HEADER_BYTES = 8;

/** Most definitions of a component with everything in it. componentize-py makes some thousands. */
const MAX_DEFINITIONS = 100_000;

/** Deepest nesting of components. Linkers nest a few levels. */
const MAX_NESTING = 32;

/** Names of the sections, by id. */
const SECTIONS = [
  "custom",
  "core module",
  "core instance",
  "core type",
  "component",
  "instance",
  "alias",
  "type",
  "canon",
  "start",
  "import",
  "export",
] as const;

type SectionName = typeof SECTIONS[number];

/** Sections that hold one item instead of a list. */
const SINGLE: ReadonlySet<SectionName> = new Set(["core module", "component"]);

/** Counts the definitions of one file. */
interface Budget {
  left: number;
}

/** Decodes a component; the caller has checked its header. */
export function decodeComponent(bytes: Uint8Array): Component {
  return decode(bytes, {
    start: 0,
    end: bytes.length,
    depth: 0,
    budget: { left: MAX_DEFINITIONS },
  });
}

/** Part of a file that is a component. */
interface ComponentSpan {
  start: number;
  end: number;
  /** Number of components around it. */
  depth: number;
  budget: Budget;
}

function decode(bytes: Uint8Array, { start, end, depth, budget }: ComponentSpan): Component {
  if (depth > MAX_NESTING) {
    throw badModule(`it nests components more than ${MAX_NESTING} levels deep`, {
      details: { allowed: MAX_NESTING },
    });
  }
  const reader = componentReader(bytes, "section list", { start: start + HEADER_BYTES, end });
  const definitions: Definition[] = [];
  while (reader.left > 0) {
    const header = reader.position;
    const id = reader.byte();
    const size = reader.u32();
    const name = SECTIONS[id];
    if (size > reader.left) {
      throw badModule(
        `its ${
          name ?? `number ${id}`
        } section at byte ${header} declares ${size} bytes, but ${reader.left} are left`,
        { hint: DAMAGED_COMPONENT, details: { offset: header, size, left: reader.left } },
      );
    }
    const from = reader.position;
    reader.skip(size);
    const span = { start: from, end: reader.position };
    if (name === undefined) {
      throw badModule(`it has a component section with unknown id ${id} at byte ${header}`, {
        hint: "The file is damaged or uses a feature that this runtime does not support",
        details: { offset: header, id },
      });
    }
    if (name === "custom") continue;
    if (name === "start") {
      throw badModule("it has a component start function, which is not supported", {
        hint: "Build a command that exports wasi:cli/run",
      });
    }
    if (SINGLE.has(name)) {
      spend(budget, 1);
      definitions.push(
        name === "core module" ? { kind: "core module", ...span } : {
          kind: "component",
          component: decodeNested(bytes, { ...span, depth: depth + 1, budget }),
        },
      );
      continue;
    }
    const section = componentReader(bytes, `${name} section`, span);
    const count = section.count("definitions", 1);
    spend(budget, count);
    const read = READERS[name as keyof typeof READERS];
    for (let left = count; left > 0; left--) definitions.push(read(section));
    section.finish();
  }
  return { definitions };
}

function componentReader(
  bytes: Uint8Array,
  part: string,
  span: { start: number; end: number },
): ByteReader {
  return new ByteReader(bytes, part, { ...span, hint: DAMAGED_COMPONENT });
}

function spend(budget: Budget, count: number): void {
  budget.left -= count;
  if (budget.left >= 0) return;
  throw badModule(`it has more than ${MAX_DEFINITIONS} definitions`, {
    details: { allowed: MAX_DEFINITIONS },
  });
}

function decodeNested(bytes: Uint8Array, span: ComponentSpan): Component {
  const reader = componentReader(bytes, "component section", span);
  for (const expected of [0x00, 0x61, 0x73, 0x6d, 0x0d, 0x00, 0x01, 0x00]) {
    if (reader.byte() !== expected) reader.fail("has a nested component with an unknown header");
  }
  return decode(bytes, span);
}

const CORE_SORTS: ReadonlyMap<number, CoreSort> = new Map([
  [0x00, "func"],
  [0x01, "table"],
  [0x02, "memory"],
  [0x03, "global"],
  [0x04, "tag"],
  [0x10, "type"],
  [0x11, "module"],
  [0x12, "instance"],
]);

function readCoreSort(reader: ByteReader): CoreSort {
  const byte = reader.byte();
  return CORE_SORTS.get(byte) ?? reader.fail(`has an unknown core sort 0x${byte.toString(16)}`);
}

const SORTS: ReadonlyMap<number, Sort> = new Map([
  [0x01, "func"],
  [0x03, "type"],
  [0x04, "component"],
  [0x05, "instance"],
]);

/** Reads a sort; one of a core definition is a module. */
function readSort(reader: ByteReader): Sort {
  const byte = reader.byte();
  if (byte === 0x00) {
    const core = readCoreSort(reader);
    return core === "module" ? "core module" : reader.fail(`has an unexpected core ${core}`);
  }
  if (byte === 0x02) reader.fail("has a value, which is not supported,");
  return SORTS.get(byte) ?? reader.fail(`has an unknown sort 0x${byte.toString(16)}`);
}

/** Reads a list. */
function list<Item>(reader: ByteReader, items: string, read: () => Item): Item[] {
  return Array.from({ length: reader.count(items) }, read);
}

/** Reads the name of an import or export after its prefix. */
export function readExternName(reader: ByteReader): string {
  const form = reader.byte();
  if (form > 1) reader.fail(`has an unsupported form of name (0x${form.toString(16)})`);
  return reader.name();
}

/** Reads the type of an import or export. */
export function readExternDescription(reader: ByteReader): ExternDescription {
  const byte = reader.byte();
  switch (byte) {
    case 0x00:
      if (reader.byte() !== 0x11) reader.fail("has an unknown core import");
      return { sort: "core module", type: reader.u32() };
    case 0x01:
      return { sort: "func", type: reader.u32() };
    case 0x02:
      return reader.fail("has a value, which is not supported,");
    case 0x03: {
      const bound = reader.byte();
      if (bound > 1) reader.fail(`has an unknown type bound 0x${bound.toString(16)}`);
      return { sort: "type", equals: bound === 0 ? reader.u32() : undefined };
    }
    case 0x04:
      return { sort: "component", type: reader.u32() };
    case 0x05:
      return { sort: "instance", type: reader.u32() };
  }
  return reader.fail(`has an unknown kind of import or export 0x${byte.toString(16)}`);
}

/** Reads an alias. */
export function readAlias(reader: ByteReader): Alias {
  const byte = reader.byte();
  const core = byte === 0x00 ? readCoreSort(reader) : undefined;
  const sort = SORTS.get(byte);
  if (core === undefined && sort === undefined) {
    reader.fail(`has an unknown sort 0x${byte.toString(16)}`);
  }
  const target = reader.byte();
  if (target === 0x00) {
    if (core !== undefined && core !== "module") reader.fail(`has an unexpected core ${core}`);
    const instance = reader.u32();
    return { kind: "export alias", sort: sort ?? "core module", instance, name: reader.name() };
  }
  if (target === 0x01) {
    if (core === undefined) reader.fail(`has an unexpected ${sort}`);
    const instance = reader.u32();
    return { kind: "core export alias", sort: core, instance, name: reader.name() };
  }
  if (target !== 0x02) reader.fail(`has an unknown alias target 0x${target.toString(16)}`);
  if (core !== undefined && core !== "module" && core !== "type") {
    reader.fail(`has an outer alias of a core ${core}`);
  }
  return {
    kind: "outer alias",
    sort: core === undefined ? sort! : core === "type" ? "core type" : "core module",
    levels: reader.u32(),
    index: reader.u32(),
  };
}

function readCoreInstance(reader: ByteReader): Definition {
  const form = reader.byte();
  if (form === 0x00) {
    const module = reader.u32();
    const args = list(reader, "arguments", () => {
      const name = reader.name();
      if (reader.byte() !== 0x12) reader.fail("has an argument that is not an instance");
      return { name, instance: reader.u32() };
    });
    return { kind: "core instance", module, args };
  }
  if (form !== 0x01) reader.fail(`has an unknown form 0x${form.toString(16)}`);
  const exports = list(reader, "exports", (): NamedReference<CoreSort> => {
    const name = reader.name();
    return { name, sort: readCoreSort(reader), index: reader.u32() };
  });
  return { kind: "core exports", exports };
}

function readInstance(reader: ByteReader): Definition {
  const form = reader.byte();
  if (form === 0x00) {
    const component = reader.u32();
    const args = list(reader, "arguments", () => readReference(reader, reader.name()));
    return { kind: "instance", component, args };
  }
  if (form !== 0x01) reader.fail(`has an unknown form 0x${form.toString(16)}`);
  const exports = list(reader, "exports", () => readReference(reader, readExternName(reader)));
  return { kind: "exports", exports };
}

function readReference(reader: ByteReader, name: string): NamedReference<Sort> {
  return { name, sort: readSort(reader), index: reader.u32() };
}

const RESOURCE_FUNCTIONS: ReadonlyMap<number, ResourceFunction> = new Map([
  [0x02, "resource.new"],
  [0x03, "resource.drop"],
  [0x04, "resource.rep"],
]);

function readCanon(reader: ByteReader): Definition {
  const form = reader.byte();
  if (form === 0x00) {
    if (reader.byte() !== 0x00) reader.fail("has an unknown form of lift");
    const func = reader.u32();
    return { kind: "lift", func, options: readOptions(reader), type: reader.u32() };
  }
  if (form === 0x01) {
    if (reader.byte() !== 0x00) reader.fail("has an unknown form of lower");
    return { kind: "lower", func: reader.u32(), options: readOptions(reader) };
  }
  const kind = RESOURCE_FUNCTIONS.get(form);
  if (kind !== undefined) return { kind, type: reader.u32() };
  throw badModule(
    `it uses an asynchronous built-in function (canon 0x${
      form.toString(16)
    }), which only components of WASI 0.3 do`,
    { hint: BUILD_COMPONENT, details: { canon: form } },
  );
}

/** Hint for components that are too new. */
export const BUILD_COMPONENT = "Build for WASI 0.2: cargo build --target wasm32-wasip2";

function readOptions(reader: ByteReader): CanonicalOptions {
  const options: CanonicalOptions = {
    encoding: "utf8",
    memory: undefined,
    realloc: undefined,
    postReturn: undefined,
  };
  for (let left = reader.count("options"); left > 0; left--) {
    const option = reader.byte();
    if (option === 0x00) options.encoding = "utf8";
    else if (option === 0x01) options.encoding = "utf16";
    else if (option === 0x02) options.encoding = "latin1+utf16";
    else if (option === 0x03) options.memory = reader.u32();
    else if (option === 0x04) options.realloc = reader.u32();
    else if (option === 0x05) options.postReturn = reader.u32();
    else {
      throw badModule(
        `it has a function with the asynchronous option 0x${
          option.toString(16)
        }, which only components of WASI 0.3 have`,
        { hint: BUILD_COMPONENT, details: { option } },
      );
    }
  }
  return options;
}

/** Readers of the items of a section. */
const READERS = {
  "core instance": readCoreInstance,
  "core type": (reader: ByteReader): Definition => {
    skipCoreType(reader, { readAlias: () => readAlias(reader) });
    return { kind: "core type" };
  },
  instance: readInstance,
  alias: (reader: ByteReader): Definition => readAlias(reader),
  type: (reader: ByteReader): Definition => ({
    kind: "type",
    type: readTypeNode(reader, {
      readAlias: () => readAlias(reader),
      readExternName: () => readExternName(reader),
      readExternDescription: () => readExternDescription(reader),
    }),
  }),
  canon: readCanon,
  import: (reader: ByteReader): Definition => {
    const name = readExternName(reader);
    return { kind: "import", name, description: readExternDescription(reader) };
  },
  export: (reader: ByteReader): Definition => {
    const reference = readReference(reader, readExternName(reader));
    const ascribed = reader.byte();
    if (ascribed > 1) reader.fail(`has an unknown form after export ${quoteName(reference.name)}`);
    if (ascribed === 1) readExternDescription(reader);
    return { kind: "export", ...reference };
  },
};
