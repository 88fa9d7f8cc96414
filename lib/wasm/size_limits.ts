/**
 * Reads the memory and table sections and lowers their maxima to the job's limits, so that `memory.grow` and
 * `table.grow` return -1 at the limit.
 * Source: core specification 5.3.8 (limits), the threads (shared) and memory64 (64-bit limits) proposals.
 *
 * @module
 */
import { PlasmError } from "../core/errors/mod.ts";
import { ByteReader } from "./reader.ts";
import type { Section } from "./sections.ts";
import { skipReferenceType } from "./type_section.ts";
import { type Edit, unsignedLeb } from "./writer.ts";

const HAS_MAXIMUM = 0x01;
const SHARED = 0x02;
const IS_64 = 0x04;
const KNOWN_FLAGS = HAS_MAXIMUM | SHARED | IS_64;

/** Flag of the custom-page-sizes proposal: byte sizes would bypass a limit counted in pages of 64 KiB. */
const CUSTOM_PAGE_SIZE = 0x08;

/** Limits field of a memory or table, in pages or entries. */
export interface LimitsField {
  /** Offset of the flags byte. */
  start: number;
  /** Offset after the field. */
  end: number;
  flags: number;
  initial: bigint;
  /** Undefined if the module declares none. */
  maximum: bigint | undefined;
  shared: boolean;
  is64: boolean;
}

/** Reads a limits field. */
export function readLimits(reader: ByteReader): LimitsField {
  const start = reader.position;
  const flags = reader.byte();
  if (flags & CUSTOM_PAGE_SIZE) reader.fail("has a custom page size, which is not supported,");
  if (flags & ~KNOWN_FLAGS) reader.fail(`has unknown limits flags 0x${flags.toString(16)}`);
  const is64 = (flags & IS_64) !== 0;
  const shared = (flags & SHARED) !== 0;
  const number = () => is64 ? reader.u64() : BigInt(reader.u32());
  const initial = number();
  const maximum = flags & HAS_MAXIMUM ? number() : undefined;
  if (maximum !== undefined && maximum < initial) {
    reader.fail(`has a maximum (${maximum}) below its initial size (${initial})`);
  }
  if (shared && maximum === undefined) reader.fail("has a shared memory without a maximum");
  return { start, end: reader.position, flags, initial, maximum, shared, is64 };
}

/** Encodes a limits field with another maximum and unchanged flags. */
function writeLimits(limits: LimitsField, maximum: bigint): Uint8Array<ArrayBuffer> {
  return new Uint8Array([
    limits.flags | HAS_MAXIMUM,
    ...unsignedLeb(limits.initial),
    ...unsignedLeb(maximum),
  ]);
}

/**
 * Divides a limit among memories or tables: each gets its initial size and an equal share of the rest, capped at
 * its declared maximum and, with 32-bit addresses, at `max32`. The sum never exceeds the limit.
 */
function divideLimit(
  all: readonly LimitsField[],
  options: { limit: bigint; max32: bigint },
): bigint[] {
  const taken = all.reduce((sum, { initial }) => sum + initial, 0n);
  const share = all.length === 0 ? 0n : (options.limit - taken) / BigInt(all.length);
  return all.map(({ initial, maximum, is64 }) => {
    const most = [initial + share, ...is64 ? [] : [options.max32]];
    if (maximum !== undefined) most.push(maximum);
    return most.reduce((least, one) => one < least ? one : least);
  });
}

/** Edits that set the new maxima where they differ from the declared ones. */
function maximaEdits(all: readonly LimitsField[], maxima: readonly bigint[]): Edit[] {
  return all.flatMap((limits, index) => {
    const maximum = maxima[index]!;
    if (limits.maximum === maximum) return [];
    return [{ start: limits.start, end: limits.end, bytes: writeLimits(limits, maximum) }];
  });
}

const PAGE_BYTES = 65_536n;

/** Largest memory with 32-bit addresses, in pages (core specification 3.2.15): 4 GiB. */
const MAX_PAGES_32 = 65_536n;

/** Largest memory with 64-bit addresses, in pages. */
const MAX_PAGES_64 = 2n ** 48n;

/**
 * Largest number of memories. V8 reserves gigabytes of address space per memory for guard regions and falls back
 * to slower bounds checks when it runs out. Compilers emit one memory, module mergers a few.
 */
const MAX_MEMORIES = 100;

const BYTES_PER_MB = 1_048_576;

/** A linear memory after its maximum was lowered. */
export interface InspectedMemory {
  initialBytes: number;
  /** Size at which `memory.grow` returns -1. */
  maximumBytes: number;
  shared: boolean;
  is64: boolean;
}

/** Reads the memories; the edits lower their maxima so that the sum stays within `limitBytes`. */
export function readMemories(
  bytes: Uint8Array,
  options: { section: Section | undefined; limitBytes: number },
): { list: InspectedMemory[]; edits: Edit[] } {
  if (options.section === undefined) return { list: [], edits: [] };
  const reader = new ByteReader(bytes, "memory section", options.section);
  const count = reader.count("memories", 2);
  if (count > MAX_MEMORIES) reader.fail(`has ${count} memories (limit ${MAX_MEMORIES})`);
  const all: LimitsField[] = [];
  for (let left = count; left > 0; left--) {
    const limits = readLimits(reader);
    const maxPages = limits.is64 ? MAX_PAGES_64 : MAX_PAGES_32;
    const pages = limits.maximum ?? limits.initial;
    if (pages > maxPages) reader.fail(`has a memory of ${pages} pages (limit ${maxPages})`);
    all.push(limits);
  }
  reader.finish();
  const limit = BigInt(Math.floor(options.limitBytes)) / PAGE_BYTES;
  const initial = all.reduce((sum, limits) => sum + limits.initial, 0n);
  if (initial > limit) throw memoryExceeded(Number(initial * PAGE_BYTES), options.limitBytes);
  const maxima = divideLimit(all, { limit, max32: MAX_PAGES_32 });
  return {
    list: all.map((limits, index) => ({
      initialBytes: Number(limits.initial * PAGE_BYTES),
      maximumBytes: Number(maxima[index]! * PAGE_BYTES),
      shared: limits.shared,
      is64: limits.is64,
    })),
    edits: maximaEdits(all, maxima),
  };
}

function memoryExceeded(asked: number, allowed: number): PlasmError {
  // Two decimals, rounded up and down, so that one page too many does not read "64 MB, limit 64 MB".
  const mb = (value: number, round: (x: number) => number): string =>
    String(round(value / BYTES_PER_MB * 100) / 100);
  return new PlasmError(
    "job-memory",
    `Cannot run module: it needs ${
      mb(asked, Math.ceil)
    } MB of memory at start, the job's limit is ` +
      `${mb(allowed, Math.floor)} MB`,
    {
      hint: "Raise the job's memory limit or link the module with a smaller --initial-memory",
      details: { asked_bytes: asked, allowed_bytes: allowed },
    },
  );
}

/** Largest number of tables. V8 15.0 uses 190 bytes for each; compilers emit one, Binaryen's merging a few. */
const MAX_TABLES = 10_000;

/** Largest table with 32-bit indices, in entries (core specification 3.2.14). */
const MAX_ENTRIES_32 = 2n ** 32n - 1n;

/** First byte of a table with an initializer; other tables start with their type. */
export const TABLE_WITH_INITIALIZER = 0x40;

/** A table after its maximum was lowered. */
export interface InspectedTable {
  initialEntries: number;
  /** Size at which `table.grow` returns -1. */
  maximumEntries: number;
}

/** Reads the tables; the edits lower their maxima so that the sum stays within `limit` entries. */
export function readTables(
  bytes: Uint8Array,
  options: { section: Section | undefined; limit: number },
): { list: InspectedTable[]; edits: Edit[] } {
  if (options.section === undefined) return { list: [], edits: [] };
  const reader = new ByteReader(bytes, "table section", options.section);
  const count = reader.count("tables", 3);
  if (count > MAX_TABLES) reader.fail(`has ${count} tables (limit ${MAX_TABLES})`);
  const all: LimitsField[] = [];
  for (let left = count; left > 0; left--) {
    const initialized = reader.bytes[reader.position] === TABLE_WITH_INITIALIZER;
    if (initialized) {
      reader.skip(1);
      if (reader.byte() !== 0) reader.fail("has an unknown table form");
    }
    skipReferenceType(reader);
    all.push(readLimits(reader));
    if (initialized) skipConstantExpression(reader);
  }
  reader.finish();
  const asked = all.reduce((sum, { initial }) => sum + initial, 0n);
  if (asked > BigInt(options.limit)) {
    throw new PlasmError(
      "over-limit",
      `Cannot run module: its tables have ${asked} entries at start, limit ${options.limit}`,
      {
        hint: "Link the module with smaller tables",
        details: { asked: Number(asked), allowed: options.limit },
      },
    );
  }
  const maxima = divideLimit(all, { limit: BigInt(options.limit), max32: MAX_ENTRIES_32 });
  return {
    list: all.map((limits, index) => ({
      initialEntries: Number(limits.initial),
      maximumEntries: Number(maxima[index]!),
    })),
    edits: maximaEdits(all, maxima),
  };
}

const END = 0x0b;
const GC_PREFIX = 0xfb;
const SIMD_PREFIX = 0xfd;
const V128_CONST = 0x0c;

/** Skips the operands of each instruction that constant expressions allow (core specification 3.3.13). */
const OPERANDS = new Map<number, (reader: ByteReader) => void>([
  [0x23, (reader) => reader.u32()], // global.get
  [0x41, (reader) => reader.skipSigned(32)], // i32.const
  [0x42, (reader) => reader.skipSigned(64)], // i64.const
  [0x43, (reader) => reader.skip(4)], // f32.const
  [0x44, (reader) => reader.skip(8)], // f64.const
  [0x6a, () => {}], // i32.add
  [0x6b, () => {}], // i32.sub
  [0x6c, () => {}], // i32.mul
  [0x7c, () => {}], // i64.add
  [0x7d, () => {}], // i64.sub
  [0x7e, () => {}], // i64.mul
  [0xd0, (reader) => reader.skipSigned(33)], // ref.null
  [0xd2, (reader) => reader.u32()], // ref.func
]);

/** Number of integer operands of each GC instruction that constant expressions allow. */
const GC_OPERANDS = new Map([
  [0, 1], // struct.new
  [1, 1], // struct.new_default
  [6, 1], // array.new
  [7, 1], // array.new_default
  [8, 2], // array.new_fixed
  [26, 0], // any.convert_extern
  [27, 0], // extern.convert_any
  [28, 0], // ref.i31
]);

/** Skips a constant expression up to and including its first `end`: such expressions have no blocks. */
function skipConstantExpression(reader: ByteReader): void {
  for (let code = reader.byte(); code !== END; code = reader.byte()) {
    if (code === SIMD_PREFIX) {
      if (reader.u32() !== V128_CONST) reader.fail("has an initializer that is not constant");
      reader.skip(16);
    } else if (code === GC_PREFIX) {
      const operands = GC_OPERANDS.get(reader.u32());
      if (operands === undefined) reader.fail("has an initializer that is not constant");
      for (let left = operands; left > 0; left--) reader.u32();
    } else {
      const skip = OPERANDS.get(code);
      if (skip === undefined) reader.fail("has an initializer that is not constant");
      skip(reader);
    }
  }
}
