/**
 * Replaces the code section of a module.
 *
 * @module
 */
import { readSections } from "../sections.ts";
import { ByteWriter } from "../writer.ts";

/** Largest function body, in bytes; V8 has the same limit (kV8MaxWasmFunctionSize). */
export const MAX_BODY_BYTES = 7_654_321;

/** Largest number of parameters and locals of a function; V8 has the same limit (kV8MaxWasmFunctionLocals). */
export const MAX_LOCALS = 50_000;

const HEADER_BYTES = 8;

/** The content of a code section, which need not be in its module. */
export interface CodeContent {
  /** Bytes that contain it. */
  bytes: Uint8Array;
  /** Offset of its first byte. */
  start: number;
  /** Offset after its last byte. */
  end: number;
}

/**
 * Returns the module with another content of the code section and without its custom sections, and the offset of that
 * content in it.
 */
export function replaceCode(
  bytes: Uint8Array,
  content: Uint8Array,
): { bytes: Uint8Array<ArrayBuffer>; start: number } {
  const result = new ByteWriter(bytes.length + content.length);
  let start = 0;
  result.copy(bytes, 0, HEADER_BYTES);
  for (const [name, section] of readSections(bytes).known) {
    if (name !== "code") {
      result.copy(bytes, section.header, section.end);
      continue;
    }
    result.byte(bytes[section.header]!);
    result.sized(content);
    start = result.length - content.length;
  }
  return { bytes: result.bytes, start };
}
