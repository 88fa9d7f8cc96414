/**
 * The limits of a memory or a table: flags, initial size, perhaps a maximum.
 * Source: core specification 5.3.8, threads (shared), memory64 (64-bit numbers).
 * @module
 */
import type { ByteReader } from "./reader.ts";

const HAS_MAXIMUM = 0x01;
const SHARED = 0x02;
const IS_64 = 0x04;
const KNOWN = HAS_MAXIMUM | SHARED | IS_64;

/** The custom-page-sizes proposal's flag: its byte sizes would slip past a cap counted in pages. */
const PAGE_SIZE = 0x08;

/** Limits as a module writes them, in pages or entries. */
export interface LimitsField {
  /** Offset of the flags byte. */
  start: number;
  /** Offset after the last byte. */
  end: number;
  flags: number;
  initial: bigint;
  /** Absent where the module sets none. */
  maximum: bigint | undefined;
  shared: boolean;
  is64: boolean;
}

/** Reads limits. */
export function readLimits(reader: ByteReader): LimitsField {
  const start = reader.position;
  const flags = reader.byte();
  if (flags & PAGE_SIZE) reader.fail("asks for pages of its own size, which are not supported,");
  if (flags & ~KNOWN) reader.fail(`has limits of unknown form 0x${flags.toString(16)}`);
  const is64 = (flags & IS_64) !== 0;
  const shared = (flags & SHARED) !== 0;
  const number = () => is64 ? reader.u64() : BigInt(reader.u32());
  const initial = number();
  const maximum = flags & HAS_MAXIMUM ? number() : undefined;
  if (maximum !== undefined && maximum < initial) {
    reader.fail(`has a maximum (${maximum}) under its initial size (${initial})`);
  }
  if (shared && maximum === undefined) reader.fail("has a shared memory without a maximum");
  return { start, end: reader.position, flags, initial, maximum, shared, is64 };
}

/** Writes limits again with another maximum; the other flags stay. */
export function writeLimits(limits: LimitsField, maximum: bigint): Uint8Array<ArrayBuffer> {
  return new Uint8Array([
    limits.flags | HAS_MAXIMUM,
    ...unsignedLeb(limits.initial),
    ...unsignedLeb(maximum),
  ]);
}

/** The shortest unsigned LEB128 form of a number. */
export function unsignedLeb(value: bigint): number[] {
  const bytes: number[] = [];
  let left = value;
  for (; left >= 0x80n; left >>= 7n) bytes.push(Number(left & 0x7fn) | 0x80);
  bytes.push(Number(left));
  return bytes;
}
