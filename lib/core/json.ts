/**
 * Strict JSON: parsing input from outside, canonical output (RFC 8785), and places and values in messages.
 *
 * @module
 */
import canonicalize from "canonicalize";
import { printable } from "../util/mod.ts";
import { type ErrorCode, PlasmError } from "./errors/errors.ts";

/** Deep enough for every document of ours (at most 4), shallow enough for every recursion. */
export const MAX_JSON_DEPTH = 32;

/** Options of {@linkcode parseJson}. */
export interface ParseJsonOptions {
  /** Size cap in bytes of UTF-8. */
  maxBytes: number;
  /** Code of the error thrown. */
  code: ErrorCode;
  /** What is read, for the message, such as "manifest". */
  what: string;
}

/**
 * Parses JSON text or its UTF-8 bytes.
 *
 * @throws {PlasmError} `code` when it is not JSON, not UTF-8, over the cap, too deep, has a key twice
 * in one object or a string that is not well-formed Unicode
 */
export function parseJson(input: string | Uint8Array, options: ParseJsonOptions): unknown {
  const { maxBytes, code, what } = options;
  const refuse = (why: string, cause?: unknown): PlasmError =>
    new PlasmError(code, `Cannot read ${what}: ${why}`, { cause });
  // A UTF-16 unit is at least one byte of UTF-8, so a long string is refused before it is encoded.
  const size = typeof input !== "string" || input.length > maxBytes
    ? input.length
    : new TextEncoder().encode(input).length;
  if (size > maxBytes) throw refuse(`at most ${maxBytes} bytes are allowed, found ${size}`);
  let text: string;
  let value: unknown;
  try {
    text = typeof input === "string"
      ? input
      : new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(input);
  } catch (error) {
    throw refuse("it is not UTF-8", error);
  }
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw refuse(`it is not JSON: ${clip((error as Error).message)}`, error);
  }
  const problem = findJsonProblem(value)?.text ?? findDuplicateKey(text);
  if (problem !== undefined) throw refuse(problem);
  return value;
}

/** What {@linkcode findJsonProblem} finds. */
export interface JsonProblem {
  /** The place, such as `args[3]`. */
  field: string;
  /** What is wrong there, beginning with the place. */
  text: string;
}

/**
 * Finds what keeps a value from being plain JSON data: `undefined`, functions, bigints, class
 * instances, non-finite numbers, lone surrogates, cycles and deep nesting.
 */
export function findJsonProblem(value: unknown): JsonProblem | undefined {
  return isPlainJson(value, 0) ? undefined : findProblem(value, []);
}

/** A quick yes to plain JSON data: places need not be named where nothing is wrong. */
function isPlainJson(value: unknown, depth: number): boolean {
  if (typeof value === "string") return value.isWellFormed();
  if (typeof value === "number") return Number.isFinite(value);
  if (typeof value !== "object") return typeof value === "boolean";
  if (value === null) return true;
  if (depth >= MAX_JSON_DEPTH) return false;
  if (Array.isArray(value)) {
    // By index: holes are found so.
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
      return Number.isFinite(value) ? undefined : problem(`is no JSON number: ${value}`);
    case "object":
      break;
    default:
      return problem(`is no JSON value: ${typeof value}`);
  }
  if (value === null) return undefined;
  if (path.length >= MAX_JSON_DEPTH) {
    const field = pathText([]);
    return { field, text: `${field} is nested too deep: ${MAX_JSON_DEPTH} levels are allowed` };
  }
  if (Array.isArray(value)) return findProblemIn([...value.entries()], path);
  if (!isPlainObject(value)) return problem("is no plain object");
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
 * Finds a key that occurs twice in one object. RFC 8259 leaves open which one counts, so two
 * programs could read two documents under one hash.
 */
function findDuplicateKey(text: string): string | undefined {
  // The text has been parsed already, so tokens need no checking: only strings and nesting matter.
  const tokens = /"[^"\\]*(?:\\.[^"\\]*)*"(\s*:)?|[{}]/g;
  const seen: Set<string>[] = [];
  for (let match = tokens.exec(text); match !== null; match = tokens.exec(text)) {
    const token = match[0];
    if (token === "{") seen.push(new Set());
    else if (token === "}") seen.pop();
    else if (match[1] !== undefined) {
      const key = JSON.parse(token.slice(0, -match[1].length)) as string;
      if (seen.at(-1)?.has(key)) return `field ${clip(JSON.stringify(key))} is there twice`;
      seen.at(-1)?.add(key);
    }
  }
  return undefined;
}

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

/** Longest value shown in a message, in characters. */
const MAX_SHOWN = 80;

/** Shortens text from outside and makes it safe to print. */
export function clip(text: string): string {
  return printable(text, MAX_SHOWN);
}

/** Shows a value: its JSON where it is short, else what it is. */
export function valueText(value: unknown): string {
  if (value === undefined) return "nothing";
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (typeof value === "object" && value !== null) return "an object";
  if (typeof value === "string") return clip(JSON.stringify(value.slice(0, 2 * MAX_SHOWN)));
  return clip(String(value));
}

/** Shows a place: `resources.memory_mb`, `args[3]`, `inputs["a b"]`. */
export function pathText(path: readonly (string | number)[]): string {
  let text = "";
  for (const part of path) {
    if (typeof part === "number") text += `[${part}]`;
    else if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(part)) text += `[${clip(JSON.stringify(part))}]`;
    else text += text === "" ? part : `.${part}`;
  }
  return text === "" ? "the document" : text;
}
