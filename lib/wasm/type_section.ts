/**
 * Reads the type section: function signatures, and whether the module has GC types.
 * Source: core specification 5.3 (release 3.0, with GC).
 *
 * @module
 */
import { badModule, ByteReader } from "./reader.ts";
import type { Section } from "./sections.ts";

const REC = 0x4e;
const SUB_FINAL = 0x4f;
const SUB = 0x50;
const ARRAY = 0x5e;
const STRUCT = 0x5f;
const FUNC = 0x60;
const REF = 0x64;
const REF_NULL = 0x63;

/** One-byte types: numbers, v128 and the short forms of nullable references. */
const SHORT_NAMES = new Map([
  [0x7f, "i32"],
  [0x7e, "i64"],
  [0x7d, "f32"],
  [0x7c, "f64"],
  [0x7b, "v128"],
  [0x74, "nullexnref"],
  [0x73, "nullfuncref"],
  [0x72, "nullexternref"],
  [0x71, "nullref"],
  [0x70, "funcref"],
  [0x6f, "externref"],
  [0x6e, "anyref"],
  [0x6d, "eqref"],
  [0x6c, "i31ref"],
  [0x6b, "structref"],
  [0x6a, "arrayref"],
  [0x69, "exnref"],
]);

/** Packed storage types of struct fields and array elements: i8 and i16. */
const PACKED_TYPES = new Set([0x78, 0x77]);

/** Largest number of types; V8 has the same limit (kV8MaxWasmTypes). */
const MAX_TYPES = 1_000_000;

/** Contents of a type section. */
export interface TypesInfo {
  /** Whether the module defines struct or array types. */
  usesGc: boolean;
  /** Offset of each function type's parameters, by type index; -1 for other types. */
  functions: readonly number[];
  /** Number of fields of each struct type, by type index. */
  fields: ReadonlyMap<number, number>;
  /** Signatures formatted so far: ten thousand imports may refer to the same huge type. */
  signatures: Map<number, string>;
}

/** Reads a value type and returns its name, which is `ref` for a typed reference. */
export function readValueType(reader: ByteReader): string {
  const byte = reader.byte();
  if (byte === REF || byte === REF_NULL) {
    reader.skipSigned(33);
    return "ref";
  }
  return SHORT_NAMES.get(byte) ?? reader.fail(`has an unknown type 0x${byte.toString(16)}`);
}

function skipField(reader: ByteReader): void {
  if (PACKED_TYPES.has(reader.bytes[reader.position] ?? 0)) reader.skip(1);
  else readValueType(reader);
  reader.skip(1);
}

/** Skips `count` vectors of value types. */
function skipTypes(reader: ByteReader, count: number): void {
  for (let vector = 0; vector < count; vector++) {
    for (let left = reader.count("types"); left > 0; left--) readValueType(reader);
  }
}

/** Reads the type section of a module, if it has one. */
export function readTypes(bytes: Uint8Array, section: Section | undefined): TypesInfo {
  const functions: number[] = [];
  const fields = new Map<number, number>();
  let usesGc = false;
  const signatures = new Map<number, string>();
  if (section === undefined) return { usesGc, functions, fields, signatures };
  const reader = new ByteReader(bytes, "type section", section);
  let groups = reader.count("types", 2);
  // A recursive group is a vector of types that counts as one. Groups cannot nest, so a counter suffices and
  // no input causes recursion.
  let inGroup = 0;
  while (groups > 0 || inGroup > 0) {
    if (inGroup > 0) inGroup--;
    else {
      groups--;
      if (reader.bytes[reader.position] === REC) {
        reader.skip(1);
        inGroup = reader.count("types in a group", 2);
        continue;
      }
    }
    let form = reader.byte();
    if (form === SUB || form === SUB_FINAL) {
      for (let left = reader.count("supertypes"); left > 0; left--) reader.u32();
      form = reader.byte();
    }
    if (functions.length === MAX_TYPES) reader.fail(`has more than ${MAX_TYPES} types`);
    functions.push(form === FUNC ? reader.position : -1);
    if (form === FUNC) skipTypes(reader, 2);
    else if (form === ARRAY) skipField(reader);
    else if (form === STRUCT) {
      const count = reader.count("fields", 2);
      fields.set(functions.length - 1, count);
      for (let left = count; left > 0; left--) skipField(reader);
    } else reader.fail(`has an unknown type form 0x${form.toString(16)}`);
    usesGc ||= form !== FUNC;
  }
  reader.finish();
  return { usesGc, functions, fields, signatures };
}

/** Most types shown per list; no function of preview1 or of a component has as many parameters. */
const MAX_SHOWN_TYPES = 24;

/** Formats a function type as parameters, `->`, results. */
export function functionType(bytes: Uint8Array, types: TypesInfo, index: number): string {
  const known = types.signatures.get(index);
  if (known !== undefined) return known;
  const start = types.functions[index];
  if (start === undefined || start < 0) {
    throw badModule(`its type ${index} is not a function type`, {
      details: { type: index },
    });
  }
  const reader = new ByteReader(bytes, "type section", { start, end: bytes.length });
  const vector = (): string[] => {
    const names: string[] = [];
    for (let left = reader.count("types"); left > 0; left--) {
      const name = readValueType(reader);
      if (names.length < MAX_SHOWN_TYPES) names.push(name);
      else names[MAX_SHOWN_TYPES] = "…";
    }
    return names;
  };
  const text = [...vector(), "->", ...vector()].join(" ");
  types.signatures.set(index, text);
  return text;
}

/** Range of the one-byte reference types in {@linkcode SHORT_NAMES}. */
const SHORT_REF_FIRST = 0x69;
const SHORT_REF_LAST = 0x74;

/** Skips a reference type. */
export function skipReferenceType(reader: ByteReader): void {
  const byte = reader.byte();
  if (byte === REF || byte === REF_NULL) reader.skipSigned(33);
  else if (byte < SHORT_REF_FIRST || byte > SHORT_REF_LAST) {
    reader.fail(`has an unknown element type 0x${byte.toString(16)}`);
  }
}
