/**
 * Splits a module into its sections and checks that each is there at most once, in the order that
 * the specification gives, and ends where it says.
 * @module
 */
import { badModule } from "./bad_module.ts";
import { ByteReader } from "./reader.ts";

/** Sections by id, in the only order allowed (core specification 5.5.2, exceptions: tag). */
const ORDER = [
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

const RANKS = new Map(ORDER.map(([id, name], rank) => [id as number, { name, rank }]));

const CUSTOM = 0;
const HEADER_BYTES = 8;

/** Name of a section that is not a custom one. */
export type SectionName = typeof ORDER[number][1];

/** Where a section lies in the module; all are offsets in bytes. */
export interface Section {
  /** Its id byte. */
  header: number;
  /** The first byte of its content. */
  start: number;
  /** The byte after its last. */
  end: number;
}

/** The sections of a module. */
export interface Sections {
  known: ReadonlyMap<SectionName, Section>;
  /** Those names of custom sections that tell what kind of file this is. */
  telling: ReadonlySet<string>;
}

/** Custom sections that a linker leaves in what is not a finished program. */
const TELLING = new Set(["linking", "dylink", "dylink.0"]);

/** Longest of {@linkcode TELLING}: a longer name need not be decoded. */
const TELLING_BYTES = 8;

/**
 * Largest section that is read item by item: a guard on the time that takes (0.4 s, the type section
 * being the slowest). A million functions make a section of 3 MB; CPython's largest has 12 KB.
 */
const MAX_READ_BYTES = 16 * 1_048_576;

const READ: ReadonlySet<string> = new Set<SectionName>(
  ["type", "import", "function", "table", "memory", "export"],
);

/** With debug information for each of its parts a module has some dozens. */
const MAX_CUSTOM_SECTIONS = 10_000;

/** Reads the section headers of a module whose first eight bytes have been checked. */
export function readSections(bytes: Uint8Array): Sections {
  const reader = new ByteReader(bytes, "section list", { start: HEADER_BYTES, end: bytes.length });
  const known = new Map<SectionName, Section>();
  const telling = new Set<string>();
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
        `its ${what} section at byte ${header} says ${size} bytes, ${reader.left} are left`,
        {
          hint: "The file is cut off or damaged; build or download it again",
          details: { offset: header, size, left: reader.left },
        },
      );
    }
    const start = reader.position;
    reader.skip(size);
    if (id === CUSTOM) {
      if (++customs > MAX_CUSTOM_SECTIONS) {
        throw badModule(`it has more than ${MAX_CUSTOM_SECTIONS} custom sections`, {
          hint: "Strip it: wasm-strip, or the linker's -s",
          details: { allowed: MAX_CUSTOM_SECTIONS },
        });
      }
      const name = customName(bytes, { start, end: reader.position });
      if (name !== undefined) telling.add(name);
      continue;
    }
    if (row === undefined) {
      throw badModule(`it has a section of unknown kind ${id} at byte ${header}`, {
        hint: "The file is damaged, or uses a feature that this runtime does not have",
        details: { offset: header, id },
      });
    }
    if (last !== undefined && row.rank <= last.rank) {
      throw badModule(
        row.rank === last.rank
          ? `it has its ${row.name} section twice, again at byte ${header}`
          : `its ${row.name} section at byte ${header} comes after its ${last.name} section`,
        { hint: "The file is damaged; build it again", details: { offset: header, id } },
      );
    }
    if (size > MAX_READ_BYTES && READ.has(row.name)) {
      throw badModule(
        `its ${row.name} section has ${size} bytes, ${MAX_READ_BYTES} are allowed`,
        { details: { asked: size, allowed: MAX_READ_BYTES } },
      );
    }
    last = row;
    known.set(row.name, { header, start, end: reader.position });
  }
  return { known, telling };
}

function customName(bytes: Uint8Array, span: { start: number; end: number }): string | undefined {
  const reader = new ByteReader(bytes, "custom section", span);
  const length = reader.count("name bytes");
  if (length > TELLING_BYTES) return undefined;
  const name = String.fromCharCode(...bytes.subarray(reader.position, reader.position + length));
  return TELLING.has(name) ? name : undefined;
}
