/**
 * Reads what a rewriting of function bodies must know of the module: the types of functions, tags and structs, and the
 * limits of memories and tables.
 *
 * @module
 */
import { readImportedItems } from "../import_section.ts";
import { ByteReader } from "../reader.ts";
import type { SectionName, Sections } from "../sections.ts";
import { type LimitsField, readLimits, readTableLimits } from "../size_limits.ts";
import { readTypes } from "../type_section.ts";
import { BLOCK_TYPE, valueType } from "./instruction_reader.ts";

/** Parameters and results of a function type, each one of {@linkcode BLOCK_TYPE}. */
export interface FunctionShape {
  /** Types of the parameters. */
  parameters: Int8Array;
  /** Types of the results. */
  results: Int8Array;
}

/** Largest number of parameters, and of results; V8 has the same limits (kV8MaxWasmFunctionParams, -Returns). */
const MAX_PARAMETERS = 1000;

const REF_NULL = 0x63;
const REF = 0x64;

const NONE = new Int8Array(0);

/** Shapes of block types that are no type index, by their negated {@linkcode BLOCK_TYPE}. */
const SHORT_SHAPES: readonly FunctionShape[] = [
  { parameters: NONE, results: NONE },
  { parameters: NONE, results: NONE },
  ...[BLOCK_TYPE.OTHER, BLOCK_TYPE.F32, BLOCK_TYPE.F64, BLOCK_TYPE.V128]
    .map((type) => ({ parameters: NONE, results: Int8Array.of(type) })),
];

/** Facts about one module. */
export class ModuleFacts {
  /** Number of imported functions. */
  readonly imported: number;
  /** Type index of each function, imported ones first. */
  readonly functions: readonly number[];
  /** Number of global variables. */
  readonly globals: number;
  /** Number of global variables that are not imported. */
  readonly definedGlobals: number;
  /** Number of imported memories. */
  readonly importedMemories: number;
  /** Limits of each memory, imported ones first. */
  readonly memories: readonly LimitsField[];
  /** Limits of each table, imported ones first. */
  readonly tables: readonly LimitsField[];
  readonly #bytes: Uint8Array;
  readonly #tags: readonly number[];
  readonly #offsets: readonly number[];
  readonly #fields: ReadonlyMap<number, number>;
  readonly #shapes: (FunctionShape | undefined)[] = [];

  /** @throws {PlasmError} `bad-module` if a section is malformed. */
  constructor(bytes: Uint8Array, { known }: Sections) {
    this.#bytes = bytes;
    const open = (name: SectionName): ByteReader | undefined => {
      const section = known.get(name);
      return section && new ByteReader(bytes, `${name} section`, section);
    };
    const types = readTypes(bytes, known.get("type"));
    this.#offsets = types.functions;
    this.#fields = types.fields;
    const imports = readImportedItems(bytes, known.get("import"));
    const { functions, tags } = imports;
    this.imported = functions.length;
    const defined = open("function");
    for (let left = defined?.count("functions") ?? 0; defined && left > 0; left--) {
      functions.push(defined.u32());
    }
    this.functions = functions;
    const inTags = open("tag");
    for (let left = inTags?.count("tags", 2) ?? 0; inTags && left > 0; left--) {
      inTags.skip(1);
      tags.push(inTags.u32());
    }
    this.#tags = tags;
    this.definedGlobals = open("global")?.count("globals", 3) ?? 0;
    this.globals = imports.globals + this.definedGlobals;
    const limits = (name: "memory" | "table", read: (reader: ByteReader) => LimitsField) => {
      const reader = open(name);
      return Array.from({ length: reader?.count(name, 2) ?? 0 }, () => read(reader!));
    };
    this.importedMemories = imports.memories.length;
    this.memories = [...imports.memories, ...limits("memory", readLimits)];
    this.tables = [...imports.tables, ...limits("table", readTableLimits)];
  }

  /** Shape of a function; undefined if there is none with this index. */
  ofFunction(index: number): FunctionShape | undefined {
    const type = this.functions[index];
    return type === undefined ? undefined : this.ofType(type);
  }

  /** Shape of a block type: a type index, or one of {@linkcode BLOCK_TYPE}. */
  ofBlock(type: number): FunctionShape | undefined {
    return type < 0 ? SHORT_SHAPES[-type] : this.ofType(type);
  }

  /** Shape of a tag. */
  ofTag(index: number): FunctionShape | undefined {
    const type = this.#tags[index];
    return type === undefined ? undefined : this.ofType(type);
  }

  /** Number of fields of a struct type. */
  fields(type: number): number | undefined {
    return this.#fields.get(type);
  }

  /** Shape of a function type. */
  ofType(index: number): FunctionShape | undefined {
    const known = this.#shapes[index];
    if (known !== undefined) return known;
    const start = this.#offsets[index];
    if (start === undefined || start < 0) return undefined;
    const reader = new ByteReader(this.#bytes, "type section", {
      start,
      end: this.#bytes.length,
    });
    const shape = { parameters: readList(reader), results: readList(reader) };
    this.#shapes[index] = shape;
    return shape;
  }
}

function readList(reader: ByteReader): Int8Array {
  const count = reader.count("types");
  if (count > MAX_PARAMETERS) reader.fail(`has ${count} types in a list (limit ${MAX_PARAMETERS})`);
  const list = new Int8Array(count);
  for (let at = 0; at < count; at++) {
    const byte = reader.byte();
    if (byte === REF || byte === REF_NULL) reader.skipSigned(33);
    list[at] = valueType(byte);
  }
  return list;
}
