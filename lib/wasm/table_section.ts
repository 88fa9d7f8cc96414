/**
 * Reads the table section and lowers its maxima, so that `table.grow` answers -1 at the cap.
 * @module
 */
import { PlasmError } from "../core/errors/mod.ts";
import { ByteReader } from "./reader.ts";
import { type LimitsField, readLimits } from "./limits_field.ts";
import { maximaEdits, shareMaxima } from "./maxima.ts";
import type { Edit } from "./patch.ts";
import type { Section } from "./sections.ts";
import { skipConstantExpression, skipReferenceType } from "./table_parts.ts";

/** V8 15.0 keeps 190 bytes for each; a compiler makes one, Binaryen's merging a few. */
const MAX_TABLES = 10_000;

/** Entries of a table with 32-bit indices (core specification 3.2.14). */
const MAX_ENTRIES_32 = 2n ** 32n - 1n;

/** A table with an initializer begins so, where another has its type. */
const WITH_INITIALIZER = 0x40;

/** A table as the module may now use it. */
export interface InspectedTable {
  initialEntries: number;
  /** After rewriting: where table.grow answers -1. */
  maximumEntries: number;
}

/** Reads the tables and gives the edits that bring all their maxima together under `cap` entries. */
export function readTables(
  bytes: Uint8Array,
  options: { section: Section | undefined; cap: number },
): { list: InspectedTable[]; edits: Edit[] } {
  if (options.section === undefined) return { list: [], edits: [] };
  const reader = new ByteReader(bytes, "table section", options.section);
  const count = reader.count("tables", 3);
  if (count > MAX_TABLES) reader.fail(`has ${count} tables, ${MAX_TABLES} are allowed,`);
  const all: LimitsField[] = [];
  for (let left = count; left > 0; left--) {
    const initialized = reader.bytes[reader.position] === WITH_INITIALIZER;
    if (initialized) {
      reader.skip(1);
      if (reader.byte() !== 0) reader.fail("has a table of unknown form");
    }
    skipReferenceType(reader);
    all.push(readLimits(reader));
    if (initialized) skipConstantExpression(reader);
  }
  reader.finish();
  const asked = all.reduce((sum, { initial }) => sum + initial, 0n);
  if (asked > BigInt(options.cap)) {
    throw new PlasmError(
      "over-limit",
      `Cannot run module: its tables have ${asked} entries at start, ${options.cap} are allowed`,
      {
        hint: "Link the module with smaller tables",
        details: { asked: Number(asked), allowed: options.cap },
      },
    );
  }
  const maxima = shareMaxima(all, { cap: BigInt(options.cap), most32: MAX_ENTRIES_32 });
  return {
    list: all.map((limits, index) => ({
      initialEntries: Number(limits.initial),
      maximumEntries: Number(maxima[index]!),
    })),
    edits: maximaEdits(all, maxima),
  };
}
