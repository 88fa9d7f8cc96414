/**
 * Compares two claims and names the first field that differs.
 *
 * @module
 */
import { pathText } from "./json.ts";
import type { Claim } from "./types.gen.ts";

/** First field in which two claims differ. */
export interface ClaimDifference {
  /** Path of the field, such as `stdout.hash` or `outputs["/out/a"].bytes`. */
  field: string;
  /** The same path as a list, such as `["outputs", "/out/a", "bytes"]`. */
  path: readonly string[];
  /** Value in the first claim; undefined if the field is absent there. */
  first: unknown;
  /** Value in the second claim; undefined if the field is absent there. */
  second: unknown;
}

/** Fields in the order in which they are compared: what was asked, then what came out, then how. */
const ORDER = [
  "version",
  "manifest_hash",
  "module_hash",
  "stdin_hash",
  "profile",
  "status",
  "exit_code",
  "stdout",
  "stderr",
  "outputs",
  "fuel",
  "nondeterminism",
] as const satisfies readonly (keyof Claim)[];

/** Fails to compile when {@linkcode ORDER} lacks a field. */
const _complete: [Exclude<keyof Claim, typeof ORDER[number]>] extends [never] ? true : never = true;

/** Finds the first field in which two claims differ; undefined if they are equal. */
export function findClaimDifference(first: Claim, second: Claim): ClaimDifference | undefined {
  for (const name of ORDER) {
    const difference = findDifference(first[name], second[name], [name]);
    if (difference !== undefined) return difference;
  }
  return undefined;
}

function findDifference(
  first: unknown,
  second: unknown,
  path: readonly string[],
): ClaimDifference | undefined {
  const different = { field: pathText(path), path, first, second };
  if (typeof first !== "object" || typeof second !== "object" || !first || !second) {
    return first === second ? undefined : different;
  }
  // Lists are short and have no structure: they are shown as a whole.
  if (Array.isArray(first) || Array.isArray(second)) {
    return JSON.stringify(first) === JSON.stringify(second) ? undefined : different;
  }
  const [a, b] = [first, second] as Record<string, unknown>[];
  const names = [...new Set([...Object.keys(a!), ...Object.keys(b!)])].sort();
  for (const name of names) {
    const difference = findDifference(own(a!, name), own(b!, name), [...path, name]);
    if (difference !== undefined) return difference;
  }
  return undefined;
}

function own(fields: Record<string, unknown>, name: string): unknown {
  return Object.hasOwn(fields, name) ? fields[name] : undefined;
}

/** Formats a difference: `stdout.hash is A in the first receipt and B in the second`. */
export function differenceText(
  { field, first, second }: ClaimDifference,
  names: { first: string; second: string },
): string {
  const show = (value: unknown): string => value === undefined ? "absent" : JSON.stringify(value);
  return `${field} is ${show(first)} in ${names.first}, ${show(second)} in ${names.second}`;
}
