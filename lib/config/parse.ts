/**
 * Parses and validates configuration text: a file, or one value from the environment or command line.
 *
 * @module
 */
import { parse } from "@std/jsonc";
import { PlasmError } from "../core/errors/mod.ts";
import { validateDocument } from "../core/mod.ts";
import { CONFIG_KEYS, type ConfigEntries, type ConfigValue, nearestName } from "./config.ts";
import { CONFIG_DOCUMENT } from "./config_validator.gen.ts";

const NAMES: readonly string[] = CONFIG_KEYS.map(({ name }) => name);

const SECTIONS: readonly string[] = [
  ...new Set(
    NAMES.flatMap((name) => name.includes(".") ? [name.slice(0, name.lastIndexOf("."))] : []),
  ),
];

function refuse(source: string, what: string, hint?: string): never {
  throw new PlasmError("bad-config", `Cannot use ${source}: ${what}`, { hint });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function refuseUnknown(source: string, name: string): never {
  const near = nearestName(name, [...NAMES, ...SECTIONS]);
  refuse(source, `unknown key "${name}"`, near === undefined ? undefined : `Did you mean ${near}`);
}

function* flatten(value: object, prefix: string, source: string): Generator<[string, ConfigValue]> {
  for (const [key, child] of Object.entries(value)) {
    const name = prefix + key;
    if (name === "$schema") continue;
    if (NAMES.includes(name)) yield [name, child as ConfigValue];
    else if (!NAMES.some((known) => known.startsWith(`${name}.`))) refuseUnknown(source, name);
    else if (!isRecord(child)) refuse(source, `${name} must be a section, found ${typeof child}`);
    else yield* flatten(child, `${name}.`, source);
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
  // The usual case at start-up, in which the validator need not be compiled.
  if (names.length === 0) return;
  validateDocument(CONFIG_DOCUMENT, nest(entries), {
    code: "bad-config",
    what: source,
    verb: "use",
  });
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
    refuse(source, error instanceof Error ? error.message : String(error));
  }
  if (!isRecord(value)) refuse(source, "it is not an object");
  const entries = Object.fromEntries(flatten(value, "", source));
  checkEntries(entries, source);
  return entries;
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
  if (key.types.includes("array")) return text === "" ? [] : text.split(",").map((s) => s.trim());
  return text;
}
