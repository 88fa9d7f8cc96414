/**
 * Finds custom sections by name.
 *
 * @module
 */
import { ByteReader } from "../reader.ts";

const HEADER_BYTES = 8;
const CUSTOM = 0;

/** Longest name of a wanted section, in bytes. */
const MAX_NAME_BYTES = 32;

/** Content of custom sections of an accepted module, by name; the last one of a name counts. */
export function customSections(
  module: Uint8Array,
  names: ReadonlySet<string>,
): Map<string, { start: number; end: number }> {
  const found = new Map<string, { start: number; end: number }>();
  const span = { start: HEADER_BYTES, end: module.length };
  const reader = new ByteReader(module, "section list", span);
  while (reader.left > 0) {
    const id = reader.byte();
    const size = reader.u32();
    const start = reader.position;
    reader.skip(size);
    if (id !== CUSTOM) continue;
    const custom = new ByteReader(module, "custom section", { start, end: reader.position });
    const length = custom.count("name bytes");
    if (length > MAX_NAME_BYTES) continue;
    const name = custom.utf8(length);
    if (names.has(name)) found.set(name, { start: custom.position, end: custom.end });
  }
  return found;
}
