import { assertEquals, assertThrows } from "@std/assert";
import manifestSchema from "../../schemas/manifest.json" with { type: "json" };
import receiptSchema from "../../schemas/receipt.json" with { type: "json" };
import type { Schema } from "../../scripts/types.ts";
import { PlasmError } from "./errors/errors.ts";
import { type JsonSchema, validateDocument } from "./schema.ts";

const OPTIONS = { code: "bad-config", what: "thing" } as const;

function refusal(schema: JsonSchema, value: unknown): PlasmError {
  return assertThrows(() => validateDocument(schema, value, OPTIONS), PlasmError);
}

Deno.test("validateDocument() says place, rule and value for each keyword", () => {
  const cases: [JsonSchema, unknown, string][] = [
    [{ type: "integer" }, "x", 'the document must be of type integer, found "x"'],
    [{ type: ["integer", "null"] }, true, "must be of type integer or null, found true"],
    [{ minimum: 1, maximum: 3 }, 4, "must be 1 to 3, found 4"],
    [{ minimum: 1 }, 0, "must be at least 1, found 0"],
    [{ maximum: 3 }, 4, "must be at most 3, found 4"],
    [{ const: "a" }, "b", 'must be "a", found "b"'],
    [{ enum: ["a", 1] }, null, 'must be one of "a", 1, found null'],
    [{ pattern: "^a$" }, "b", 'must match ^a$, found "b"'],
    [{ pattern: "^a$", description: "The letter a. Why." }, "b", 'be the letter a, found "b"'],
    [{ pattern: "^a$", description: "RFC 1." }, "b", 'must be RFC 1, found "b"'],
    [{ format: "ipv4" }, "b", 'must be a valid ipv4, found "b"'],
    [{ minLength: 2 }, "\u{1f600}", "must have at least 2 characters, found 1"],
    [{ maxLength: 2 }, "abc", "must have at most 2 characters, found 3"],
    [{ minItems: 1 }, [], "must have at least 1 entries, found 0"],
    [{ maxItems: 1 }, [1, 2], "must have at most 1 entries, found 2"],
    [{ minProperties: 1 }, {}, "must have at least 1 entries, found 0"],
    [{ maxProperties: 1 }, { a: 1, b: 2 }, "must have at most 1 entries, found 2"],
    [{ uniqueItems: true }, [1, 1], "must have no entry twice, found an array of 2"],
    [{ multipleOf: 2 }, 3, "must follow multipleOf 2, found 3"],
    [{ anyOf: [{ const: 1 }, { const: 2 }] }, 3, "must follow anyOf"],
    [{ required: ["a", "b"] }, { a: 1 }, "b is missing"],
    [{ additionalProperties: false }, { a: 1 }, "a is not a known field"],
    [
      { properties: { a: {}, b: {} }, additionalProperties: false },
      { c: 1 },
      "c is not a known field, allowed are a, b",
    ],
    [{ items: { type: "string" } }, ["a", 1], "[1] must be of type string, found 1"],
    [{ prefixItems: [{ type: "string" }] }, [1], "[0] must be of type string, found 1"],
    [{ propertyNames: { pattern: "^a" } }, { "b/~%": 1 }, 'the name of ["b/~%"] must match ^a'],
    [{ additionalProperties: { type: "null" } }, { "ü #": 1 }, '["ü #"] must be null'],
    [{ allOf: [{ required: ["a"] }] }, {}, "a is missing"],
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
    $ref: "#/components/schemas/Job",
    components: {
      schemas: {
        Job: { type: "object", properties: { id: { $ref: "#/components/schemas/Id" } } },
        Id: { type: "string", minLength: 3 },
      },
    },
  };
  validateDocument(api, { id: "abc" }, OPTIONS);
  assertEquals(refusal(api, { id: "ab" }).details, { field: "id" });
});

Deno.test("validateDocument() prefers an unknown field to what is missing for it", () => {
  const schema = {
    properties: { memory_mb: {} },
    required: ["memory_mb"],
    additionalProperties: false,
  };
  const error = refusal({ properties: { a: schema } }, { a: { memoryMb: 1 } });
  assertEquals(error.details, { field: "a.memoryMb" });
  assertEquals(error.hint, "Did you mean a.memory_mb");
});

Deno.test("validateDocument() prefers a field's own rule to what a condition says of another", () => {
  const schema = {
    required: ["kind"],
    if: { properties: { kind: { const: 1 } } },
    then: { required: ["more"] },
  };
  assertEquals(refusal(schema, {}).message, "Cannot accept thing: kind is missing");
  assertEquals(refusal(schema, { kind: 1 }).message, "Cannot accept thing: more is missing");
});

Deno.test("validateDocument() refuses what is no JSON before it looks at the schema", () => {
  assertEquals(refusal({}, undefined).message.includes("is no JSON value"), true);
  assertEquals(refusal({}, { a: ["\ud800"] }).details, { field: "a[0]" });
  assertEquals(refusal({}, { "\ud800": 1 }).message.includes("not well-formed"), true);
});

Deno.test("validateDocument() says the verb it is given", () => {
  const error = assertThrows(
    () => validateDocument({ const: 1 }, 2, { ...OPTIONS, verb: "trust" }),
    PlasmError,
  );
  assertEquals(error.message, "Cannot trust thing: the document must be 1, found 2");
});

Deno.test("validateDocument() refuses too many entries without looking at them", () => {
  const schema = { properties: { a: { type: "null" }, b: { maxItems: 1, uniqueItems: true } } };
  const error = refusal(schema, { a: 1, b: Array.from({ length: 50_000 }, (_, i) => i) });
  // The validator itself goes by the schema's order and would have named a.
  assertEquals(error.message, "Cannot accept thing: b must have at most 1 entries, found 50000");
});

Deno.test("validateDocument() leaves the schema as it was", () => {
  const schema = { $ref: "#/$defs/x", $defs: { x: { const: 1 } } };
  const before = JSON.stringify(schema);
  validateDocument(schema, 1, OPTIONS);
  assertEquals(JSON.stringify(schema), before);
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

Deno.test("the schemas' examples follow them", () => {
  for (const schema of [manifestSchema, receiptSchema]) {
    assertEquals(schema.examples.length > 0, true);
    for (const example of schema.examples) validateDocument(schema, example, OPTIONS);
  }
});
