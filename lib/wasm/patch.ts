/**
 * Copies a module with some bytes of some sections replaced.
 * @module
 */
import { unsignedLeb } from "./limits_field.ts";
import type { Section } from "./sections.ts";

/** A replacement for `bytes[start, end)`. */
export interface Edit {
  start: number;
  end: number;
  bytes: Uint8Array;
}

/** The edits of one section, in the order of their offsets. */
export interface SectionEdits {
  section: Section;
  edits: readonly Edit[];
}

/** Applies edits, given in the order of their sections; section sizes are written anew. */
export function patchSections(
  bytes: Uint8Array,
  patches: readonly SectionEdits[],
): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [];
  let size = 0;
  const push = (part: Uint8Array): void => {
    parts.push(part);
    size += part.length;
  };
  let copied = 0;
  for (const { section, edits } of patches) {
    push(bytes.subarray(copied, section.header + 1));
    const grown = edits.reduce((sum, edit) => sum + edit.bytes.length - (edit.end - edit.start), 0);
    push(new Uint8Array(unsignedLeb(BigInt(section.end - section.start + grown))));
    copied = section.start;
    for (const edit of edits) {
      push(bytes.subarray(copied, edit.start));
      push(edit.bytes);
      copied = edit.end;
    }
  }
  push(bytes.subarray(copied));
  const result = new Uint8Array(size);
  let offset = 0;
  for (const part of parts) {
    result.set(part, offset);
    offset += part.length;
  }
  return result;
}
