/**
 * Turns a validator's list of errors into one sentence with the place, the rule and the value.
 * @module
 */
import type { OutputUnit } from "@cfworker/json-schema";
import { clip, pathText, valueText } from "./json.ts";
import { nearest } from "../util/mod.ts";
import { type Path, pathOf, ruleAt, type Rules, valueAt } from "./schema_pointer.ts";

/** What {@linkcode explainSchemaError} says. */
export interface SchemaExplanation {
  /** The place, such as `resources.memory_mb`. */
  field: string;
  /** What is wrong there, beginning with the place. */
  text: string;
  /** What to do, where that is known. */
  hint?: string | undefined;
}

// These say only that something below them failed.
const CONTAINERS = new Set([
  "$ref",
  "additionalProperties",
  "allOf",
  "dependentSchemas",
  "if",
  "items",
  "patternProperties",
  "prefixItems",
  "properties",
  "propertyNames",
  "unevaluatedProperties",
]);

/** Explains the first error that a reader can act on. `errors` must not be empty. */
export function explainSchemaError(
  schema: Rules,
  value: unknown,
  errors: OutputUnit[],
): SchemaExplanation {
  const index = pickError(errors);
  const error = errors[index]!;
  const path = pathOf(value, error.instanceLocation);
  // An unknown field fails the schema `false`, whose place only the unit before it knows.
  if (error.keyword === "false") return unknownField(schema, errors[index - 1], path);
  const { rules, rule } = ruleAt(schema, error.keywordLocation);
  if (error.keyword === "required") {
    const owner = valueAt(value, path) as Rules;
    const missing = (rule as string[]).find((name) => !Object.hasOwn(owner, name))!;
    const field = pathText([...path, missing]);
    return { field, text: `${field} is missing` };
  }
  const field = pathText(path);
  const isName = error.keywordLocation.includes("/propertyNames/");
  const found = isName ? path.at(-1) : valueAt(value, path);
  const shown = measure(error.keyword, found) ?? valueText(found);
  const subject = isName ? `the name of ${field}` : field;
  return { field, text: `${subject} must ${ruleText(error.keyword, rules)}, found ${shown}` };
}

function pickError(errors: OutputUnit[]): number {
  const find = (test: (error: OutputUnit) => boolean): number | undefined => {
    const index = errors.findIndex((error) => !CONTAINERS.has(error.keyword) && test(error));
    return index < 0 ? undefined : index;
  };
  // A misspelt field is unknown and leaves another missing: the first says more.
  return find((error) => error.keyword === "false") ??
    // What a condition asks depends on fields that have errors of their own.
    find((error) => !/\/(?:then|else)\//.test(error.keywordLocation)) ??
    find(() => true) ?? 0;
}

function unknownField(
  schema: Rules,
  parent: OutputUnit | undefined,
  path: Path,
): SchemaExplanation {
  const rules = parent === undefined ? {} : ruleAt(schema, parent.keywordLocation).rules;
  const known = Object.keys((rules.properties ?? {}) as Rules);
  const close = nearest(String(path.at(-1)), known);
  const field = pathText(path);
  return {
    field,
    text: known.length === 0
      ? `${field} is not a known field`
      : `${field} is not a known field, allowed are ${known.join(", ")}`,
    hint: close === undefined
      ? undefined
      : `Did you mean ${pathText([...path.slice(0, -1), close])}`,
  };
}

function ruleText(keyword: string, rules: Rules): string {
  const { minimum, maximum, description } = rules;
  const rule = rules[keyword];
  switch (keyword) {
    case "minimum":
    case "maximum":
      if (minimum === undefined) return `be at most ${maximum}`;
      if (maximum === undefined) return `be at least ${minimum}`;
      return `be ${minimum} to ${maximum}`;
    case "type":
      return `be ${
        [rule].flat().map((type) => type === "null" ? type : `of type ${type}`).join(" or ")
      }`;
    case "const":
      return `be ${JSON.stringify(rule)}`;
    case "enum":
      return `be one of ${(rule as unknown[]).map((one) => JSON.stringify(one)).join(", ")}`;
    case "pattern":
      // People read the description more easily; its first sentence says what is allowed.
      return typeof description === "string" ? `be ${asPhrase(description)}` : `match ${rule}`;
    case "format":
      return `be a valid ${rule}`;
    case "minLength":
      return `have at least ${rule} characters`;
    case "maxLength":
      return `have at most ${rule} characters`;
    case "minItems":
    case "minProperties":
      return `have at least ${rule} entries`;
    case "maxItems":
    case "maxProperties":
      return `have at most ${rule} entries`;
    case "uniqueItems":
      return "have no entry twice";
    default:
      return `follow ${keyword} ${clip(JSON.stringify(rule))}`;
  }
}

/** The first sentence without its period, as it stands within another; RFC stays RFC. */
function asPhrase(description: string): string {
  const sentence = description.split(/\.(?: |$)/)[0]!;
  return /^[A-Z][a-z ]/.test(sentence) ? sentence[0]!.toLowerCase() + sentence.slice(1) : sentence;
}

/** Size of a value, where the rule is about size. */
function measure(keyword: string, found: unknown): string | undefined {
  if (/^m..Length$/.test(keyword)) return `${[...(found as string)].length}`;
  if (/^m..Items$/.test(keyword)) return `${(found as unknown[]).length}`;
  if (/^m..Properties$/.test(keyword)) return `${Object.keys(found as Rules).length}`;
  return undefined;
}
