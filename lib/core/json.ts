/**
 * Parses JSON from outside strictly, writes canonical JSON (RFC 8785), and formats paths and values for messages.
 *
 * @module
 */
import canonicalize from "canonicalize";
import { escapeText } from "../util/mod.ts";
import { type ErrorCode, PlasmError } from "./errors/mod.ts";

/** Maximum nesting depth; our documents need 4. */
export const MAX_JSON_DEPTH = 32;

/** Options of {@linkcode parseJson}. */
export interface ParseJsonOptions {
  /** Maximum size in bytes of UTF-8. */
  maxBytes: number;
  /** Code of the error thrown. */
  code: ErrorCode;
  /** Name of the document in the message, such as "manifest". */
  what: string;
}

/**
 * Parses JSON text or its UTF-8 bytes. Rejects what `JSON.parse` accepts but other languages read differently:
 * duplicate keys and lone surrogates.
 *
 * @throws {PlasmError} `code` if it is not JSON, not UTF-8, too large, too deep, has a duplicate key
 * or a string that is not well-formed Unicode
 */
export function parseJson(input: string | Uint8Array, options: ParseJsonOptions): unknown {
  const { maxBytes, code, what } = options;
  const invalid = (why: string, cause?: unknown): PlasmError =>
    new PlasmError(code, `Cannot read ${what}: ${why}`, { cause });
  // A UTF-16 unit is at least one byte of UTF-8, so a long string is rejected before it is encoded.
  const size = typeof input !== "string" || input.length > maxBytes
    ? input.length
    : new TextEncoder().encode(input).length;
  if (size > maxBytes) throw invalid(`at most ${maxBytes} bytes are allowed, found ${size}`);
  let text: string;
  let value: unknown;
  try {
    text = typeof input === "string"
      ? input
      : new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(input);
  } catch (error) {
    throw invalid("it is not UTF-8", error);
  }
  try {
    value = JSON.parse(text);
  } catch (error) {
    // V8 repeats the text after a comma.
    const why = (error as Error).message.replace(/, ["'].*/s, "");
    throw invalid(`it is not JSON: ${clip(why)}`, error);
  }
  const problem = findJsonProblem(value)?.text ?? findDuplicateKey(text);
  if (problem !== undefined) throw invalid(problem);
  return value;
}

/** A value that is not plain JSON data. */
export interface JsonProblem {
  /** The place, such as `args[3]`. */
  field: string;
  /** What is wrong there, beginning with the place. */
  text: string;
}

/**
 * Finds the first part of a value that is not plain JSON data: `undefined`, a function, a bigint, a class
 * instance, a non-finite number, a lone surrogate, a cycle or deep nesting.
 */
export function findJsonProblem(value: unknown): JsonProblem | undefined {
  return isPlainJson(value, 0) ? undefined : findProblem(value, []);
}

/** Fast path: does not track paths. */
function isPlainJson(value: unknown, depth: number): boolean {
  if (typeof value === "string") return value.isWellFormed();
  if (typeof value === "number") return Number.isFinite(value);
  if (typeof value !== "object") return typeof value === "boolean";
  if (value === null) return true;
  if (depth >= MAX_JSON_DEPTH) return false;
  if (Array.isArray(value)) {
    // By index, to find holes.
    for (let n = 0; n < value.length; n++) if (!isPlainJson(value[n], depth + 1)) return false;
    return true;
  }
  if (!isPlainObject(value)) return false;
  for (const key of Object.keys(value)) {
    const child = (value as Record<string, unknown>)[key];
    if (!key.isWellFormed() || !isPlainJson(child, depth + 1)) return false;
  }
  return true;
}

function isPlainObject(value: object): boolean {
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

function findProblem(
  value: unknown,
  path: readonly (string | number)[],
): JsonProblem | undefined {
  const problem = (what: string): JsonProblem => {
    const field = pathText(path);
    return { field, text: `${field} ${what}` };
  };
  switch (typeof value) {
    case "boolean":
      return undefined;
    case "string":
      return value.isWellFormed() ? undefined : problem("is not well-formed Unicode");
    case "number":
      return Number.isFinite(value) ? undefined : problem(`is not a JSON number: ${value}`);
    case "object":
      break;
    default:
      return problem(`is not a JSON value: ${typeof value}`);
  }
  if (value === null) return undefined;
  if (path.length >= MAX_JSON_DEPTH) {
    const field = pathText([]);
    return { field, text: `${field} is nested too deep: ${MAX_JSON_DEPTH} levels are allowed` };
  }
  if (Array.isArray(value)) return findProblemIn([...value.entries()], path);
  if (!isPlainObject(value)) return problem("is not a plain object");
  if (!Object.keys(value).every((key) => key.isWellFormed())) {
    return problem("has a field name that is not well-formed Unicode");
  }
  return findProblemIn(Object.entries(value), path);
}

function findProblemIn(
  entries: [string | number, unknown][],
  path: readonly (string | number)[],
): JsonProblem | undefined {
  for (const [key, child] of entries) {
    const problem = findProblem(child, [...path, key]);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

/**
 * Finds a duplicate key. RFC 8259 does not define which one counts, so two programs could read different
 * documents with one hash.
 */
function findDuplicateKey(text: string): string | undefined {
  // The text is valid JSON, so only strings and nesting matter.
  const tokens = /"[^"\\]*(?:\\.[^"\\]*)*"(\s*:)?|[{}]/g;
  const seen: Set<string>[] = [];
  for (let match = tokens.exec(text); match !== null; match = tokens.exec(text)) {
    const token = match[0];
    if (token === "{") seen.push(new Set());
    else if (token === "}") seen.pop();
    else if (match[1] !== undefined) {
      const key = JSON.parse(token.slice(0, -match[1].length)) as string;
      if (seen.at(-1)?.has(key)) return `field ${clip(JSON.stringify(key))} occurs twice`;
      seen.at(-1)?.add(key);
    }
  }
  return undefined;
}

const encoder = new TextEncoder();

/**
 * Canonical JSON (RFC 8785) of a document. Stricter than the RFC where languages differ: numbers must be
 * safe integers, because languages print and parse other numbers differently, and `undefined` is rejected instead of
 * dropped.
 *
 * @throws {PlasmError} `internal` if the value is not plain JSON data with integers only
 */
export function canonicalJson(value: unknown): string {
  const problem = findJsonProblem(value)?.text ?? findUnsafeNumber(value);
  if (problem !== undefined) {
    throw new PlasmError("internal", `Cannot create canonical JSON: ${problem}`);
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

/** Maximum length of a value in a message, in characters. */
const MAX_SHOWN = 80;

/** Truncates text from outside and escapes control characters. */
export function clip(text: string): string {
  return escapeText(text, MAX_SHOWN);
}

/** Formats a value: JSON for scalars, the kind for arrays and objects. */
export function valueText(value: unknown): string {
  if (value === undefined) return "nothing";
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (typeof value === "object" && value !== null) return "an object";
  if (typeof value === "string") return clip(JSON.stringify(value.slice(0, 2 * MAX_SHOWN)));
  return clip(String(value));
}

/** Formats a path: `resources.memory_mb`, `args[3]`, `inputs["a b"]`. */
export function pathText(path: readonly (string | number)[]): string {
  let text = "";
  for (const part of path) {
    if (typeof part === "number") text += `[${part}]`;
    else if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(part)) text += `[${clip(JSON.stringify(part))}]`;
    else text += text === "" ? part : `.${part}`;
  }
  return text === "" ? "the document" : text;
}
