/**
 * Prints why a job did not exit: its message and the stack of a trap.
 *
 * @module
 */
import type { StackFrame } from "../core/mod.ts";
import { escapeText } from "../util/mod.ts";
import type { CliIo } from "./io.ts";

/** Longest name or file that is printed, in characters. */
const MAX_CHARS = 300;

/** The stack as text, one call a line and its source below it; names of another node's daemon are escaped again. */
export function backtraceText(backtrace: readonly StackFrame[]): string {
  return backtrace.map(({ offset, function: index, name, file, line, column, module }, at) => {
    const within = module === undefined ? "" : ` of core module ${module}`;
    const called = name === null
      ? `wasm-function[${index ?? "?"}]${within}`
      : escapeText(name, MAX_CHARS);
    const code = `  ${String(at).padStart(2)}: 0x${offset.toString(16)} - ${called}\n`;
    if (file === null) return code;
    const place = [escapeText(file, MAX_CHARS), line, column].filter((part) => part !== null);
    return `${code}        at ${place.join(":")}\n`;
  }).join("");
}

/** Field of `--json` of a job that trapped. */
export function backtraceJson(
  backtrace: readonly StackFrame[] | null | undefined,
): { backtrace?: readonly StackFrame[] } {
  return backtrace == null ? {} : { backtrace };
}

/** Options of {@linkcode printFailure}. */
interface PrintFailureOptions {
  /** Status of the job; null if it has no result. */
  status: string | null;
  backtrace: readonly StackFrame[] | null | undefined;
  io: CliIo;
}

/** Prints why a job did not exit, or what it lacked. Prints nothing if the message is no more than that it exited. */
export async function printFailure(
  message: string,
  { status, backtrace, io }: PrintFailureOptions,
): Promise<void> {
  if (status === "exited" && message === status) return;
  await io.message(`plasm: ${escapeText(message)}\n${backtraceText(backtrace ?? [])}`);
}
