/**
 * Decodes the type definitions of a component.
 * Source: WebAssembly/component-model design/mvp/Binary.md, type definitions.
 *
 * @module
 */
import { badModule, type ByteReader } from "../reader.ts";
import { readValueType } from "../type_section.ts";
import type {
  Alias,
  Declaration,
  ExternDescription,
  Labelled,
  PrimitiveName,
  TypeNode,
  ValueReference,
} from "./definitions.ts";

/** Hint for components that cannot be decoded. */
export const DAMAGED_COMPONENT =
  "The file is damaged or not a component of WASI 0.2; build or download it again";

/** Deepest nesting of instance and component types. */
const MAX_TYPE_NESTING = 16;

/** Flags are passed as one 32-bit integer. */
const MAX_FLAGS = 32;

const PRIMITIVES: ReadonlyMap<number, PrimitiveName> = new Map([
  [0x7f, "bool"],
  [0x7e, "s8"],
  [0x7d, "u8"],
  [0x7c, "s16"],
  [0x7b, "u16"],
  [0x7a, "s32"],
  [0x79, "u32"],
  [0x78, "s64"],
  [0x77, "u64"],
  [0x76, "f32"],
  [0x75, "f64"],
  [0x74, "char"],
  [0x73, "string"],
]);

/** Types that are refused, by their first byte. */
const UNSUPPORTED: ReadonlyMap<number, string> = new Map([
  [0x67, "a list of fixed length"],
  [0x66, "a stream"],
  [0x65, "a future"],
  [0x64, "an error context"],
  [0x63, "a map"],
  [0x43, "an asynchronous function"],
]);

/** Readers of what type declarations have in common with other sections. */
export interface DeclarationReaders {
  /** Reads an alias. */
  readAlias: () => Alias;
  /** Reads the name of an import or export. */
  readExternName: () => string;
  /** Reads the type of an import or export. */
  readExternDescription: () => ExternDescription;
}

function refuseUnsupported(byte: number): void {
  const what = UNSUPPORTED.get(byte);
  if (what === undefined) return;
  throw badModule(`it uses ${what} (0x${byte.toString(16)}), which WASI 0.2 does not have`, {
    hint: "Build for WASI 0.2: cargo build --target wasm32-wasip2",
    details: { type: byte },
  });
}

/** Reads a type definition. */
export function readTypeNode(
  reader: ByteReader,
  readers: DeclarationReaders,
  depth = 0,
): TypeNode {
  if (depth > MAX_TYPE_NESTING) {
    reader.fail(`nests types more than ${MAX_TYPE_NESTING} levels deep`);
  }
  const byte = reader.byte();
  const value = readValueNode(reader, byte);
  if (value !== undefined) return value;
  switch (byte) {
    case 0x40: {
      const parameters = labelled(reader, "parameters", () => readValueReference(reader));
      return { kind: "func", parameters, result: readResult(reader) };
    }
    case 0x41:
      // A component type only describes what an import of a component must have.
      readDeclarations(reader, readers, { depth, isComponent: true });
      return { kind: "component" };
    case 0x42: {
      const declarations = readDeclarations(reader, readers, { depth, isComponent: false });
      return { kind: "instance", declarations };
    }
    case 0x3f: {
      if (reader.byte() !== 0x7f) reader.fail("has a resource with an unknown representation");
      return { kind: "resource", destructor: readOptional(reader, () => reader.u32()) };
    }
  }
  refuseUnsupported(byte);
  return reader.fail(`has an unknown type 0x${byte.toString(16)}`);
}

/** Reads the definition of a value type after its first byte; undefined if it is another type. */
function readValueNode(reader: ByteReader, byte: number): TypeNode | undefined {
  const primitive = PRIMITIVES.get(byte);
  if (primitive !== undefined) return { kind: "primitive", name: primitive };
  const reference = () => readValueReference(reader);
  switch (byte) {
    case 0x72:
      return { kind: "record", fields: filled(reader, labelled(reader, "fields", reference)) };
    case 0x71: {
      const cases = labelled(reader, "cases", () => {
        const type = readOptional(reader, reference);
        if (reader.byte() !== 0x00) reader.fail("has a case that refines another");
        return type;
      });
      return { kind: "variant", cases: filled(reader, cases) };
    }
    case 0x70:
      return { kind: "list", element: reference() };
    case 0x6f: {
      const items = Array.from({ length: reader.count("items") }, reference);
      return { kind: "tuple", items: filled(reader, items) };
    }
    case 0x6e: {
      const labels = filled(reader, readLabels(reader));
      if (labels.length > MAX_FLAGS) {
        reader.fail(`has ${labels.length} flags (limit ${MAX_FLAGS})`);
      }
      return { kind: "flags", labels };
    }
    case 0x6d:
      return { kind: "enum", labels: filled(reader, readLabels(reader)) };
    case 0x6b:
      return { kind: "option", some: reference() };
    case 0x6a: {
      const ok = readOptional(reader, reference);
      return { kind: "result", ok, error: readOptional(reader, reference) };
    }
    case 0x69:
      return { kind: "own", resource: reader.u32() };
    case 0x68:
      return { kind: "borrow", resource: reader.u32() };
  }
  return undefined;
}

function filled<Item>(reader: ByteReader, items: Item[]): Item[] {
  return items.length > 0 ? items : reader.fail("has a type without fields or cases");
}

function labelled<Type>(
  reader: ByteReader,
  items: string,
  read: () => Type,
): Labelled<Type>[] {
  return Array.from({ length: reader.count(items, 2) }, () => {
    const label = reader.name();
    return { label, type: read() };
  });
}

function readLabels(reader: ByteReader): string[] {
  return Array.from({ length: reader.count("labels") }, () => reader.name());
}

function readOptional<Value>(reader: ByteReader, read: () => Value): Value | undefined {
  const byte = reader.byte();
  if (byte > 1) reader.fail(`has an unknown option 0x${byte.toString(16)}`);
  return byte === 1 ? read() : undefined;
}

/** Reads a value type: a primitive, or a type index as a non-negative signed integer. */
function readValueReference(reader: ByteReader): ValueReference {
  const byte = reader.bytes[reader.position] ?? 0;
  if (byte < 0x40 || byte >= 0x80) return reader.u32();
  reader.skip(1);
  refuseUnsupported(byte);
  return PRIMITIVES.get(byte) ?? reader.fail(`has an unknown value type 0x${byte.toString(16)}`);
}

function readResult(reader: ByteReader): ValueReference | undefined {
  const form = reader.byte();
  if (form === 0x00) return readValueReference(reader);
  if (form !== 0x01 || reader.byte() !== 0x00) {
    reader.fail("has named results, which are not supported,");
  }
  return undefined;
}

/** Reads the declarations of an instance type, or checks those of a component type. */
function readDeclarations(
  reader: ByteReader,
  readers: DeclarationReaders,
  { depth, isComponent }: { depth: number; isComponent: boolean },
): Declaration[] {
  return Array.from({ length: reader.count("declarations") }, (): Declaration => {
    const form = reader.byte();
    switch (form) {
      case 0x00:
        skipCoreType(reader, readers);
        return { kind: "core type" };
      case 0x01:
        return { kind: "type", type: readTypeNode(reader, readers, depth + 1) };
      case 0x02:
        return readers.readAlias();
      case 0x03:
        if (!isComponent) reader.fail("has an import in an instance type");
        readers.readExternName();
        readers.readExternDescription();
        // Of a component type nothing is used.
        return { kind: "core type" };
      case 0x04: {
        const name = readers.readExternName();
        return { kind: "export", name, description: readers.readExternDescription() };
      }
    }
    return reader.fail(`has an unknown declaration 0x${form.toString(16)}`);
  });
}

/** Checks a core type, which describes nothing that WASI 0.2 has: a function or a module type. */
export function skipCoreType(
  reader: ByteReader,
  { readAlias }: Pick<DeclarationReaders, "readAlias">,
): void {
  const form = reader.byte();
  if (form === 0x60) {
    for (let vector = 0; vector < 2; vector++) {
      for (let left = reader.count("types"); left > 0; left--) readValueType(reader);
    }
    return;
  }
  if (form !== 0x50) {
    throw badModule(`it has a core type 0x${form.toString(16)}, which is not supported`, {
      hint: "Build it with the tools of WASI 0.2 and without the GC proposal",
      details: { type: form },
    });
  }
  for (let left = reader.count("declarations"); left > 0; left--) {
    const declaration = reader.byte();
    if (declaration === 0x00) {
      reader.name();
      reader.name();
      skipCoreExtern(reader);
    } else if (declaration === 0x01) {
      if (reader.bytes[reader.position] !== 0x60) reader.fail("nests module types");
      skipCoreType(reader, { readAlias });
    } else if (declaration === 0x02) readAlias();
    else if (declaration === 0x03) {
      reader.name();
      skipCoreExtern(reader);
    } else reader.fail(`has an unknown declaration 0x${declaration.toString(16)}`);
  }
}

/** Skips the type of a core import or export that is a function; others are refused. */
function skipCoreExtern(reader: ByteReader): void {
  if (reader.byte() !== 0x00) reader.fail("has a module type with more than functions");
  reader.u32();
}
