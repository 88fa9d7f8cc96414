/**
 * Sizes first: the validator looks at every entry, and compares each with each for `uniqueItems`, before
 * it says that there are too many. A document from outside must not buy seconds of work with
 * 200 KB of empty strings.
 * @module
 */
import type { OutputUnit } from "@cfworker/json-schema";
import { ruleAt, type Rules } from "./schema_pointer.ts";

interface Place {
  /** The whole schema, which references are relative to. */
  schema: Rules;
  /** Where in the value; a JSON pointer as the validator writes it. */
  instance: string;
  /** Where in the schema. */
  keyword: string;
}

/**
 * Finds the first array, object or string that is larger than its schema allows, and objects with
 * more fields than are known; stops looking at whatever is too large.
 *
 * @returns Errors as the validator would give them; empty when sizes are in order
 */
export function findOversized(schema: Rules, value: unknown): OutputUnit[] {
  return visit(value, schema, { schema, instance: "#", keyword: "#" });
}

function visit(value: unknown, rules: unknown, place: Place): OutputUnit[] {
  if (typeof rules !== "object" || rules === null) return [];
  const own = rules as Rules;
  if (typeof own.$ref === "string") {
    const keyword = `${place.keyword}/$ref`;
    const found = visit(value, ruleAt(place.schema, keyword).rule, { ...place, keyword });
    if (found.length > 0) return found;
  }
  if (typeof value === "string") return tooMany(value.length, "maxLength", own, place);
  if (Array.isArray(value)) return visitArray(value, own, place);
  if (typeof value === "object" && value !== null) return visitObject(value as Rules, own, place);
  return [];
}

function visitArray(value: unknown[], rules: Rules, place: Place): OutputUnit[] {
  const found = tooMany(value.length, "maxItems", rules, place);
  if (found.length > 0 || rules.items === undefined) return found;
  const keyword = `${place.keyword}/items`;
  return first(
    value.keys(),
    (i) => visit(value[i], rules.items, { ...place, instance: `${place.instance}/${i}`, keyword }),
  );
}

function visitObject(value: Rules, rules: Rules, place: Place): OutputUnit[] {
  const names = Object.keys(value);
  const found = tooMany(names.length, "maxProperties", rules, place);
  if (found.length > 0) return found;
  const known = (rules.properties ?? {}) as Rules;
  const closed = rules.additionalProperties === false && rules.patternProperties === undefined;
  return first(names, (name) => {
    const instance = `${place.instance}/${encode(name)}`;
    if (Object.hasOwn(known, name)) {
      const keyword = `${place.keyword}/properties/${encode(name)}`;
      return visit(value[name], known[name], { ...place, instance, keyword });
    }
    const keyword = `${place.keyword}/additionalProperties`;
    if (!closed) {
      return visit(value[name], rules.additionalProperties, { ...place, instance, keyword });
    }
    return [
      unit("additionalProperties", place.instance, keyword),
      unit("false", instance, instance),
    ];
  });
}

/** A string's UTF-16 units are at most twice its characters, which are what counts: leave those to it. */
function tooMany(size: number, name: string, rules: Rules, place: Place): OutputUnit[] {
  const limit = rules[name];
  const allowed = name === "maxLength" ? 2 * Number(limit) : Number(limit);
  return typeof limit === "number" && size > allowed
    ? [unit(name, place.instance, `${place.keyword}/${name}`)]
    : [];
}

function first<T>(keys: Iterable<T>, find: (key: T) => OutputUnit[]): OutputUnit[] {
  for (const key of keys) {
    const found = find(key);
    if (found.length > 0) return found;
  }
  return [];
}

function unit(keyword: string, instanceLocation: string, keywordLocation: string): OutputUnit {
  return { keyword, instanceLocation, keywordLocation, error: "" };
}

function encode(name: string): string {
  return encodeURIComponent(name.replaceAll("~", "~0").replaceAll("/", "~1"));
}
