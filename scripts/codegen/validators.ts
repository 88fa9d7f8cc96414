/**
 * Generates validators as plain TypeScript from the schemas, by Ajv's standalone code.
 *
 * Ajv is needed only here and in tests: the generated code imports nothing at run time (docs/adr/0014).
 *
 * @module
 */
import Ajv2020 from "ajv/dist/2020.js";
import type { Options } from "ajv/dist/core.js";
import standalone from "ajv/dist/standalone/index.js";
import type { JsonSchema, SchemaError } from "../../lib/core/schema.ts";

/** A file of validators, and the schemas it is generated from. */
export interface ValidatorFile {
  /** Path of the generated file, relative to the repository. */
  file: string;
  /** Import specifier of core's types, relative to the generated file. */
  core: string;
  /** Exported name → file name in schemas/. */
  documents: Readonly<Record<string, string>>;
}

/** Every generated file of validators. */
export const VALIDATOR_FILES: readonly ValidatorFile[] = [
  {
    file: "lib/core/validators.gen.ts",
    core: "./schema.ts",
    documents: { MANIFEST_DOCUMENT: "manifest.json", RECEIPT_DOCUMENT: "receipt.json" },
  },
  {
    file: "lib/config/config_validator.gen.ts",
    core: "../core/mod.ts",
    documents: { CONFIG_DOCUMENT: "config.json" },
  },
  {
    file: "lib/p2p/discovery/capability_validator.gen.ts",
    core: "../../core/mod.ts",
    documents: { CAPABILITY_DOCUMENT: "capability.json" },
  },
];

/** Keywords without effect on validity; left out of the generated code. */
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

/** Keywords whose value maps names to schemas. */
const SCHEMA_MAPS: ReadonlySet<string> = new Set([
  "properties",
  "patternProperties",
  "dependentSchemas",
]);

/** What Ajv's standalone code would import: characters of a string, counted as code points. */
const UCS2_LENGTH = `/** Number of code points. */
function ucs2length(text) {
  let length = text.length;
  for (let at = 0; at < text.length - 1; at++) {
    if ((text.charCodeAt(at) & 0xfc00) !== 0xd800) continue;
    if ((text.charCodeAt(at + 1) & 0xfc00) !== 0xdc00) continue;
    length--;
    at++;
  }
  return length;
}`;

const OPTIONS: Options = {
  // Stop at the first violation: the cost of a bad document is at most that of a good one.
  allErrors: false,
  code: { source: true, esm: true, lines: true },
  messages: false,
  // A name that an object inherits, such as "constructor", is not a field of it.
  ownProperties: true,
  strict: false,
  validateFormats: false,
};

/** Creates an Ajv that checks a field's own rules before conditions (`if`), which depend on other fields. */
function createAjv(): Ajv2020.default {
  const ajv = new Ajv2020.default(OPTIONS);
  for (const group of ajv.RULES.rules) {
    const at = group.rules.findIndex(({ keyword }) => keyword === "if");
    if (at < 0) continue;
    ajv.RULES.rules.push({ rules: group.rules.splice(at, 1) });
    return ajv;
  }
  throw new Error("Ajv does not know if");
}

/** A schema with its references replaced by their targets and without annotations. */
function inline(schema: unknown, root: JsonSchema): unknown {
  if (Array.isArray(schema)) return schema.map((part) => inline(part, root));
  if (typeof schema !== "object" || schema === null) return schema;
  const result: Record<string, unknown> = {};
  const put = (keyword: string, rule: unknown): void => {
    if (Object.hasOwn(result, keyword)) throw new Error(`${keyword} beside $ref is ambiguous`);
    result[keyword] = rule;
  };
  for (const [keyword, rule] of Object.entries(schema)) {
    if (ANNOTATIONS.has(keyword)) continue;
    if (keyword === "$ref") {
      const target = inline(lookUp(String(rule), root), root) as JsonSchema;
      for (const [name, value] of Object.entries(target)) put(name, value);
    } else if (SCHEMA_MAPS.has(keyword)) {
      const parts = Object.entries(rule as JsonSchema);
      put(keyword, Object.fromEntries(parts.map(([name, part]) => [name, inline(part, root)])));
    } else if (keyword === "const" || keyword === "enum") put(keyword, rule);
    else if (keyword === "format") throw new Error("format is not supported; use pattern");
    else put(keyword, inline(rule, root));
  }
  return result;
}

function lookUp(reference: string, root: JsonSchema): unknown {
  if (!reference.startsWith("#/")) throw new Error(`Cannot follow ${reference}`);
  let node: unknown = root;
  for (const name of reference.slice(2).split("/")) node = (node as JsonSchema | undefined)?.[name];
  if (node === undefined) throw new Error(`Cannot follow ${reference}`);
  return node;
}

/** Compiles a schema in memory, with the rules of the generated code: for tests of {@linkcode SchemaError} texts. */
export function compileFindErrors(
  schema: JsonSchema,
): (value: unknown) => readonly SchemaError[] | undefined {
  const validate = createAjv().compile(inline(schema, schema) as JsonSchema);
  return (value) => validate(value) ? undefined : validate.errors as SchemaError[];
}

/** Text of one generated file. */
export function generateValidators(
  { core, documents }: Pick<ValidatorFile, "core" | "documents">,
  schemas: Readonly<Record<string, JsonSchema>>,
): string {
  const ajv = createAjv();
  const names = Object.keys(documents);
  for (const name of names) {
    const schema = schemas[documents[name]!]!;
    ajv.addSchema(inline(schema, schema) as JsonSchema, name);
  }
  const code = standalone.default(ajv, Object.fromEntries(names.map((name) => [name, name])));
  const functions = new Map(
    [...code.matchAll(/^export const (\w+) = (\w+);$/gm)].map(([, name, target]) => [name, target]),
  );
  const depth = core.split("/").filter((part) => part === "..").length;
  const root = core.startsWith("./") ? "../../" : "../".repeat(depth + 1);
  return [
    "// Generated by scripts/codegen/validators.ts from schemas/; edit those and run `deno task codegen`.",
    "// deno-lint-ignore-file -- generated code",
    "// deno-fmt-ignore-file -- generated code",
    "// @ts-nocheck: generated JavaScript; its exports are typed",
    "/**",
    " * Validators of documents.",
    " *",
    " * @module",
    " */",
    ...names.map((name) =>
      `import ${schemaName(name)} from "${root}schemas/${documents[name]}" with { type: "json" };`
    ),
    `import type { DocumentSchema } from "${core}";`,
    ...names.map((name) =>
      [
        "",
        `/** Schema and validator of schemas/${documents[name]}. */`,
        `export const ${name}: DocumentSchema = {`,
        `  schema: ${schemaName(name)},`,
        `  findErrors: (value) => ${functions.get(name)}(value) ? undefined : ${
          functions.get(name)
        }.errors,`,
        "};",
      ].join("\n")
    ),
    "",
    cleanUp(code),
    "",
  ].join("\n");
}

function schemaName(name: string): string {
  return `${name.split("_")[0]!.toLowerCase()}Schema`;
}

/** Ajv's code without exports, imports and unused copies of schemas. */
function cleanUp(code: string): string {
  let text = code.replace(/^"use strict";\n/, "").replace(/^export const \w+ = \w+;\n/gm, "");
  text = text.replace(
    /^const (\w+) = require\("ajv\/dist\/runtime\/ucs2length"\)\.default;$/gm,
    "const $1 = ucs2length;",
  );
  if (text.includes("ucs2length")) text = `${UCS2_LENGTH}\n\n${text}`;
  for (const [line, name] of text.matchAll(/^const (schema\d+) = .*;\n/gm)) {
    if (text.split(new RegExp(`\\b${name}\\b`)).length === 2) text = text.replace(line, "");
  }
  const left = /require\(.*/.exec(text);
  if (left !== null) throw new Error(`The generated code needs Ajv at run time: ${left[0]}`);
  return text.trim();
}
