import { assertEquals, assertThrows } from "@std/assert";
import manifestSchema from "../../schemas/manifest.json" with { type: "json" };
import receiptSchema from "../../schemas/receipt.json" with { type: "json" };
import { MANIFESTS } from "../../tests/fixtures/manifests.ts";
import vectors from "../../tests/vectors/receipt.json" with { type: "json" };
import Ajv2020 from "ajv/dist/2020.js";
import type { Schema } from "../../scripts/codegen/types.ts";
import { PlasmError } from "./errors/mod.ts";
import { EMPTY_HASH } from "./hash.ts";
import { documentSchema, type JsonSchema, validateDocument } from "./schema.ts";
import { MANIFEST_DOCUMENT, RECEIPT_DOCUMENT } from "./documents.ts";

const OPTIONS = { code: "bad-config", what: "thing" } as const;

function refusal(schema: JsonSchema, value: unknown): PlasmError {
  return assertThrows(() => validateDocument(documentSchema(schema), value, OPTIONS), PlasmError);
}

Deno.test("validateDocument() names the place, the rule and the value for each keyword", () => {
  const cases: [JsonSchema, unknown, string][] = [
    [{ type: "integer" }, "x", 'the document must be an integer, found "x"'],
    [{ type: ["integer", "null"] }, true, "must be an integer or null, found true"],
    [{ type: "integer", minimum: 1, maximum: 3 }, "x", 'must be an integer from 1 to 3, found "x"'],
    [{ type: "integer", minimum: 1 }, "x", 'must be an integer of at least 1, found "x"'],
    [{ type: "string" }, 1, "must be a string, found 1"],
    [
      { type: "string", pattern: "^a$", description: "The letter a." },
      1,
      "be the letter a, found 1",
    ],
    [{ type: "boolean" }, "yes", 'must be true or false, found "yes"'],
    [{ type: "array" }, "a", 'must be a list in [], found "a"'],
    [{ type: "object" }, 1, "must be an object in {}, found 1"],
    [{ minimum: 1, maximum: 3 }, 4, "must be 1 to 3, found 4"],
    [{ minimum: 1 }, 0, "must be at least 1, found 0"],
    [{ maximum: 3 }, 4, "must be at most 3, found 4"],
    [{ const: "a" }, "b", 'must be "a", found "b"'],
    [{ enum: ["a", 1] }, null, 'must be one of "a", 1, found null'],
    [{ pattern: "^a$" }, "b", 'must match ^a$, found "b"'],
    [{ pattern: "^a$", description: "The letter a. Why." }, "b", 'be the letter a, found "b"'],
    [{ pattern: "^a$", description: "RFC 1." }, "b", 'must be RFC 1, found "b"'],
    [{ minLength: 2 }, "\u{1f600}", "must have at least 2 characters, found 1"],
    [{ maxLength: 2 }, "abc", "must have at most 2 characters, found 3"],
    [{ minItems: 1 }, [], "must have at least 1 entries, found 0"],
    [{ maxItems: 1 }, [1, 2], "must have at most 1 entries, found 2"],
    [{ minProperties: 1 }, {}, "must have at least 1 entries, found 0"],
    [{ maxProperties: 1 }, { a: 1, b: 2 }, "must have at most 1 entries, found 2"],
    [{ uniqueItems: true }, ["a", "a"], "must have no entry twice, found an array of 2"],
    [{ required: ["a", "b"] }, { a: 1 }, "b is missing"],
    [{ additionalProperties: false }, { a: 1 }, "a is not a known field"],
    [
      { properties: { a: {}, b: {} }, additionalProperties: false },
      { c: 1 },
      "c is not a known field, allowed are a, b",
    ],
    [{ items: { type: "string" } }, ["a", 1], "[1] must be a string, found 1"],
    [{ propertyNames: { pattern: "^a" } }, { "b/~%": 1 }, 'the name of ["b/~%"] must match ^a'],
    [{ additionalProperties: { type: "null" } }, { "ü #": 1 }, '["ü #"] must be null'],
    [{ $ref: "#/$defs/x", $defs: { x: { maximum: 1 } } }, 2, "must be at most 1, found 2"],
  ];
  for (const [schema, value, text] of cases) {
    const { message, code } = refusal(schema, value);
    assertEquals(message.includes(text), true, `${message} has no ${text}`);
    assertEquals(message.startsWith("Cannot accept thing: "), true);
    assertEquals(code, "bad-config");
  }
});

Deno.test("validateDocument() follows references within a larger document", () => {
  const api = {
    components: {
      schemas: {
        Job: { type: "object", properties: { id: { $ref: "#/components/schemas/Id" } } },
        Id: { type: "string", minLength: 3 },
      },
    },
  };
  const job = documentSchema(api, "#/components/schemas/Job");
  validateDocument(job, { id: "abc" }, OPTIONS);
  const error = assertThrows(() => validateDocument(job, { id: "ab" }, OPTIONS), PlasmError);
  assertEquals(error.details, { field: "id" });
});

Deno.test("validateDocument() reports the unknown field when its misspelling leaves another missing", () => {
  const schema = {
    properties: { memory_mb: {} },
    required: ["memory_mb"],
    additionalProperties: false,
  };
  const error = refusal({ properties: { a: schema } }, { a: { memoryMb: 1 } });
  assertEquals(error.details, { field: "a.memoryMb" });
  assertEquals(error.hint, "Did you mean a.memory_mb");
});

Deno.test("validateDocument() reports a field's own rule before a condition", () => {
  const schema = {
    required: ["kind"],
    if: { properties: { kind: { const: 1 } } },
    then: { required: ["more"] },
  };
  assertEquals(refusal(schema, {}).message, "Cannot accept thing: kind is missing");
  assertEquals(refusal(schema, { kind: 1 }).message, "Cannot accept thing: more is missing");
});

Deno.test("validateDocument() throws when a value is not JSON, whatever the schema", () => {
  assertEquals(refusal({}, undefined).message.includes("is not a JSON value"), true);
  assertEquals(refusal({}, { a: ["\ud800"] }).details, { field: "a[0]" });
  assertEquals(refusal({}, { "\ud800": 1 }).message.includes("not well-formed"), true);
});

Deno.test("validateDocument() uses the given verb", () => {
  const error = assertThrows(
    () => validateDocument(documentSchema({ const: 1 }), 2, { ...OPTIONS, verb: "trust" }),
    PlasmError,
  );
  assertEquals(error.message, "Cannot trust thing: the document must be 1, found 2");
});

Deno.test("validateDocument() does not visit the entries when there are too many", () => {
  const list = { maxItems: 1, uniqueItems: true, items: { const: "x" } };
  const entries = Array.from({ length: 50_000 }, (_, i) => [i]);
  const error = refusal({ properties: { list } }, { list: entries });
  assertEquals(error.message, "Cannot accept thing: list must have at most 1 entries, found 50000");
});

const SIZES = {
  additionalProperties: false,
  properties: {
    list: { maxItems: 2, items: { $ref: "#/$defs/short" } },
    map: { maxProperties: 1, additionalProperties: { $ref: "#/$defs/short" } },
    "a/b c": { maxLength: 1 },
    any: {},
  },
  $defs: { short: { maxLength: 2 } },
};

Deno.test("validateDocument() accepts values of the allowed sizes", () => {
  const document = documentSchema(SIZES);
  const values = [
    {},
    { list: ["a", 1] },
    { map: { x: "ab" } },
    { any: [1, 2, 3] },
    { "a/b c": "x" },
    // Two characters, four UTF-16 units.
    { list: ["\u{1f600}\u{1f600}"] },
    [],
    7,
    null,
  ];
  for (const value of values) validateDocument(document, value, OPTIONS);
});

Deno.test("validateDocument() names the first value when several are too large", () => {
  const cases: [value: unknown, text: string][] = [
    [{ list: [1, 2, 3] }, "list must have at most 2 entries, found 3"],
    [{ list: ["", "abcde"] }, "list[1] must have at most 2 characters, found 5"],
    [{ map: { x: 1, y: 2 } }, "map must have at most 1 entries, found 2"],
    [{ map: { x: "abcde" } }, "map.x must have at most 2 characters, found 5"],
    [{ "a/b c": "xyz" }, '["a/b c"] must have at most 1 characters, found 3'],
  ];
  for (const [value, text] of cases) {
    assertEquals(refusal(SIZES, value).message, `Cannot accept thing: ${text}`);
  }
});

Deno.test("validateDocument() stops at the first unknown field of a closed object", () => {
  const many = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`x${i}`, 1]));
  assertEquals(documentSchema(SIZES).find(many)?.field, "x0");
  assertEquals(refusal(SIZES, many).details, { field: "x0" });
});

Deno.test("validateDocument() does not change the schema", () => {
  const schema = { $ref: "#/$defs/x", $defs: { x: { const: 1 } } };
  const before = JSON.stringify(schema);
  validateDocument(documentSchema(schema), 1, OPTIONS);
  assertEquals(JSON.stringify(schema), before);
});

Deno.test("documentSchema() refuses keywords that it does not support", () => {
  const cases: [JsonSchema, string][] = [
    [{ multipleOf: 2 }, "unsupported: multipleOf"],
    [{ properties: { a: { format: "uri" } } }, "unsupported: format"],
    [{ $ref: "#/$defs/x", maximum: 1, $defs: { x: {} } }, "next to $ref is unsupported: maximum"],
    [{ $ref: "#/$defs/x" }, "Schema has no #/$defs/x"],
    [{ $ref: "other.json" }, "Schema has no other.json"],
  ];
  for (const [schema, text] of cases) {
    assertThrows(() => documentSchema(schema).find(1), Error, text);
  }
});

Deno.test("the schemas describe every field and refuse unknown ones", () => {
  const visit = (schema: Schema, path: string): void => {
    if (schema.properties !== undefined) {
      assertEquals(schema.additionalProperties, false, path);
      for (const [name, field] of Object.entries(schema.properties)) {
        const described = "description" in field || "$ref" in field;
        assertEquals(described, true, `${path}.${name} has no description`);
        visit(field, `${path}.${name}`);
      }
    }
    for (const [name, part] of Object.entries(schema.$defs ?? {})) {
      assertEquals(typeof part.description, "string", `${path} ${name} has no description`);
      visit(part, `${path} ${name}`);
    }
    assertEquals(schema.type === "number", false, `${path} is no integer`);
    if (schema.type === "integer") {
      assertEquals(Number.isSafeInteger(schema.minimum), true, path);
      assertEquals(Number.isSafeInteger(schema.maximum), true, path);
    }
  };
  visit(manifestSchema, "manifest");
  visit(receiptSchema, "receipt");
});

const RECEIPT: Record<string, unknown> = vectors.receipt;

const MANIFEST = MANIFESTS[1]!;

const VALUES = [null, true, -1, 0, 1.5, 2 ** 53, "", "x", "exited", "trapped", [], {}, RECEIPT];

/** Variants of a document: each part removed, replaced or extended. */
function* variants(document: Record<string, unknown>): Generator<unknown> {
  yield document;
  for (const [name, part] of Object.entries(document)) {
    const { [name]: _, ...rest } = document;
    yield rest;
    for (const value of VALUES) yield { ...document, [name]: value };
    if (typeof part === "string") yield { ...document, [name]: `${part}\n` };
    if (typeof part !== "object") continue;
    for (const inner of variants(part as Record<string, unknown>)) {
      yield { ...document, [name]: inner };
    }
  }
  yield { ...document, other: 1 };
  yield { ...document, ["__proto__"]: 1 };
}

/** Validator compiled in memory, with other options than the generated code. */
function plainValidator(schema: JsonSchema): (value: unknown) => boolean {
  const ajv = new Ajv2020.default({ strict: false, allErrors: true, ownProperties: true });
  return ajv.compile(schema);
}

Deno.test("RECEIPT_DOCUMENT agrees with Ajv on mutated receipts", () => {
  const isValid = plainValidator(receiptSchema);
  const counts = { valid: 0, invalid: 0 };
  for (const first of variants(RECEIPT)) {
    for (const status of [undefined, "trapped", 7]) {
      const value = status === undefined
        ? first
        : { ...first as object, claim: { ...(first as typeof RECEIPT).claim as object, status } };
      const valid = isValid(value);
      assertEquals(RECEIPT_DOCUMENT.find(value) === undefined, valid, JSON.stringify(value));
      counts[valid ? "valid" : "invalid"]++;
    }
  }
  assertEquals({ valid: counts.valid > 10, invalid: counts.invalid > 500 }, {
    valid: true,
    invalid: true,
  });
});

Deno.test("MANIFEST_DOCUMENT agrees with Ajv on mutated manifests", () => {
  const isValid = plainValidator(manifestSchema);
  const counts = { valid: 0, invalid: 0 };
  const documents: Record<string, unknown>[] = [
    MANIFEST,
    { ...MANIFEST, args: Array(1025).fill("x") },
    { ...MANIFEST, env: Object.fromEntries(Array.from({ length: 257 }, (_, n) => [`V${n}`, ""])) },
    { ...MANIFEST, env: { "1x": "" } },
    { ...MANIFEST, env: { A: "a\0" } },
    { ...MANIFEST, inputs: { "../x": EMPTY_HASH } },
    { ...MANIFEST, inputs: { "x\0": EMPTY_HASH } },
    { ...MANIFEST, capabilities: ["a", "b", "a"] },
    { ...MANIFEST, capabilities: [{}, {}] },
    { ...MANIFEST, capabilities: ["A"] },
  ];
  for (const value of [...variants(MANIFEST), ...documents]) {
    const valid = isValid(value);
    assertEquals(MANIFEST_DOCUMENT.find(value) === undefined, valid, JSON.stringify(value));
    counts[valid ? "valid" : "invalid"]++;
  }
  assertEquals({ valid: counts.valid > 10, invalid: counts.invalid > 200 }, {
    valid: true,
    invalid: true,
  });
});

Deno.test("validateDocument() counts characters, not UTF-16 units", () => {
  const label = documentSchema({
    $defs: { label: { type: "string", minLength: 2, maxLength: 3 } },
    $ref: "#/$defs/label",
  });
  const smile = "\u{1f600}";
  const valid = (text: string): boolean => label.find(text) === undefined;
  const right = ["ab", "abc", smile.repeat(2), smile.repeat(3)];
  const wrong = ["", "a", "abcd", smile, `${smile}abc`];
  assertEquals({ right: right.every(valid), wrong: wrong.some(valid) }, {
    right: true,
    wrong: false,
  });
});
