/**
 * Applies the rewritings that a job asks for to its module.
 *
 * @module
 */
import { readSections } from "../sections.ts";
import { canonicalizeNaN } from "./canonicalize_nan.ts";
import { type CodeContent, replaceCode } from "./code_replacement.ts";
import { meterModule } from "./fuel.ts";
import { guardGrowth } from "./guard_growth.ts";
import { ModuleFacts } from "./module_facts.ts";

/** Options of {@linkcode instrument}. */
export interface InstrumentOptions {
  /** Whether every NaN that arithmetic makes has one bit pattern wherever its bits can be seen. @default {false} */
  canonicalizeNaN?: boolean | undefined;
  /**
   * 1 for each body that contains float arithmetic, as `reorderFunctions()` returns; its bodies have no instructions that
   * the deterministic profile refuses.
   * @default {all bodies are read}
   */
  arithmetic?: Uint8Array | undefined;
  /** 1 for each body that contains `memory.grow`, as `reorderFunctions()` returns. @default {all bodies are read} */
  grows?: Uint8Array | undefined;
  /** Instructions of the module as given that it may execute. @default {not counted} */
  fuel?: number | undefined;
}

/** Result of {@linkcode instrument}. */
export interface InstrumentedModule {
  /** The rewritten module; the input bytes if nothing had to change. */
  bytes: Uint8Array<ArrayBuffer>;
  /** Offset in the module as given of the instruction at an offset of the rewritten module. */
  original(offset: number): number;
  /** Whether the instruction at an offset of the rewritten module traps because the system refuses memory. */
  isRefusedGrowth(offset: number): boolean;
}

/**
 * Rewrites a module.
 *
 * @throws {PlasmError} `bad-module` if an instruction is unknown or a function would become too large
 */
export function instrument(
  given: Uint8Array<ArrayBuffer>,
  options: InstrumentOptions,
): InstrumentedModule {
  const { fuel, arithmetic, grows } = options;
  // First, so that no instructions of other rewritings are counted.
  const metered = fuel === undefined ? undefined : meterModule(given, fuel);
  const bytes = metered?.bytes ?? given;
  const original = (offset: number): number => metered?.insertions.original(offset) ?? offset;
  const sections = readSections(bytes);
  const section = sections.known.get("code");
  if (section === undefined) return { bytes, original, isRefusedGrowth: () => false };
  // The others change the code section only, and the module is written once: its data can be larger than its code.
  const facts = new ModuleFacts(bytes, sections);
  let code: CodeContent = { bytes, start: section.start, end: section.end };
  const next = ({ content }: { content: Uint8Array }): CodeContent => (
    { bytes: content, start: 0, end: content.length }
  );
  const canonical = options.canonicalizeNaN
    ? canonicalizeNaN(code, { facts, arithmetic })
    : undefined;
  if (canonical !== undefined) code = next(canonical);
  // Last, so that the offsets of its traps are those of the result.
  const guarded = guardGrowth(code, { facts, grows });
  if (guarded !== undefined) code = next(guarded);
  if (code.bytes === bytes) return { bytes, original, isRefusedGrowth: () => false };
  const { bytes: result, start } = replaceCode(bytes, code.bytes);
  return {
    bytes: result,
    original: (offset) => {
      const unguarded = guarded?.insertions.original(offset - start) ?? offset - start;
      return original(canonical?.insertions.original(unguarded) ?? unguarded);
    },
    isRefusedGrowth: (offset) => guarded?.traps.has(offset - start) === true,
  };
}
