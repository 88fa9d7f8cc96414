/**
 * Reads the type section: function types for the checks of imports and `_start`, and whether the
 * module can make objects on the garbage-collected heap.
 * Source: core specification 5.3 (release 3.0, with GC).
 * @module
 */
import { badModule } from "./bad_module.ts";
import { ByteReader } from "./reader.ts";
import type { Section } from "./sections.ts";

const REC = 0x4e;
const SUB_FINAL = 0x4f;
const SUB = 0x50;
const ARRAY = 0x5e;
const STRUCT = 0x5f;
const FUNC = 0x60;
const REF = 0x64;
const REF_NULL = 0x63;

/** Types of one byte: numbers, v128, and the short forms of nullable references. */
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

const PACKED = new Set([0x78, 0x77]);

/** V8 refuses more as well (kV8MaxWasmTypes). */
const MAX_TYPES = 1_000_000;

/** What a type section says. */
export interface TypesInfo {
  /** Whether there are struct or array types. */
  usesGc: boolean;
  /** Offset of the parameters of each function type, by type index; -1 for other types. */
  functions: readonly number[];
  /** What {@linkcode functionType} made: ten thousand imports may all name one giant type. */
  texts: Map<number, string>;
}

/** Reads a value type and gives its name; that of a typed reference is `ref`. */
export function readValueType(reader: ByteReader): string {
  const byte = reader.byte();
  if (byte === REF || byte === REF_NULL) {
    reader.skipSigned(33);
    return "ref";
  }
  return SHORT_NAMES.get(byte) ?? reader.fail(`has an unknown type 0x${byte.toString(16)}`);
}

function skipField(reader: ByteReader): void {
  if (PACKED.has(reader.bytes[reader.position] ?? 0)) reader.skip(1);
  else readValueType(reader);
  reader.skip(1);
}

/** Steps over `count` vectors of value types. */
function skipTypes(reader: ByteReader, count: number): void {
  for (let vector = 0; vector < count; vector++) {
    for (let left = reader.count("types"); left > 0; left--) readValueType(reader);
  }
}

/** Reads the type section; without one there are no types. */
export function readTypes(bytes: Uint8Array, section: Section | undefined): TypesInfo {
  const functions: number[] = [];
  let usesGc = false;
  const texts = new Map<number, string>();
  if (section === undefined) return { usesGc, functions, texts };
  const reader = new ByteReader(bytes, "type section", section);
  let groups = reader.count("types", 2);
  // A rec group is a vector of types and counts as one, but none nests in another: a counter is
  // enough, and no module can make this recurse.
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
      for (let left = reader.count("fields", 2); left > 0; left--) skipField(reader);
    } else reader.fail(`has a type of unknown form 0x${form.toString(16)}`);
    usesGc ||= form !== FUNC;
  }
  reader.finish();
  return { usesGc, functions, texts };
}

/** More parameters than preview1 has anywhere; the rest of a longer list is of no interest. */
const SHOWN_TYPES = 12;

/** A function type as text: parameters in a row, `->`, results. */
export function functionType(bytes: Uint8Array, types: TypesInfo, index: number): string {
  const known = types.texts.get(index);
  if (known !== undefined) return known;
  const start = types.functions[index];
  if (start === undefined || start < 0) {
    throw badModule(`a function has type ${index}, which is no function type`, {
      details: { type: index },
    });
  }
  const reader = new ByteReader(bytes, "type section", { start, end: bytes.length });
  const vector = (): string[] => {
    const names: string[] = [];
    for (let left = reader.count("types"); left > 0; left--) {
      const name = readValueType(reader);
      if (names.length < SHOWN_TYPES) names.push(name);
      else names[SHOWN_TYPES] = "…";
    }
    return names;
  };
  const text = [...vector(), "->", ...vector()].join(" ");
  types.texts.set(index, text);
  return text;
}
