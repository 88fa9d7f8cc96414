/**
 * Reads the memory and table sections and lowers their maxima to the job's limits, so that `memory.grow` and
 * `table.grow` return -1 at the limit.
 * Source: core specification 5.3.8 (limits), the threads (shared) and memory64 (64-bit limits) proposals.
 *
 * @module
 */
import { PlasmError } from "../core/errors/mod.ts";
import { readConstantExpression } from "./constant_expression.ts";
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
  /** Flags byte. */
  flags: number;
  /** Initial size. */
  initial: bigint;
  /** Maximum size; undefined if the module declares none. */
  maximum: bigint | undefined;
  /** Whether threads share the memory. */
  shared: boolean;
  /** Whether sizes and addresses have 64 bits. */
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
 * its declared maximum and at the largest one that V8 accepts. The sum never exceeds the limit.
 */
function divideLimit(
  all: readonly LimitsField[],
  options: { limit: bigint; max32: bigint; max64?: bigint },
): bigint[] {
  const taken = all.reduce((sum, { initial }) => sum + initial, 0n);
  const share = all.length === 0 ? 0n : (options.limit - taken) / BigInt(all.length);
  return all.map(({ initial, maximum, is64 }) => {
    const most = [maximum, is64 ? options.max64 : options.max32];
    return most.reduce<bigint>(
      (least, one) => one !== undefined && one < least ? one : least,
      initial + share,
    );
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

/** Largest memory with 64-bit addresses, in pages: V8 rejects modules that declare more than 16 GiB. */
const MAX_PAGES_64 = 262_144n;

/**
 * Largest number of memories. V8 reserves gigabytes of address space per memory for guard regions and falls back
 * to slower bounds checks when it runs out. Compilers emit one memory, module mergers a few.
 */
const MAX_MEMORIES = 100;

const BYTES_PER_MB = 1_048_576;

/** A linear memory after its maximum was lowered. */
export interface InspectedMemory {
  /** Size at the start. */
  initialBytes: number;
  /** Size at which `memory.grow` returns -1. */
  maximumBytes: number;
  /** Whether threads share the memory. */
  shared: boolean;
  /** Whether addresses have 64 bits. */
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
  const maxima = divideLimit(all, { limit, max32: MAX_PAGES_32, max64: MAX_PAGES_64 });
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

/** Reads a table, and returns its limits. */
export function readTableLimits(reader: ByteReader): LimitsField {
  const initialized = reader.bytes[reader.position] === TABLE_WITH_INITIALIZER;
  if (initialized) {
    reader.skip(1);
    if (reader.byte() !== 0) reader.fail("has an unknown table form");
  }
  skipReferenceType(reader);
  const limits = readLimits(reader);
  if (initialized) readConstantExpression(reader);
  return limits;
}

/** A table after its maximum was lowered. */
export interface InspectedTable {
  /** Size at the start. */
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
  const all = Array.from({ length: count }, () => readTableLimits(reader));
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
