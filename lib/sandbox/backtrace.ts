/**
 * Describes where a job trapped.
 *
 * @module
 */
import type { StackFrame } from "../core/mod.ts";
import { MAX_STACK_FRAMES } from "../core/mod.ts";

/** Options of {@linkcode describeStack}. */
export interface DescribeStackOptions {
  /** Whether offsets are relative to the content of the code section, and not to the module. @default {false} */
  isInCode?: boolean | undefined;
}

/**
 * Describes the innermost calls of a job that trapped, by the names and line tables of its module. Loads what it needs
 * on demand: most jobs do not trap.
 *
 * @param offsets Offset of each call's instruction, the innermost first
 */
export async function describeStack(
  module: Uint8Array,
  offsets: readonly number[],
  { isInCode = false }: DescribeStackOptions = {},
): Promise<StackFrame[]> {
  if (offsets.length === 0) return [];
  const { describeFrames } = await import("../wasm/symbols/mod.ts");
  return describeFrames(module, offsets.slice(0, MAX_STACK_FRAMES), { isInCode });
}

/** Location of a call as engines write it. */
export function codeLocation({ function: index, offset }: StackFrame): string {
  return `wasm-function[${index ?? "?"}]:0x${offset.toString(16)}`;
}
