/**
 * Copies the sections that name functions outside of code, with the new indices.
 * Source: core specification 5.5.
 * @module
 */
import { readLimits } from "../limits_field.ts";
import { skipReferenceType } from "../table_parts.ts";
import type { CopyTask } from "./rewrite.ts";

const FUNCTION_KIND = 0;
const WITH_INITIALIZER = 0x40;
const REF_NULL = 0x63;
const REF = 0x64;
const END = 0x0b;

/** Bits of an element segment's flags. */
const NOT_ACTIVE = 1;
const EXPLICIT = 2;
const EXPRESSIONS = 4;

/** Copies the export section. */
export function copyExports({ reader, writer, order }: CopyTask): void {
  let left = reader.count("exports", 3);
  for (writer.u32(left); left > 0; left--) {
    const start = reader.position;
    reader.skip(reader.u32());
    const kind = reader.byte();
    writer.copy(reader.bytes, start, reader.position);
    const index = reader.u32();
    writer.u32(kind === FUNCTION_KIND ? order.index(index) : index);
  }
}

/** Copies the start section. */
export function copyStart({ reader, writer, order }: CopyTask): void {
  writer.u32(order.index(reader.u32()));
}

/** Copies the global section. */
export function copyGlobals(task: CopyTask): void {
  const { reader, writer } = task;
  let left = reader.count("globals", 3);
  for (writer.u32(left); left > 0; left--) {
    const start = reader.position;
    skipValueType(task);
    reader.skip(1);
    writer.copy(reader.bytes, start, reader.position);
    copyExpression(task);
  }
}

/** Copies the table section. */
export function copyTables(task: CopyTask): void {
  const { reader, writer } = task;
  let left = reader.count("tables", 3);
  for (writer.u32(left); left > 0; left--) {
    const start = reader.position;
    const initialized = reader.bytes[start] === WITH_INITIALIZER;
    if (initialized) reader.skip(2);
    skipReferenceType(reader);
    readLimits(reader);
    writer.copy(reader.bytes, start, reader.position);
    if (initialized) copyExpression(task);
  }
}

/** Copies the element section. */
export function copyElements(task: CopyTask): void {
  const { reader, writer, order } = task;
  let left = reader.count("segments", 2);
  for (writer.u32(left); left > 0; left--) {
    const flags = reader.u32();
    if (flags > 7) reader.fail("has a segment of unknown form");
    writer.u32(flags);
    if ((flags & NOT_ACTIVE) === 0) {
      if ((flags & EXPLICIT) !== 0) writer.u32(reader.u32());
      copyExpression(task);
    }
    const expressions = (flags & EXPRESSIONS) !== 0;
    if ((flags & (NOT_ACTIVE | EXPLICIT)) !== 0) {
      const start = reader.position;
      if (expressions) skipValueType(task);
      else reader.skip(1);
      writer.copy(reader.bytes, start, reader.position);
    }
    let items = reader.count("elements");
    for (writer.u32(items); items > 0; items--) {
      if (expressions) copyExpression(task);
      else writer.u32(order.index(reader.u32()));
    }
  }
}

function skipValueType({ reader }: CopyTask): void {
  const byte = reader.byte();
  if (byte === REF || byte === REF_NULL) reader.skipSigned(33);
}

/** Copies a constant expression; fails on instructions that only other languages' compilers use. */
function copyExpression({ reader, writer, order }: CopyTask): void {
  while (true) {
    const start = reader.position;
    const opcode = reader.byte();
    if (opcode === 0xd2) { // ref.func
      writer.byte(opcode);
      writer.u32(order.index(reader.u32()));
      continue;
    }
    if (opcode === 0x23) reader.u32(); // global.get
    else if (opcode === 0x41) reader.skipSigned(32); // i32.const
    else if (opcode === 0x42) reader.skipSigned(64); // i64.const
    else if (opcode === 0x43) reader.skip(4); // f32.const
    else if (opcode === 0x44) reader.skip(8); // f64.const
    else if (opcode === 0xd0) reader.skipSigned(33); // ref.null
    else if (!isArithmetic(opcode) && opcode !== END) reader.fail("has an expression not known");
    writer.copy(reader.bytes, start, reader.position);
    if (opcode === END) return;
  }
}

/** Additions, subtractions and multiplications of integers. */
function isArithmetic(opcode: number): boolean {
  return (opcode >= 0x6a && opcode <= 0x6c) || (opcode >= 0x7c && opcode <= 0x7e);
}
