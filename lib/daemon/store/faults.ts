/**
 * What the disk and SQLite say, as errors that tell the operator what to do.
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";

const HINTS: readonly [RegExp, string][] = [
  [/disk is full|no space left|os error 28\b|quota/i, "Free some space or lower retention.bytes"],
  [/readonly|read-only|os error 30\b/i, "Make the state directory writable"],
  [/permission denied|os error 13\b|unable to open/i, "Check who owns the state directory"],
  [
    /malformed|not a database/i,
    "Restore the job store from a backup, or move it away to begin anew",
  ],
  [/NotCapable|Requires \w+ access/i, "Grant the permission that is named"],
];

/** The `state` error for what was being done, such as "save job". */
export function stateError(doing: string, error: unknown): PlasmError {
  if (error instanceof PlasmError) return error;
  const text = error instanceof Error ? error.message : String(error);
  const hint = HINTS.find(([pattern]) => pattern.test(`${(error as Error)?.name} ${text}`))?.[1];
  // A full disk may have room again; the others need a hand.
  const retryable = hint === HINTS[0]?.[1];
  return new PlasmError("state", `Cannot ${doing}: ${text}`, { hint, retryable, cause: error });
}
