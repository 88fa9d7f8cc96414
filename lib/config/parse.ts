/**
 * From the text of a configuration file to checked entries.
 * @module
 */
import { Validator } from "@cfworker/json-schema";
import { parse } from "@std/jsonc";
import { PlasmError } from "../core/errors/mod.ts";
import { CONFIG_KEYS, CONFIG_SCHEMA, nearestName } from "./keys.ts";
import type { ConfigEntries, ConfigValue } from "./config.ts";

const NAMES: readonly string[] = CONFIG_KEYS.map(({ name }) => name);

const SECTIONS: readonly string[] = [
  ...new Set(
    NAMES.flatMap((name) => name.includes(".") ? [name.slice(0, name.lastIndexOf("."))] : []),
  ),
];

let validator: Validator | undefined;

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
    else if (!isRecord(child)) refuse(source, `${name} is a section, found ${typeof child}`);
    else yield* flatten(child, `${name}.`, source);
  }
}

/** Puts dotted entries back into the nested shape of a file. */
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
 * Checks entries against the schema.
 *
 * @throws {PlasmError} `bad-config`: names the source, the key, the value and what is allowed
 */
export function checkEntries(entries: ConfigEntries, source: string): void {
  for (const name of Object.keys(entries)) {
    if (!NAMES.includes(name)) refuseUnknown(source, name);
  }
  validator ??= new Validator(CONFIG_SCHEMA, "2020-12", false);
  const { valid, errors } = validator.validate(nest(entries));
  if (valid) return;
  // The errors run from the root to the leaf; the last is the one that says what is wrong.
  const leaf = errors.at(-1);
  const key = leaf?.instanceLocation.replace(/^#\/?/, "").replaceAll("/", ".") ?? "";
  refuse(source, `${key}: ${leaf?.error.replace(/\.$/, "") ?? "does not follow the schema"}`);
}

/**
 * Reads the text of a configuration file: JSON with comments.
 *
 * @throws {PlasmError} `bad-config`
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
 * Reads one value given as text: on the command line or in the environment. Lists are separated by
 * commas.
 *
 * @throws {PlasmError} `bad-config`
 */
export function parseValue(name: string, text: string, source: string): ConfigValue {
  const key = CONFIG_KEYS.find((known) => known.name === name);
  if (key === undefined) refuseUnknown(source, name);
  if (key.types.includes("null") && text === "") return null;
  if (key.types.includes("integer")) {
    if (!/^-?\d{1,16}$/.test(text)) refuse(source, `${name}: "${text}" is not an integer`);
    return Number(text);
  }
  if (key.types.includes("boolean")) {
    if (text === "1" || text === "true") return true;
    if (text === "0" || text === "false") return false;
    refuse(source, `${name}: "${text}" is not true or false`);
  }
  if (key.types.includes("array")) return text === "" ? [] : text.split(",").map((s) => s.trim());
  return text;
}
