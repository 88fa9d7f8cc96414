/**
 * What the code section of a module holds, as far as the choice and the order of functions need it.
 * @module
 */
import { ByteReader } from "../reader.ts";
import type { Section } from "../sections.ts";
import { BodyScanner } from "./body_scanner.ts";
import type { References } from "./references.ts";

/** The functions of a module, as columns. */
export interface Code {
  /** How many functions have a body. */
  count: number;
  /** Where each body starts, its size not included; and where the last one ends. */
  start: Uint32Array;
  /** Bytes of each body. */
  size: Uint32Array;
  /** See {@linkcode BodyScanner.weight}. */
  weight: Float64Array;
  /** See {@linkcode BodyScanner.targets}. */
  targets: Uint32Array;
  /** Whether it grows a memory, by itself: 1 or 0. */
  grows: Uint8Array;
  /** All references. */
  references: References;
  /** Index of the first reference of each body, and after them how many there are. */
  firstReference: Uint32Array;
}

/** Reads the code section; undefined when it holds an instruction that is not known here. */
export function readCode(bytes: Uint8Array, section: Section): Code | undefined {
  const reader = new ByteReader(bytes, "code section", section);
  const count = reader.count("bodies", 3);
  const scanner = new BodyScanner(bytes);
  const code: Code = {
    count,
    start: new Uint32Array(count),
    size: new Uint32Array(count),
    weight: new Float64Array(count),
    targets: new Uint32Array(count),
    grows: new Uint8Array(count),
    references: scanner.references,
    firstReference: new Uint32Array(count + 1),
  };
  for (let index = 0; index < count; index++) {
    const size = reader.u32();
    const start = reader.position;
    reader.skip(size);
    if (!scanner.scan(start, start + size)) return undefined;
    code.start[index] = start;
    code.size[index] = size;
    code.weight[index] = scanner.weight;
    code.targets[index] = scanner.targets;
    code.grows[index] = scanner.grows ? 1 : 0;
    code.firstReference[index + 1] = scanner.references.count;
  }
  reader.finish();
  return code;
}
