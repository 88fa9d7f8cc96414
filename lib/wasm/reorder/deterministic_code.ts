/**
 * Refuses modules whose instructions have results that differ between machines, for the deterministic profile.
 *
 * @module
 */
import { badModule } from "../reader.ts";
import { readSections } from "../sections.ts";
import { readCode, type UnstableInstruction } from "./code_section.ts";
import { findEntryPoints } from "./hot_functions.ts";
import { FIRST_RELAXED } from "../opcodes.ts";

/**
 * Checks that a module uses neither relaxed SIMD nor atomics.
 *
 * @throws {PlasmError} `bad-module` that names the first such instruction, also if the module contains an instruction
 * that this program does not know
 */
export function checkDeterministicCode(bytes: Uint8Array): void {
  const sections = readSections(bytes);
  const section = sections.known.get("code");
  if (section === undefined) return;
  const { imported } = findEntryPoints(bytes, sections);
  const code = readCode(bytes, section, imported);
  if (code === undefined) {
    throw badModule("the deterministic profile cannot check it, it has unknown instructions");
  }
  const { unstable } = code;
  if (unstable === undefined) return;
  const proposal = unstable.isAtomic ? "atomics" : "relaxed SIMD";
  const where = `function ${imported + unstable.body}`;
  throw badModule(
    `the deterministic profile refuses ${proposal}, ${where} uses ${nameOf(unstable)}`,
    { details: { function: imported + unstable.body, instruction: nameOf(unstable) } },
  );
}

/** Names of relaxed SIMD's instructions, in the order of their opcodes. */
const RELAXED = [
  "i8x16.relaxed_swizzle",
  "i32x4.relaxed_trunc_f32x4_s",
  "i32x4.relaxed_trunc_f32x4_u",
  "i32x4.relaxed_trunc_f64x2_s_zero",
  "i32x4.relaxed_trunc_f64x2_u_zero",
  "f32x4.relaxed_madd",
  "f32x4.relaxed_nmadd",
  "f64x2.relaxed_madd",
  "f64x2.relaxed_nmadd",
  "i8x16.relaxed_laneselect",
  "i16x8.relaxed_laneselect",
  "i32x4.relaxed_laneselect",
  "i64x2.relaxed_laneselect",
  "f32x4.relaxed_min",
  "f32x4.relaxed_max",
  "f64x2.relaxed_min",
  "f64x2.relaxed_max",
  "i16x8.relaxed_q15mulr_s",
  "i16x8.relaxed_dot_i8x16_i7x16_s",
  "i32x4.relaxed_dot_i8x16_i7x16_add_s",
] as const;

/** Names of the first atomic instructions, in the order of their opcodes. */
const ATOMIC = [
  "memory.atomic.notify",
  "memory.atomic.wait32",
  "memory.atomic.wait64",
  "atomic.fence",
] as const;

/** Opcode of the first atomic access to memory; each operation has one for every {@linkcode WIDTHS}. */
const FIRST_ACCESS = 0x10;

/** Operations on memory, in the order of their opcodes. */
const ACCESSES = ["load", "store", "add", "sub", "and", "or", "xor", "xchg", "cmpxchg"] as const;

/** Type, and width if it is narrower. */
const WIDTHS = [
  ["i32", ""],
  ["i64", ""],
  ["i32", "8"],
  ["i32", "16"],
  ["i64", "8"],
  ["i64", "16"],
  ["i64", "32"],
] as const;

/** Name of an instruction in the text format. */
function nameOf({ isAtomic, opcode }: UnstableInstruction): string {
  if (!isAtomic) return RELAXED[opcode - FIRST_RELAXED]!;
  if (opcode < FIRST_ACCESS) return ATOMIC[opcode]!;
  const at = opcode - FIRST_ACCESS;
  const [type, width] = WIDTHS[at % WIDTHS.length]!;
  const access = ACCESSES[Math.floor(at / WIDTHS.length)]!;
  const sign = width === "" || access === "store" ? "" : "_u";
  if (access === "load" || access === "store") return `${type}.atomic.${access}${width}${sign}`;
  return `${type}.atomic.rmw${width}.${access}${sign}`;
}
