/**
 * Describes the stack of a trap by the names and line tables of its module.
 *
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import type { StackFrame } from "../../core/mod.ts";
import { escapeText } from "../../util/mod.ts";
import { readSections } from "../sections.ts";
import { customSections } from "./custom_sections.ts";
import { demangle } from "./demangle.ts";
import { functionNames, functionsAt } from "./function_names.ts";
import { type SourceLine, sourceLines } from "./line_table.ts";

/** Longest function or file name, in characters: names of templates have thousands. */
const MAX_NAME_CHARS = 300;

const NAMES = "name";
const LINE = ".debug_line";
const LINE_STRINGS = ".debug_line_str";
const STRINGS = ".debug_str";
const CUSTOM_SECTIONS = new Set([NAMES, LINE, LINE_STRINGS, STRINGS]);

/**
 * Describes the stack of a trap, innermost frame first. Malformed or large debug information is ignored.
 *
 * @param given Offset of each frame's instruction, in the module or in the content of the code section
 */
export function describeFrames(
  module: Uint8Array,
  given: readonly number[],
  { isInCode }: { isInCode: boolean },
): StackFrame[] {
  const debug = attempt(() => customSections(module, CUSTOM_SECTIONS)) ?? new Map();
  const sections = attempt(() => readSections(module));
  const codeStart = sections?.known.get("code")?.start;
  if (sections === undefined || codeStart === undefined) {
    return given.map((offset) => frame(offset));
  }
  const offsets = isInCode ? given.map((offset) => codeStart + offset) : given;
  const functions = attempt(() => functionsAt(module, sections, offsets)) ?? [];
  const indices = new Set(functions.filter((index) => index !== undefined));
  const nameSection = debug.get(NAMES);
  const names = nameSection && attempt(() => functionNames(module, nameSection, indices));
  const content = (name: string): Uint8Array | undefined => {
    const section = debug.get(name);
    return section && module.subarray(section.start, section.end);
  };
  const line = content(LINE);
  const lines = line && attempt(() =>
    sourceLines(
      { line, lineStrings: content(LINE_STRINGS), strings: content(STRINGS) },
      offsets.map((offset) => offset - codeStart),
    )
  );
  return offsets.map((offset, at) => {
    const index = functions[at];
    const name = index === undefined ? undefined : names?.get(index);
    return frame(offset, { index, name, line: lines?.[at] });
  });
}

/** What is known about a frame. */
interface FrameFacts {
  index?: number | undefined;
  name?: string | undefined;
  line?: SourceLine | undefined;
}

function frame(offset: number, { index, name, line }: FrameFacts = {}): StackFrame {
  return {
    offset,
    function: index ?? null,
    name: name === undefined ? null : escapeText(demangle(name), MAX_NAME_CHARS),
    file: line === undefined ? null : escapeText(line.file, MAX_NAME_CHARS),
    line: line?.line ?? null,
    column: line?.column ?? null,
  };
}

/** Result of reading a part of the module; undefined if it is malformed. */
function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof PlasmError) return undefined;
    throw error;
  }
}
