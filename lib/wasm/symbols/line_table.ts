/**
 * Looks up source lines in DWARF line tables (.debug_line, DWARF versions 2 to 5).
 *
 * Addresses in a WebAssembly module's DWARF are offsets in the content of its code section.
 *
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { badModule } from "../reader.ts";

/** Largest line table that is read, in bytes: 1 MB takes about 20 ms. */
const MAX_LINE_TABLE_BYTES = 8 * 2 ** 20;

/** Most entries of one form, directories or files: a row's file is an index into them. */
const MAX_ENTRIES = 100_000;

/** Place in a source file. */
export interface SourceLine {
  /** Path of the file, relative to the directory of the build if the table does not have it. */
  file: string;
  /** Line, from 1. */
  line: number;
  /** Column, from 1; null if the table does not have it. */
  column: number | null;
}

/** Sections of DWARF that a lookup reads. */
export interface LineSections {
  /** Content of .debug_line. */
  line: Uint8Array;
  /** Content of .debug_line_str. */
  lineStrings: Uint8Array | undefined;
  /** Content of .debug_str. */
  strings: Uint8Array | undefined;
}

/** Finds the source line of each address; undefined where the table has none. */
export function sourceLines(
  sections: LineSections,
  addresses: readonly number[],
): (SourceLine | undefined)[] {
  const found: (SourceLine | undefined)[] = addresses.map(() => undefined);
  if (sections.line.length > MAX_LINE_TABLE_BYTES) return found;
  const reader = new DwarfReader(sections.line);
  while (reader.left > 0) {
    const length = reader.u32();
    // Tables of 64-bit DWARF do not occur in modules of less than 4 GiB.
    if (length > reader.left) reader.fail();
    const unit = new DwarfReader(sections.line, reader.position, reader.position + length);
    reader.skip(length);
    try {
      readUnit(unit, { sections, addresses, found });
    } catch (error) {
      // An unknown version or form concerns one unit.
      if (!(error instanceof PlasmError)) throw error;
    }
  }
  return found;
}

/** What a unit is searched for. */
interface Search {
  sections: LineSections;
  addresses: readonly number[];
  found: (SourceLine | undefined)[];
}

/** Header fields that the line program depends on. */
interface UnitHeader {
  version: number;
  minInstruction: number;
  lineBase: number;
  lineRange: number;
  opcodeBase: number;
  operands: number[];
  files: FileEntry[];
}

/** A file of a unit. */
interface FileEntry {
  path: string;
}

function readUnit(reader: DwarfReader, search: Search): void {
  const version = reader.u16();
  if (version < 2 || version > 5) reader.fail();
  if (version === 5) reader.skip(2); // size of addresses and segment selectors
  const headerLength = reader.u32();
  const program = reader.position + headerLength;
  if (program > reader.end) reader.fail();
  const minInstruction = reader.u8();
  if (version >= 4) reader.skip(1); // operations per instruction
  reader.skip(1); // default of is_stmt
  const lineBase = reader.i8();
  const lineRange = reader.u8();
  const opcodeBase = reader.u8();
  const operands = Array.from({ length: Math.max(0, opcodeBase - 1) }, () => reader.u8());
  const files = version === 5 ? readFiles5(reader, search.sections) : readFiles2(reader);
  if (lineRange === 0) reader.fail();
  reader.position = program;
  const header = { version, minInstruction, lineBase, lineRange, opcodeBase, operands, files };
  runProgram(reader, header, search);
}

/** Directories and files of versions 2 to 4. Directory 0, that of the build, is only in .debug_info. */
function readFiles2(reader: DwarfReader): FileEntry[] {
  const directories = [""];
  for (let name; (name = reader.string()) !== "";) {
    if (directories.push(name) > MAX_ENTRIES) reader.fail();
  }
  const files: FileEntry[] = [{ path: "" }]; // numbered from 1
  for (let name; (name = reader.string()) !== "";) {
    const directory = directories[reader.uleb()];
    reader.uleb(); // time
    reader.uleb(); // size
    if (files.push({ path: join(directory, name) }) > MAX_ENTRIES) reader.fail();
  }
  return files;
}

// Content types of version 5.
const CONTENT_PATH = 1;
const CONTENT_DIRECTORY = 2;

function readFiles5(reader: DwarfReader, sections: LineSections): FileEntry[] {
  const directories = readEntries(reader, sections).map(({ path }) => path);
  return readEntries(reader, sections).map(({ path, directory }) => ({
    path: join(join(directories[0], directories[directory] ?? ""), path),
  }));
}

function readEntries(
  reader: DwarfReader,
  sections: LineSections,
): { path: string; directory: number }[] {
  const format = Array.from({ length: reader.u8() }, () => [reader.uleb(), reader.uleb()] as const);
  const count = reader.uleb();
  if (count > MAX_ENTRIES || (format.length === 0 && count > 0)) reader.fail();
  return Array.from({ length: count }, () => {
    const entry = { path: "", directory: 0 };
    for (const [content, form] of format) {
      const value = readForm(reader, form, sections);
      if (content === CONTENT_PATH && typeof value === "string") entry.path = value;
      if (content === CONTENT_DIRECTORY && typeof value === "number") entry.directory = value;
    }
    return entry;
  });
}

/** Reads an attribute of a directory or file (DWARF 5, section 6.2.4.1). */
function readForm(reader: DwarfReader, form: number, sections: LineSections): string | number {
  switch (form) {
    case 0x08: // DW_FORM_string
      return reader.string();
    case 0x1f: // DW_FORM_line_strp
      return stringAt(sections.lineStrings, reader.u32());
    case 0x0e: // DW_FORM_strp
      return stringAt(sections.strings, reader.u32());
    case 0x0b: // DW_FORM_data1
      return reader.u8();
    case 0x05: // DW_FORM_data2
      return reader.u16();
    case 0x06: // DW_FORM_data4
      return reader.u32();
    case 0x0f: // DW_FORM_udata
      return reader.uleb();
    case 0x1e: // DW_FORM_data16, the MD5 of a file
      reader.skip(16);
      return 0;
    case 0x09: { // DW_FORM_block
      reader.skip(reader.uleb());
      return 0;
    }
    default:
      return reader.fail();
  }
}

function stringAt(bytes: Uint8Array | undefined, offset: number): string {
  return bytes === undefined || offset >= bytes.length
    ? ""
    : new DwarfReader(bytes, offset).string();
}

function join(directory: string | undefined, name: string): string {
  return directory === undefined || directory === "" || name.startsWith("/")
    ? name
    : name === "" || name === directory
    ? directory
    : `${directory}/${name}`;
}

/** Row of the line table. */
interface Row {
  address: number;
  file: number;
  line: number;
  column: number;
}

/** Runs the line program of a unit (DWARF 5, section 6.2.5) and records the rows that cover an address. */
function runProgram(reader: DwarfReader, header: UnitHeader, search: Search): void {
  const { minInstruction, lineBase, lineRange, opcodeBase, operands } = header;
  const first = (): Row => ({ address: 0, file: 1, line: 1, column: 0 });
  let row = first();
  let last: Row | undefined;
  const emit = (): void => {
    if (last !== undefined) record(last, row.address, header, search);
    last = { ...row };
  };
  while (reader.left > 0) {
    const opcode = reader.u8();
    if (opcode >= opcodeBase) {
      const adjusted = opcode - opcodeBase;
      row.address += Math.floor(adjusted / lineRange) * minInstruction;
      row.line += lineBase + adjusted % lineRange;
      emit();
      continue;
    }
    switch (opcode) {
      case 0: {
        const length = reader.uleb();
        const end = reader.position + length;
        if (end > reader.end) reader.fail();
        const extended = length === 0 ? 0 : reader.u8();
        if (extended === 1) { // DW_LNE_end_sequence
          emit();
          row = first();
          last = undefined;
        } else if (extended === 2) row.address = reader.u32(); // DW_LNE_set_address
        reader.position = end;
        break;
      }
      case 1: // DW_LNS_copy
        emit();
        break;
      case 2: // DW_LNS_advance_pc
        row.address += reader.uleb() * minInstruction;
        break;
      case 3: // DW_LNS_advance_line
        row.line += reader.sleb();
        break;
      case 4: // DW_LNS_set_file
        row.file = reader.uleb();
        break;
      case 5: // DW_LNS_set_column
        row.column = reader.uleb();
        break;
      case 8: // DW_LNS_const_add_pc
        row.address += Math.floor((255 - opcodeBase) / lineRange) * minInstruction;
        break;
      case 9: // DW_LNS_fixed_advance_pc
        row.address += reader.u16();
        break;
      default:
        for (let left = operands[opcode - 1] ?? 0; left > 0; left--) reader.uleb();
    }
  }
}

/** Records a row for the addresses from its own up to `end`. Functions that the linker dropped are at address 0. */
function record(row: Row, end: number, { files }: UnitHeader, { addresses, found }: Search): void {
  if (row.address === 0 || row.line <= 0) return;
  addresses.forEach((address, at) => {
    if (address < row.address || address >= end || found[at] !== undefined) return;
    const file = files[row.file]?.path;
    if (file === undefined || file === "") return;
    found[at] = { file, line: row.line, column: row.column > 0 ? row.column : null };
  });
}

/** Little-endian reader with bounds checks. */
class DwarfReader {
  readonly #bytes: Uint8Array;
  position: number;
  readonly end: number;

  constructor(bytes: Uint8Array, start = 0, end: number = bytes.length) {
    this.#bytes = bytes;
    this.position = start;
    this.end = end;
  }

  get left(): number {
    return this.end - this.position;
  }

  fail(): never {
    throw badModule(`its line table is malformed at byte ${this.position}`);
  }

  skip(count: number): void {
    if (count > this.left) this.fail();
    this.position += count;
  }

  u8(): number {
    if (this.position >= this.end) this.fail();
    return this.#bytes[this.position++]!;
  }

  i8(): number {
    return this.u8() << 24 >> 24;
  }

  u16(): number {
    return this.u8() | this.u8() << 8;
  }

  u32(): number {
    return this.u16() + this.u16() * 0x10000;
  }

  /** Reads an unsigned LEB128 integer; more than 53 bits are not exact, and never valid here. */
  uleb(): number {
    let value = 0;
    for (let factor = 1;; factor *= 0x80) {
      const byte = this.u8();
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
      if (factor > 2 ** 49) this.fail();
    }
  }

  sleb(): number {
    let value = 0;
    for (let factor = 1;; factor *= 0x80) {
      const byte = this.u8();
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return (byte & 0x40) === 0 ? value : value - factor * 0x80;
      if (factor > 2 ** 42) this.fail();
    }
  }

  /** Reads text up to a NUL. */
  string(): string {
    const end = this.#bytes.indexOf(0, this.position);
    if (end < 0 || end >= this.end) this.fail();
    const text = DECODER.decode(this.#bytes.subarray(this.position, end));
    this.position = end + 1;
    return text;
  }
}

const DECODER = new TextDecoder();
