/**
 * Reads the memory section and lowers its maxima, so that `memory.grow` answers -1 at the cap.
 * @module
 */
import { PlasmError } from "../core/errors/mod.ts";
import { ByteReader } from "./reader.ts";
import { type LimitsField, readLimits } from "./limits_field.ts";
import { maximaEdits, shareMaxima } from "./maxima.ts";
import type { Edit } from "./patch.ts";
import type { Section } from "./sections.ts";

const PAGE_BYTES = 65_536n;

/** Pages of a memory with 32-bit addresses (core specification 3.2.15): 4 GiB. */
const MAX_PAGES_32 = 65_536n;

/** Pages of a memory with 64-bit addresses. */
const MAX_PAGES_64 = 2n ** 48n;

/**
 * Each memory takes gigabytes of address space for V8's guard regions, which it gives up, and with
 * them speed, when address space runs out. A compiler makes one memory, a merger of modules some.
 */
const MAX_MEMORIES = 100;

const BYTES_PER_MB = 1_048_576;

/** A linear memory as the module may now use it. */
export interface InspectedMemory {
  initialBytes: number;
  /** After rewriting: where memory.grow answers -1. */
  maximumBytes: number;
  shared: boolean;
  is64: boolean;
}

/** Reads the memories and gives the edits that bring all their maxima together under `capBytes`. */
export function readMemories(
  bytes: Uint8Array,
  options: { section: Section | undefined; capBytes: number },
): { list: InspectedMemory[]; edits: Edit[] } {
  if (options.section === undefined) return { list: [], edits: [] };
  const reader = new ByteReader(bytes, "memory section", options.section);
  const count = reader.count("memories", 2);
  if (count > MAX_MEMORIES) reader.fail(`has ${count} memories, ${MAX_MEMORIES} are allowed,`);
  const all: LimitsField[] = [];
  for (let left = count; left > 0; left--) {
    const limits = readLimits(reader);
    const most = limits.is64 ? MAX_PAGES_64 : MAX_PAGES_32;
    if ((limits.maximum ?? limits.initial) > most) {
      reader.fail(`has a memory of ${limits.maximum ?? limits.initial} pages, ${most} can be,`);
    }
    all.push(limits);
  }
  reader.finish();
  const cap = BigInt(Math.floor(options.capBytes)) / PAGE_BYTES;
  const initial = all.reduce((sum, limits) => sum + limits.initial, 0n);
  if (initial > cap) throw tooMuch(Number(initial * PAGE_BYTES), options.capBytes);
  const maxima = shareMaxima(all, { cap, most32: MAX_PAGES_32 });
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

function tooMuch(asked: number, allowed: number): PlasmError {
  // Two digits, rounded up and down, so that a page too much does not read "64 MB, allowed 64 MB".
  const mb = (value: number, round: (x: number) => number): string =>
    String(round(value / BYTES_PER_MB * 100) / 100);
  return new PlasmError(
    "job-memory",
    `Cannot run module: it needs ${mb(asked, Math.ceil)} MB of memory at start, the job is ` +
      `allowed ${mb(allowed, Math.floor)} MB`,
    {
      hint: "Raise the job's memory limit, or link the module with a smaller --initial-memory",
      details: { asked_bytes: asked, allowed_bytes: allowed },
    },
  );
}
