/**
 * Validates documents against their JSON Schemas; errors name the field, the rule and the value found.
 *
 * @module
 */
import { nearest } from "../util/mod.ts";
import { type ErrorCode, PlasmError } from "./errors/mod.ts";
import { clip, findJsonProblem, pathText, valueText } from "./json.ts";

/** A JSON Schema (2020-12), or a part of one. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** A violation, as Ajv reports it. */
export interface SchemaError {
  /** Keyword of the violated rule, such as `maximum`. */
  keyword: string;
  /** JSON pointer to the invalid value. */
  instancePath: string;
  /** JSON pointer to the violated rule in the schema, behind "#"; references are followed without a token for them. */
  schemaPath: string;
  /** Figures of the rule; `additionalProperty` is the name of an unknown field. */
  params: Readonly<Record<string, unknown>>;
  /** Set if the rule applies to a field's name instead of its value. */
  propertyName?: string | undefined;
}

/** A schema and the validator generated from it. */
export interface DocumentSchema {
  /** The schema. */
  schema: JsonSchema;
  /** Returns the errors of the first violation, innermost first; undefined if the value is valid. */
  findErrors: (value: unknown) => readonly SchemaError[] | undefined;
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

/** Keywords that combine schemas; the errors before theirs are those of the combined schemas. */
const COMBINATIONS: ReadonlySet<string> = new Set(["anyOf", "oneOf", "not"]);

function findSchemaProblem(
  { schema, findErrors }: DocumentSchema,
  value: unknown,
): SchemaProblem | undefined {
  const errors = findErrors(value);
  if (errors === undefined) return undefined;
  const error = errors.find(({ keyword }) => COMBINATIONS.has(keyword)) ?? errors[0]!;
  const { keyword, params, propertyName } = error;
  const rules = rulesAt(schema, error.schemaPath);
  const path = pathOf(value, error.instancePath);
  const found = valueAt(value, path);
  if (keyword === "additionalProperties") {
    return unknownField(rules, [...path, String(params.additionalProperty)]);
  }
  if (keyword === "required") {
    // A misspelt field is both unknown and missing; its name helps more.
    const unknown = findUnknownField(rules, found);
    if (unknown !== undefined) return unknownField(rules, [...path, unknown]);
    const field = pathText([...path, String(params.missingProperty)]);
    return { field, text: `${field} is missing` };
  }
  const isName = propertyName !== undefined;
  const field = pathText(isName ? [...path, propertyName] : path);
  const shown = isName ? valueText(propertyName) : measure(keyword, found) ?? valueText(found);
  const subject = isName ? `the name of ${field}` : field;
  return { field, text: `${subject} must ${ruleText(keyword, rules)}, found ${shown}` };
}

function findUnknownField(rules: JsonSchema, value: unknown): string | undefined {
  if (rules.additionalProperties !== false || rules.patternProperties !== undefined) {
    return undefined;
  }
  const known = (rules.properties ?? {}) as JsonSchema;
  return Object.keys(value as JsonSchema).find((name) => !Object.hasOwn(known, name));
}

function unknownField(rules: JsonSchema, path: Path): SchemaProblem {
  const known = Object.keys((rules.properties ?? {}) as JsonSchema);
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

/** Path of a JSON pointer; indices of arrays become numbers. */
function pathOf(value: unknown, pointer: string): Path {
  const path: (string | number)[] = [];
  for (const token of pointer.split("/").slice(1)) {
    const name = token.replaceAll("~1", "/").replaceAll("~0", "~");
    path.push(Array.isArray(valueAt(value, path)) ? Number(name) : name);
  }
  return path;
}

function valueAt(value: unknown, path: Path): unknown {
  let current = value;
  for (const part of path) {
    if (typeof current !== "object" || current === null || !Object.hasOwn(current, part)) {
      return undefined;
    }
    current = (current as JsonSchema)[part];
  }
  return current;
}

/** The part of a schema that a rule stands in. */
function rulesAt(schema: JsonSchema, pointer: string): JsonSchema {
  const names = pointer.split("/").slice(1, -1).map((token) =>
    decodeURIComponent(token).replaceAll("~1", "/").replaceAll("~0", "~")
  );
  let rules = schema;
  for (const name of names) {
    rules = followReference(schema, followReference(schema, rules)[name] as JsonSchema);
  }
  return followReference(schema, rules);
}

/** A schema with the rules of its `$ref`, whose description says what is allowed. */
function followReference(root: JsonSchema, rules: JsonSchema): JsonSchema {
  if (typeof rules.$ref !== "string") return rules;
  const target = valueAt(root, rules.$ref.split("/").slice(1)) as JsonSchema;
  return { ...rules, ...followReference(root, target) };
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
      return `be ${
        [rule].flat().map((type) => type === "null" ? type : `of type ${type}`).join(" or ")
      }`;
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
