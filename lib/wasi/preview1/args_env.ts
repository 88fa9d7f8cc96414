/**
 * `args_*` and `environ_*`.
 * @module
 */
import { ERRNO } from "./abi.ts";
import type { WasiContext, WasiFunctions } from "./call_context.ts";

/** What {@linkcode argsEnv} hands to the guest. */
export interface ArgsEnvOptions {
  /** Arguments, argv[0] included. */
  args: readonly string[];
  /** Environment. */
  env: Readonly<Record<string, string>>;
}

/** The functions by which a guest gets its arguments and its environment. */
export function argsEnv(context: WasiContext, options: ArgsEnvOptions): WasiFunctions {
  const args = encodeList(options.args);
  const environ = encodeList(
    Object.entries(options.env).map(([name, value]) => `${name}=${value}`),
  );
  return {
    args_sizes_get: (count: number, size: number) => sizes(context, args, { count, size }),
    args_get: (pointers: number, buffer: number) => list(context, args, { pointers, buffer }),
    environ_sizes_get: (count: number, size: number) => sizes(context, environ, { count, size }),
    environ_get: (pointers: number, buffer: number) => list(context, environ, { pointers, buffer }),
  };
}

interface EncodedList {
  /** All strings, each ended by a NUL. */
  bytes: Uint8Array;
  /** Where each string starts. */
  starts: number[];
}

function encodeList(strings: readonly string[]): EncodedList {
  const encoder = new TextEncoder();
  const parts = strings.map((text) => encoder.encode(`${text}\0`));
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  const starts: number[] = [];
  let at = 0;
  for (const part of parts) {
    starts.push(at);
    bytes.set(part, at);
    at += part.length;
  }
  return { bytes, starts };
}

function sizes(
  { memory }: WasiContext,
  strings: EncodedList,
  target: { count: number; size: number },
): number {
  const count = target.count >>> 0;
  const size = target.size >>> 0;
  if (!memory.ok(count, 4) || !memory.ok(size, 4)) return ERRNO.FAULT;
  memory.view.setUint32(count, strings.starts.length, true);
  memory.view.setUint32(size, strings.bytes.length, true);
  return 0;
}

function list(
  { memory }: WasiContext,
  strings: EncodedList,
  target: { pointers: number; buffer: number },
): number {
  const pointers = target.pointers >>> 0;
  const buffer = target.buffer >>> 0;
  if (!memory.ok(pointers, strings.starts.length * 4)) return ERRNO.FAULT;
  if (!memory.ok(buffer, strings.bytes.length)) return ERRNO.FAULT;
  memory.bytes.set(strings.bytes, buffer);
  strings.starts.forEach((start, i) =>
    memory.view.setUint32(pointers + 4 * i, buffer + start, true)
  );
  return 0;
}
