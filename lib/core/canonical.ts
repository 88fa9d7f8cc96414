/**
 * Canonical JSON (RFC 8785): one document, one sequence of bytes, in every language.
 * @module
 */
import canonicalize from "canonicalize";
import { PlasmError } from "./errors/errors.ts";
import { findJsonProblem } from "./json.ts";

const encoder = new TextEncoder();

/**
 * The RFC 8785 form of a document. Stricter than the RFC where languages differ: numbers must be
 * safe integers, since floats and large integers are printed and parsed differently, and nothing is
 * dropped silently as `JSON.stringify` drops `undefined`.
 *
 * @throws {PlasmError} `internal` when the value is not plain JSON data with integers only
 */
export function canonicalJson(value: unknown): string {
  const problem = findJsonProblem(value)?.text ?? findUnsafeNumber(value);
  if (problem !== undefined) {
    throw new PlasmError("internal", `Cannot make canonical JSON: ${problem}`);
  }
  return canonicalize(value)!;
}

/** The UTF-8 bytes of {@linkcode canonicalJson}. */
export function canonicalBytes(value: unknown): Uint8Array {
  return encoder.encode(canonicalJson(value));
}

function findUnsafeNumber(value: unknown): string | undefined {
  if (typeof value === "number") {
    return Number.isSafeInteger(value)
      ? undefined
      : `only safe integers are allowed, found ${value}`;
  }
  if (typeof value !== "object" || value === null) return undefined;
  for (const child of Object.values(value)) {
    const problem = findUnsafeNumber(child);
    if (problem !== undefined) return problem;
  }
  return undefined;
}
