/**
 * Parses and validates configuration text: a file, or one value from the environment or command line.
 *
 * @module
 */
import schema from "../../schemas/config.json" with { type: "json" };
import { parse } from "@std/jsonc";
import { PlasmError } from "../core/errors/mod.ts";
import { documentSchema, validateDocument } from "../core/mod.ts";
import { CONFIG_KEYS, type ConfigEntries, type ConfigValue, nearestName } from "./config.ts";
import { findRepeatedKey, lineAndColumn, locateKey } from "./locate.ts";

const CONFIG_DOCUMENT = documentSchema(schema);

const NAMES: readonly string[] = CONFIG_KEYS.map(({ name }) => name);

const SECTIONS: readonly string[] = [
  ...new Set(
    NAMES.flatMap((name) => name.includes(".") ? [name.slice(0, name.lastIndexOf("."))] : []),
  ),
];

/** Options of {@linkcode refuse}. */
interface RefuseOptions {
  hint?: string | undefined;
  /** The dotted key; its place in a file is added to the message. */
  field?: string | undefined;
}

function refuse(source: string, what: string, { hint, field }: RefuseOptions = {}): never {
  throw new PlasmError("bad-config", `Cannot use ${source}: ${what}`, {
    hint,
    ...(field === undefined ? {} : { details: { field } }),
  });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function refuseUnknown(source: string, name: string): never {
  const inside = NAMES.find((known) => known.startsWith(`${name}.`));
  if (inside !== undefined) {
    refuse(source, `"${name}" is a section`, {
      hint: `Name a key of it, such as ${inside}`,
      field: name,
    });
  }
  const near = nearestName(name, [...NAMES, ...SECTIONS]);
  const hint = near === undefined ? undefined : `Did you mean ${near}`;
  refuse(source, `unknown key "${name}"`, { hint, field: name });
}

function* flatten(value: object, prefix: string, source: string): Generator<[string, ConfigValue]> {
  for (const [key, child] of Object.entries(value)) {
    const name = prefix + key;
    if (name === "$schema") continue;
    if (NAMES.includes(name)) yield [name, child as ConfigValue];
    else if (!NAMES.some((known) => known.startsWith(`${name}.`))) refuseUnknown(source, name);
    else if (!isRecord(child)) {
      refuse(source, `${name} must be a section in {}, found ${JSON.stringify(child)}`, {
        field: name,
      });
    } else yield* flatten(child, `${name}.`, source);
  }
}

/** Converts dotted keys to the nested objects of a file. */
export function nest(entries: ConfigEntries): Record<string, unknown> {
  const root: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(entries)) {
    const path = name.split(".");
    const last = path.pop() ?? name;
    let node = root;
    for (const part of path) node = (node[part] ??= {}) as Record<string, unknown>;
    node[last] = value;
  }
  return root;
}

/**
 * Validates entries against the schema.
 *
 * @throws {PlasmError} `bad-config`, naming the source, the key, the allowed values and the value found
 */
export function checkEntries(entries: ConfigEntries, source: string): void {
  const names = Object.keys(entries);
  for (const name of names) if (!NAMES.includes(name)) refuseUnknown(source, name);
  // Usual at start-up: skips the validator.
  if (names.length === 0) return;
  validateDocument(CONFIG_DOCUMENT, nest(entries), {
    code: "bad-config",
    what: source,
    verb: "use",
  });
}

/**
 * Decodes a configuration file; a byte order mark is dropped.
 *
 * @throws {PlasmError} `bad-config` if it is not UTF-8
 */
export function decodeConfig(bytes: Uint8Array, source: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    const text = new TextDecoder().decode(bytes);
    const place = `${source}:${lineAndColumn(text, text.indexOf("\ufffd"))}`;
    return refuse(place, "it is not UTF-8", { hint: "Save it in the encoding UTF-8" });
  }
}

/**
 * Parses a configuration file: JSON with comments.
 *
 * @throws {PlasmError} `bad-config` if the text is not JSON with comments or violates the schema
 */
export function parseConfig(text: string, source: string): ConfigEntries {
  let value: unknown;
  try {
    value = parse(text);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const at = Number(/position (\d+)/.exec(message)?.[1] ?? text.trimEnd().length);
    const token = /unexpected token "(.*)" in JSONC/s.exec(message)?.[1];
    refuse(
      `${source}:${lineAndColumn(text, at)}`,
      `it is not JSON with comments: ${
        token === undefined ? "it ends too early" : `${token} is not expected here`
      }`,
      { hint: "Check quotes, commas and brackets there" },
    );
  }
  if (!isRecord(value)) refuse(source, "it is not an object");
  const repeated = findRepeatedKey(text);
  if (repeated !== undefined) {
    const place = `${source}:${lineAndColumn(text, repeated.at)}`;
    refuse(place, `key "${repeated.name}" occurs twice`, { hint: "Join both, or delete one" });
  }
  try {
    const entries = Object.fromEntries(flatten(value, "", source));
    checkEntries(entries, source);
    return entries;
  } catch (error) {
    throw error instanceof PlasmError ? withPlace(error, { text, source }) : error;
  }
}

/** Adds line and column of the key to the source in the message. */
function withPlace(error: PlasmError, { text, source }: { text: string; source: string }): Error {
  const { message, hint, details } = error;
  const field = typeof details["field"] === "string" ? details["field"] : "";
  const at = locateKey(text, field) ?? locateKey(text, field.replace(/\[\d+\].*$/, ""));
  if (at === undefined) return error;
  const placed = message.replace(`${source}: `, () => `${source}:${lineAndColumn(text, at)}: `);
  return new PlasmError("bad-config", placed, { hint, details, cause: error });
}

/**
 * Parses one value from the command line or the environment. Lists are separated by commas.
 *
 * @throws {PlasmError} `bad-config` if the key is unknown or the text is not of the key's type
 */
export function parseValue(name: string, text: string, source: string): ConfigValue {
  const key = CONFIG_KEYS.find((known) => known.name === name);
  if (key === undefined) refuseUnknown(source, name);
  if (key.types.includes("null") && text === "") return null;
  if (key.types.includes("integer")) {
    if (!/^-?\d{1,16}$/.test(text)) refuse(source, `${name} must be an integer, found "${text}"`);
    return Number(text);
  }
  if (key.types.includes("boolean")) {
    if (text === "1" || text === "true") return true;
    if (text === "0" || text === "false") return false;
    refuse(source, `${name} must be true or false, found "${text}"`);
  }
  if (key.types.includes("array") && text.startsWith("[")) {
    try {
      return JSON.parse(text);
    } catch {
      refuse(source, `${name} must be a list, found ${text}`, {
        hint: 'Write it as a,b or as ["a", "b"]',
      });
    }
  }
  if (key.types.includes("array")) return text === "" ? [] : text.split(",").map((s) => s.trim());
  return text;
}
