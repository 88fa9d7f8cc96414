/**
 * Validates documents against their JSON Schemas; errors name the field, the rule and the value found.
 *
 * @module
 */
import { didYouMean } from "../util/mod.ts";
import { type ErrorCode, PlasmError } from "./errors/mod.ts";
import { clip, findJsonProblem, pathText, valueText } from "./json.ts";
import { compileSchema, type FindViolation, type JsonSchema } from "./schema_rules.ts";

export type { JsonSchema };

/** A schema and the validator compiled from it. */
export interface DocumentSchema {
  /** The schema. */
  readonly schema: JsonSchema;
  /** Finds the first violation; undefined if the value is valid. The value must be plain JSON data. */
  readonly find: FindViolation;
}

/**
 * Creates the validator of a schema, which is compiled when it is first used.
 *
 * @param reference The part of the schema that describes the document. @default {"#"}
 */
export function documentSchema(schema: JsonSchema, reference?: string): DocumentSchema {
  let compiled: FindViolation | undefined;
  return {
    schema,
    find: (value) => (compiled ??= compileSchema(schema, reference))(value),
  };
}

/** Options of {@linkcode validateDocument}. */
export interface ValidateOptions {
  /** Code of the error thrown. */
  code: ErrorCode;
  /** Name of the document in the message, such as "manifest". */
  what: string;
  /**
   * Verb in the message: "Cannot VERB manifest: …".
   * @default {"accept"}
   */
  verb?: string | undefined;
}

/**
 * Validates a value against a schema.
 *
 * The error's `details.field` is the place of the first violation, such as `resources.memory_mb`.
 *
 * @throws {PlasmError} `options.code` if the value is not plain JSON data or violates the schema
 */
export function validateDocument(
  document: DocumentSchema,
  value: unknown,
  options: ValidateOptions,
): void {
  // First, because validators assume plain data and bounded depth.
  const problem: SchemaProblem | undefined = findJsonProblem(value) ??
    findSchemaProblem(document, value);
  if (problem === undefined) return;
  const { field, text, hint } = problem;
  const { code, what, verb = "accept" } = options;
  throw new PlasmError(code, `Cannot ${verb} ${what}: ${text}`, { hint, details: { field } });
}

/** A violation in the words of the message. */
interface SchemaProblem {
  /** The place, such as `resources.memory_mb`. */
  field: string;
  /** What is wrong there, beginning with the place. */
  text: string;
  /** How to correct it, if known. */
  hint?: string | undefined;
}

type Path = readonly (string | number)[];

function findSchemaProblem({ find }: DocumentSchema, value: unknown): SchemaProblem | undefined {
  const violation = find(value);
  if (violation === undefined) return undefined;
  const { path, keyword, rules, value: found } = violation;
  const place = violation.field === undefined ? path : [...path, violation.field];
  const field = pathText(place);
  if (keyword === "additionalProperties") return unknownField(rules, place);
  if (keyword === "required") return { field, text: `${field} is missing` };
  const isName = violation.field !== undefined;
  const shown = isName ? valueText(found) : measure(keyword, found) ?? valueText(found);
  const subject = isName ? `the name of ${field}` : field;
  return {
    field,
    text: `${subject} must ${ruleText(keyword, rules)}, found ${shown}`,
    hint: keyword === "type"
      ? typeHint(rules, found)
      : keyword === "const"
      ? versionHint(place, found)
      : undefined,
  };
}

function unknownField(rules: JsonSchema, path: Path): SchemaProblem {
  const known = Object.keys((rules.properties ?? {}) as JsonSchema);
  const close = didYouMean(String(path.at(-1)), known);
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

function ruleText(keyword: string, rules: JsonSchema): string {
  const { minimum, maximum, description } = rules;
  const rule = rules[keyword];
  switch (keyword) {
    case "minimum":
    case "maximum":
      if (minimum === undefined) return `be at most ${maximum}`;
      if (maximum === undefined) return `be at least ${minimum}`;
      return `be ${minimum} to ${maximum}`;
    case "type":
      return `be ${[rule].flat().map((type) => typeText(type as string, rules)).join(" or ")}`;
    case "const":
      return `be ${JSON.stringify(rule)}`;
    case "enum":
      return `be one of ${(rule as unknown[]).map((one) => JSON.stringify(one)).join(", ")}`;
    case "pattern":
      // The first sentence of the description states the pattern in words.
      return typeof description === "string" ? `be ${asPhrase(description)}` : `match ${rule}`;
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

/** States a type, with the range or the pattern that a value of it must follow. */
function typeText(type: string, { minimum, maximum, pattern, description }: JsonSchema): string {
  switch (type) {
    case "integer":
      if (minimum !== undefined && maximum !== undefined) {
        return `an integer from ${minimum} to ${maximum}`;
      }
      return minimum === undefined ? "an integer" : `an integer of at least ${minimum}`;
    case "string":
      return pattern !== undefined && typeof description === "string"
        ? asPhrase(description)
        : "a string";
    case "boolean":
      return "true or false";
    case "array":
      return "a list in []";
    case "object":
      return "an object in {}";
    default:
      return type === "null" ? type : `a ${type}`;
  }
}

/** What to do about a document of another version. */
function versionHint(path: Path, found: unknown): string | undefined {
  if (path.at(-1) !== "version") return;
  return `Use a plasm that supports version ${valueText(found)}`;
}

/** How to write a value that has the wrong type only, such as "4" for 4. */
function typeHint(rules: JsonSchema, found: unknown): string | undefined {
  const types = [rules.type].flat();
  if (typeof found === "string") {
    if (types.includes("integer") && /^-?\d{1,15}$/.test(found)) {
      return `Write ${found} without quotes`;
    }
    if (types.includes("boolean") && /^(true|false)$/.test(found)) {
      return `Write ${found} without quotes`;
    }
    if (types.includes("array")) return `Write [${clip(JSON.stringify(found))}]`;
  }
  const isPlain = typeof found === "number" || typeof found === "boolean";
  if (isPlain && types.includes("string") && rules.pattern === undefined) {
    return `Write "${found}" in quotes`;
  }
  return undefined;
}

/** First sentence without its period, with a lowercase initial unless it is an acronym. */
function asPhrase(description: string): string {
  const sentence = description.split(/\.(?: |$)/)[0]!;
  return /^[A-Z][a-z ]/.test(sentence) ? sentence[0]!.toLowerCase() + sentence.slice(1) : sentence;
}

/** Size of a value if the rule limits its size. */
function measure(keyword: string, found: unknown): string | undefined {
  if (/^m..Length$/.test(keyword)) return `${[...(found as string)].length}`;
  if (/^m..Items$/.test(keyword)) return `${(found as unknown[]).length}`;
  if (/^m..Properties$/.test(keyword)) return `${Object.keys(found as JsonSchema).length}`;
  return undefined;
}
