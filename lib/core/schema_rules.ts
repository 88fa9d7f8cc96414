/**
 * Compiles a JSON Schema (2020-12) to a function that finds the first violation.
 *
 * Supports the keywords of the schemas in `schemas/` and throws on any other (docs/adr/0014). Sizes and unknown fields
 * of a value are checked before what is in it, so that a bad document costs at most as much as a good one.
 *
 * @module
 */

/** A JSON Schema (2020-12), or a part of one. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** The first violation of a schema. */
export interface Violation {
  /** Place of the invalid value. */
  path: (string | number)[];
  /** Keyword of the violated rule, such as `maximum`. */
  keyword: string;
  /** Rules of the value, with their reference followed. */
  rules: JsonSchema;
  /** The invalid value, or the name that violates `propertyNames`. */
  value: unknown;
  /** Name of the field that is unknown or missing, or whose name is invalid. */
  field?: string;
}

/** Finds the first violation; undefined if the value is valid. The value must be plain JSON data. */
export type FindViolation = (value: unknown) => Violation | undefined;

type Fields = Readonly<Record<string, unknown>>;

const ANNOTATIONS: ReadonlySet<string> = new Set([
  "$schema",
  "$id",
  "$defs",
  "title",
  "description",
  "examples",
  "default",
  "x-reload",
]);

const KEYWORDS: ReadonlySet<string> = new Set([
  ...["type", "const", "enum", "minimum", "maximum", "minLength", "maxLength", "pattern"],
  ...["minItems", "maxItems", "uniqueItems", "items"],
  ...["minProperties", "maxProperties", "required", "propertyNames"],
  ...["additionalProperties", "properties", "if", "then", "else"],
]);

/**
 * Compiles a schema, or the part of it that a reference names.
 *
 * @throws {Error} if it uses a keyword that is not supported
 */
export function compileSchema(root: JsonSchema, reference = "#"): FindViolation {
  const whole = { root, definitions: new Map() };
  return compile(reference === "#" ? root : { $ref: reference }, whole);
}

/** The schema that a part belongs to. */
interface WholeSchema {
  root: JsonSchema;
  /** Compiled definitions by their references. */
  definitions: Map<string, FindViolation>;
}

function compile(schema: JsonSchema, whole: WholeSchema): FindViolation {
  const { $ref } = schema;
  if (typeof $ref !== "string") return compileRules(schema, whole);
  const known = whole.definitions.get($ref);
  if (known !== undefined) return known;
  const definition = compileRules(followReference(schema, whole.root), whole);
  whole.definitions.set($ref, definition);
  return definition;
}

function compileRules(rules: JsonSchema, whole: WholeSchema): FindViolation {
  const unsupported = Object.keys(rules).find((keyword) =>
    !KEYWORDS.has(keyword) && !ANNOTATIONS.has(keyword)
  );
  if (unsupported !== undefined) throw new Error(`Schema keyword is unsupported: ${unsupported}`);
  const part = (keyword: string): FindViolation | undefined =>
    rules[keyword] === undefined ? undefined : compile(rules[keyword] as JsonSchema, whole);
  const findInItems = itemsFinder(part("items"));
  const findInFields = fieldsFinder(rules, whole);
  const broken = [...scalarRules(rules), ...sizeRules(rules)];
  const [condition, then, otherwise] = [part("if"), part("then"), part("else")];
  return (value) => {
    for (const [keyword, isBroken] of broken) {
      if (isBroken(value)) return { path: [], keyword, rules, value };
    }
    const inside = Array.isArray(value)
      ? findInItems?.(value)
      : isObject(value)
      ? findInFields(value)
      : undefined;
    // Last, because a condition depends on fields that have rules of their own.
    if (inside !== undefined || condition === undefined) return inside;
    return condition(value) === undefined ? then?.(value) : otherwise?.(value);
  };
}

/** The rules of a `$ref`, whose description states what is allowed; only annotations may be next to it. */
function followReference(schema: JsonSchema, root: JsonSchema): JsonSchema {
  const { $ref, ...rules } = schema;
  if (typeof $ref !== "string") return schema;
  let target: unknown = $ref.startsWith("#/") ? root : undefined;
  for (const name of $ref.split("/").slice(1)) target = (target as Fields | undefined)?.[name];
  if (!isObject(target)) throw new Error(`Schema has no ${$ref}`);
  const rule = Object.keys(rules).find((keyword) => !ANNOTATIONS.has(keyword));
  if (rule !== undefined) throw new Error(`Schema keyword next to $ref is unsupported: ${rule}`);
  return followReference(target, root);
}

type Rule = [keyword: string, isBroken: (value: unknown) => boolean];

/** Rules of a value as a whole, in the order of their checks. */
function scalarRules(rules: JsonSchema): Rule[] {
  const found: Rule[] = [];
  const add = <Limit, Value>(
    keyword: string,
    applies: (value: unknown) => boolean,
    isBroken: (value: Value, limit: Limit) => boolean,
  ): void => {
    const limit = rules[keyword] as Limit;
    if (limit === undefined) return;
    found.push([keyword, (value) => applies(value) && isBroken(value as Value, limit)]);
  };
  const any = (): boolean => true;
  add("type", any, (value, names: string | string[]) => {
    return typeof names === "string"
      ? !TYPES[names]!(value)
      : !names.some((name) => TYPES[name]!(value));
  });
  add("maximum", isNumber, (value: number, maximum: number) => value > maximum);
  add("minimum", isNumber, (value: number, minimum: number) => value < minimum);
  // A code point has one or two UTF-16 units: long texts are rarely counted.
  add("maxLength", isText, (text: string, maximum: number) => {
    return text.length > maximum && codePoints(text) > maximum;
  });
  add("minLength", isText, (text: string, minimum: number) => {
    return text.length < 2 * minimum && codePoints(text) < minimum;
  });
  if (typeof rules.pattern === "string") {
    const pattern = new RegExp(rules.pattern, "u");
    add("pattern", isText, (text: string) => !pattern.test(text));
  }
  add("const", any, (value, only) => value !== only);
  add("enum", any, (value, values: unknown[]) => !values.includes(value));
  return found;
}

const TYPES: Readonly<Record<string, (value: unknown) => boolean>> = {
  string: isText,
  integer: (value) => Number.isInteger(value),
  boolean: (value) => typeof value === "boolean",
  null: (value) => value === null,
  array: (value) => Array.isArray(value),
  object: isObject,
};

function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

function isNumber(value: unknown): value is number {
  return typeof value === "number";
}

function codePoints(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}

/** Rules of the size of lists and objects. */
function sizeRules(rules: JsonSchema): Rule[] {
  const found: Rule[] = [];
  const add = (
    keyword: string,
    sizeOf: (value: unknown) => number,
    isBroken: (size: number, limit: number) => boolean,
  ): void => {
    const limit = rules[keyword];
    if (typeof limit === "number") found.push([keyword, (value) => isBroken(sizeOf(value), limit)]);
  };
  // No size of another value breaks a rule.
  const items = (value: unknown): number => Array.isArray(value) ? value.length : NaN;
  const fields = (value: unknown): number => isObject(value) ? Object.keys(value).length : NaN;
  add("maxItems", items, (size, maximum) => size > maximum);
  add("minItems", items, (size, minimum) => size < minimum);
  add("maxProperties", fields, (size, maximum) => size > maximum);
  add("minProperties", fields, (size, minimum) => size < minimum);
  if (rules.uniqueItems === true) found.push(["uniqueItems", hasTextTwice]);
  return found;
}

/** Lists with `uniqueItems` are of texts; anything else violates the rules of their items. */
function hasTextTwice(value: unknown): boolean {
  if (!Array.isArray(value)) return false;
  const texts = value.filter((item) => typeof item === "string");
  return new Set(texts).size < texts.length;
}

function itemsFinder(
  find: FindViolation | undefined,
): ((items: readonly unknown[]) => Violation | undefined) | undefined {
  return find && ((items) => {
    for (let at = 0; at < items.length; at++) {
      const violation = find(items[at]);
      if (violation !== undefined) return below(violation, at);
    }
    return undefined;
  });
}

function fieldsFinder(
  rules: JsonSchema,
  whole: WholeSchema,
): (value: Fields) => Violation | undefined {
  const required = (rules.required ?? []) as string[];
  const { additionalProperties } = rules;
  const known = new Map<string, FindViolation>();
  for (const [name, schema] of Object.entries((rules.properties ?? {}) as JsonSchema)) {
    known.set(name, compile(schema as JsonSchema, whole));
  }
  const isClosed = additionalProperties === false;
  const optional = (schema: unknown): FindViolation | undefined =>
    isObject(schema) ? compile(schema, whole) : undefined;
  const findInName = optional(rules.propertyNames);
  const findInOther = optional(additionalProperties);
  return (value) => {
    const names = Object.keys(value);
    // First, because another version has other fields.
    const version = names.includes("version") && known.get("version")?.(value.version);
    if (version) return below(version, "version");
    if (isClosed) {
      // Before a missing field, which a misspelt one leaves: its name helps more.
      const field = names.find((name) => !known.has(name));
      if (field !== undefined) {
        return { path: [], keyword: "additionalProperties", rules, value, field };
      }
    }
    const missing = required.find((name) => !Object.hasOwn(value, name));
    if (missing !== undefined) {
      return { path: [], keyword: "required", rules, value, field: missing };
    }
    if (findInName !== undefined) {
      for (const name of names) {
        const violation = findInName(name);
        if (violation !== undefined) return { ...violation, field: name };
      }
    }
    for (const name of names) {
      const find = known.get(name) ?? findInOther;
      const violation = find?.(value[name]);
      if (violation !== undefined) return below(violation, name);
    }
    return undefined;
  };
}

/** Moves a violation below a field or an item. */
function below(violation: Violation, part: string | number): Violation {
  violation.path.unshift(part);
  return violation;
}
