/**
 * Splits a module into its sections and checks their order, uniqueness and sizes.
 *
 * @module
 */
import { badModule } from "./reader.ts";
import { ByteReader } from "./reader.ts";

/** Section ids and names in the required order (core specification 5.5.2; tag: exception handling). */
export const SECTION_ORDER = [
  [1, "type"],
  [2, "import"],
  [3, "function"],
  [4, "table"],
  [5, "memory"],
  [13, "tag"],
  [6, "global"],
  [7, "export"],
  [8, "start"],
  [9, "element"],
  [12, "data count"],
  [10, "code"],
  [11, "data"],
] as const;

const RANKS = new Map(SECTION_ORDER.map(([id, name], rank) => [id as number, { name, rank }]));

const CUSTOM = 0;
const HEADER_BYTES = 8;

/** Name of a non-custom section. */
export type SectionName = typeof SECTION_ORDER[number][1];

/** Byte offsets of a section in the module. */
export interface Section {
  /** Offset of the id byte. */
  header: number;
  /** Offset of the content. */
  start: number;
  /** Offset after the content. */
  end: number;
}

/** The sections of a module. */
export interface Sections {
  /** Non-custom sections, in module order. */
  known: ReadonlyMap<SectionName, Section>;
  /** Custom sections that mark an object file or a shared library. */
  linkerSections: ReadonlySet<string>;
}

/** Custom sections of files that are not finished programs (WebAssembly tool conventions, Linking and DynamicLinking). */
const LINKER_SECTIONS = new Set(["linking", "dylink", "dylink.0"]);

/** Length of the longest name in {@linkcode LINKER_SECTIONS}; longer names are checked, but not stored. */
const LINKER_SECTION_NAME_BYTES = 8;

/**
 * Largest section that is parsed item by item, which bounds parsing to 0.4 s (the type section is the slowest).
 * A million functions make a section of 3 MB; the largest such section of CPython has 12 KB.
 */
const MAX_PARSED_SECTION_BYTES = 16 * 1_048_576;

const PARSED: ReadonlySet<string> = new Set<SectionName>(
  ["type", "import", "function", "table", "memory", "export"],
);

/** Modules with debug information have a few dozen custom sections. */
const MAX_CUSTOM_SECTIONS = 10_000;

/** Reads the section headers of a module; {@linkcode checkHeader} has checked the first eight bytes. */
export function readSections(bytes: Uint8Array): Sections {
  const reader = new ByteReader(bytes, "section list", { start: HEADER_BYTES, end: bytes.length });
  const known = new Map<SectionName, Section>();
  const linkerSections = new Set<string>();
  let customs = 0;
  let last: { name: string; rank: number } | undefined;
  while (reader.left > 0) {
    const header = reader.position;
    const id = reader.byte();
    const row = RANKS.get(id);
    const size = reader.u32();
    const what = row?.name ?? (id === CUSTOM ? "custom" : `number ${id}`);
    if (size > reader.left) {
      throw badModule(
        `its ${what} section at byte ${header} declares ${size} bytes, but ${reader.left} are left`,
        {
          hint: "The file is truncated or damaged; build or download it again",
          details: { offset: header, size, left: reader.left },
        },
      );
    }
    const start = reader.position;
    reader.skip(size);
    if (id === CUSTOM) {
      if (++customs > MAX_CUSTOM_SECTIONS) {
        throw badModule(`it has more than ${MAX_CUSTOM_SECTIONS} custom sections`, {
          hint: "Strip the module: wasm-strip, or the linker's -s",
          details: { allowed: MAX_CUSTOM_SECTIONS },
        });
      }
      const name = linkerSectionName(bytes, { start, end: reader.position });
      if (name !== undefined) linkerSections.add(name);
      continue;
    }
    if (row === undefined) {
      throw badModule(`it has a section with unknown id ${id} at byte ${header}`, {
        hint: "The file is damaged or uses a feature that this runtime does not support",
        details: { offset: header, id },
      });
    }
    if (last !== undefined && row.rank <= last.rank) {
      throw badModule(
        row.rank === last.rank
          ? `it has a duplicate ${row.name} section at byte ${header}`
          : `its ${row.name} section at byte ${header} comes after its ${last.name} section`,
        { hint: "The file is damaged; build it again", details: { offset: header, id } },
      );
    }
    if (size > MAX_PARSED_SECTION_BYTES && PARSED.has(row.name)) {
      throw badModule(
        `its ${row.name} section has ${size} bytes, limit ${MAX_PARSED_SECTION_BYTES}`,
        { details: { asked: size, allowed: MAX_PARSED_SECTION_BYTES } },
      );
    }
    last = row;
    known.set(row.name, { header, start, end: reader.position });
  }
  return { known, linkerSections };
}

/**
 * Name of a custom section if it is one of {@linkcode LINKER_SECTIONS}. Throws if a name is not valid UTF-8: V8 does
 * not see the custom sections of a reordered module.
 */
function linkerSectionName(
  bytes: Uint8Array,
  span: { start: number; end: number },
): string | undefined {
  const reader = new ByteReader(bytes, "custom section", span);
  const length = reader.count("name bytes");
  if (length > LINKER_SECTION_NAME_BYTES) {
    reader.skipUtf8(length);
    return undefined;
  }
  const name = reader.utf8(length);
  return LINKER_SECTIONS.has(name) ? name : undefined;
}
