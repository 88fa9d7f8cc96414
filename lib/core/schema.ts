/**
 * Validation against JSON Schema 2020-12, with errors that name the place, what was found and what
 * is allowed.
 * @module
 */
import { type Schema, Validator } from "@cfworker/json-schema";
import { type ErrorCode, PlasmError } from "./errors/errors.ts";
import { findJsonProblem } from "./json.ts";
import { explainSchemaError } from "./schema_error.ts";
import { compileSchema, type Test } from "./schema_fast.ts";
import { findOversized } from "./schema_size.ts";

/** A JSON Schema as imported from a file. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** Options of {@linkcode validateDocument}. */
export interface ValidateOptions {
  /** Code of the error thrown. */
  code: ErrorCode;
  /** What is validated, for the message, such as "manifest". */
  what: string;
  /**
   * What cannot be done with an invalid document, for the message.
   * @default {"accept"}
   */
  verb?: string | undefined;
}

// Resolving a schema's references is worth doing once: schemas are constants of their modules.
const validators = new WeakMap<JsonSchema, Validator>();

const tests = new WeakMap<JsonSchema, Test>();

function follows(schema: JsonSchema, value: unknown): boolean {
  let test = tests.get(schema);
  if (test === undefined) tests.set(schema, test = compileSchema(schema) ?? (() => false));
  return test(value);
}

function validatorOf(schema: JsonSchema): Validator {
  let validator = validators.get(schema);
  if (validator === undefined) {
    // The validator writes notes into the schema, which others may print.
    validator = new Validator(structuredClone(schema) as Schema, "2020-12");
    validators.set(schema, validator);
  }
  return validator;
}

/**
 * Checks a value against a schema; returns normally when it follows it.
 *
 * The error's `details.field` is the place as the message names it, such as `resources.memory_mb`.
 *
 * @throws {PlasmError} `options.code`, naming the first field that is wrong
 */
export function validateDocument(
  schema: JsonSchema,
  value: unknown,
  options: ValidateOptions,
): void {
  const prefix = `Cannot ${options.verb ?? "accept"} ${options.what}`;
  const problem = findJsonProblem(value);
  if (problem !== undefined) {
    throw new PlasmError(options.code, `${prefix}: ${problem.text}`, {
      details: { field: problem.field },
    });
  }
  if (follows(schema, value)) return;
  const oversized = findOversized(schema, value);
  const errors = oversized.length > 0 ? oversized : validatorOf(schema).validate(value).errors;
  if (errors.length === 0) return;
  const { field, text, hint } = explainSchemaError(schema, value, errors);
  throw new PlasmError(options.code, `${prefix}: ${text}`, { hint, details: { field } });
}
