import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import fc from "fast-check";
import vectors from "../../tests/vectors/canonical.json" with { type: "json" };
import { toHex } from "../util/mod.ts";
import { PlasmError } from "./errors/mod.ts";
import {
  canonicalBytes,
  canonicalJson,
  clip,
  findJsonProblem,
  MAX_JSON_DEPTH,
  parseJson,
  pathText,
  valueText,
} from "./json.ts";

const OPTIONS = { maxBytes: 1000, code: "bad-input", what: "text" } as const;

function refusal(input: string | Uint8Array): string {
  const error = assertThrows(() => parseJson(input, OPTIONS), PlasmError);
  assertEquals(error.code, "bad-input");
  return error.message;
}

Deno.test("parseJson() parses text and bytes", () => {
  assertEquals(parseJson('{"a":[1,"é"]}', OPTIONS), { a: [1, "é"] });
  assertEquals(parseJson(new TextEncoder().encode('"€"'), OPTIONS), "€");
});

Deno.test("parseJson() throws when the input exceeds the limit in bytes", () => {
  assertEquals(parseJson(`"${"x".repeat(998)}"`, OPTIONS), "x".repeat(998));
  assertStringIncludes(refusal(`"${"x".repeat(999)}"`), "at most 1000 bytes are allowed");
  // 500 characters of three bytes each.
  assertStringIncludes(refusal(`"${"€".repeat(500)}"`), "found 1502");
  assertStringIncludes(refusal(new Uint8Array(1001)), "found 1001");
});

Deno.test("parseJson() throws when the input is not JSON or not UTF-8", () => {
  assertStringIncludes(refusal("{"), "it is not JSON");
  assertStringIncludes(refusal(""), "it is not JSON");
  assertStringIncludes(refusal("\ufeff{}"), "it is not JSON");
  assertStringIncludes(refusal(Uint8Array.of(0x22, 0xff, 0x22)), "it is not UTF-8");
});

Deno.test("parseJson() escapes control characters of the input in errors", () => {
  const message = refusal('{"a":\u001b[31mred');
  // deno-lint-ignore no-control-regex -- control characters are what must not be there
  assertEquals(/[\u0000-\u001f]/.test(message), false);
});

Deno.test("parseJson() throws when an object has a duplicate key", () => {
  assertStringIncludes(refusal('{"a":1,"b":{"c":1},"a":2}'), 'field "a" occurs twice');
  assertStringIncludes(refusal('[{"a" : 1 , "\\u0061":2}]'), 'field "a" occurs twice');
  assertStringIncludes(refusal('{"a":{"b":1,"b":1}}'), 'field "b" occurs twice');
});

Deno.test("parseJson() accepts the same key in different objects and in strings", () => {
  const text = '{"a":{"a":1},"b":[{"a":1},{"a":"{\\"a\\":1,\\"a\\":2}"}],"c":"a","d":"\\\\"}';
  assertEquals(parseJson(text, OPTIONS), JSON.parse(text));
});

Deno.test("parseJson() throws when the nesting is too deep", () => {
  const nested = (depth: number): string => "[".repeat(depth) + "]".repeat(depth);
  assertEquals(Array.isArray(parseJson(nested(MAX_JSON_DEPTH), OPTIONS)), true);
  assertStringIncludes(refusal(nested(MAX_JSON_DEPTH + 1)), "nested too deep");
  const big = { ...OPTIONS, maxBytes: 1_000_000 };
  assertThrows(() => parseJson(nested(400_000), big), PlasmError, "nested too deep");
});

Deno.test("parseJson() parses long strings of escapes", () => {
  const text = JSON.stringify("\\".repeat(200_000));
  assertEquals(parseJson(text, { ...OPTIONS, maxBytes: 1_000_000 }), "\\".repeat(200_000));
});

Deno.test("parseJson() throws when a string has a lone surrogate", () => {
  assertStringIncludes(refusal('{"a":["\\ud800"]}'), "a[0] is not well-formed Unicode");
  assertStringIncludes(
    refusal('{"b":{"\\udfff":1}}'),
    "b has a field name that is not well-formed",
  );
});

Deno.test("findJsonProblem() returns the place and the kind when a value is not JSON data", () => {
  const cases: [unknown, string | undefined][] = [
    [{ a: [1, null, "x", true] }, undefined],
    [Object.create(null), undefined],
    [undefined, "the document"],
    [{ a: undefined }, "a"],
    [{ a: [() => 1] }, "a[0]"],
    [{ a: { b: 1n } }, "a.b"],
    [[NaN], "[0]"],
    [{ "a b": Infinity }, '["a b"]'],
    [{ a: new Date(0) }, "a"],
    [new Map(), "the document"],
    [[Symbol()], "[0]"],
    // deno-lint-ignore no-sparse-arrays -- a hole is what is tested
    [[1, , 2], "[1]"],
  ];
  for (const [value, field] of cases) assertEquals(findJsonProblem(value)?.field, field);
});

Deno.test("findJsonProblem() terminates when a value has a cycle", () => {
  const cycle: Record<string, unknown> = {};
  cycle.self = cycle;
  assertStringIncludes(findJsonProblem(cycle)!.text, "nested too deep");
});

Deno.test("canonicalJson() returns the forms of the test vectors", () => {
  for (const { name, json, canonical, hex } of vectors.accepted) {
    assertEquals(canonicalJson(JSON.parse(json)), canonical, name);
    assertEquals(toHex(canonicalBytes(JSON.parse(json))), hex, name);
  }
});

Deno.test("canonicalJson() returns the form of RFC 8785, section 3.2.3", () => {
  const value = {
    "\u20ac": 1,
    "\r": 2,
    "\ufb33": 3,
    "1": 4,
    "\ud83d\ude00": 5,
    "\u0080": 6,
    "ö": 7,
  };
  assertEquals(
    canonicalJson(value),
    '{"\\r":2,"1":4,"\u0080":6,"ö":7,"\u20ac":1,"\ud83d\ude00":5,"\ufb33":3}',
  );
});

Deno.test("canonicalJson() throws when a value has no unique form", () => {
  for (const { name, json } of vectors.refused) {
    assertThrows(() => canonicalJson(JSON.parse(json)), PlasmError, undefined, name);
  }
  for (const value of [undefined, { a: undefined }, [undefined], NaN, 1n, new Date(0), () => 1]) {
    assertThrows(() => canonicalJson(value), PlasmError, "Cannot create canonical JSON");
  }
});

Deno.test("canonicalJson() preserves the value and ignores the order of fields", () => {
  const leaf = fc.oneof(
    fc.maxSafeInteger(),
    fc.string({ unit: "grapheme" }),
    fc.boolean(),
    fc.constant(null),
  );
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof({ depthSize: "small" }, leaf, fc.array(tie("tree")), tie("object")),
    object: fc.dictionary(fc.string({ unit: "grapheme" }), tie("tree")),
  }));
  const reversed = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(reversed);
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).reverse().map(([k, v]) => [k, reversed(v)]));
  };
  fc.assert(
    fc.property(tree, (value) => {
      const text = canonicalJson(value);
      assertEquals(canonicalJson(reversed(value)), text);
      assertEquals(canonicalJson(JSON.parse(text)), text);
    }),
    { seed: 1, numRuns: 200 },
  );
});

Deno.test("pathText() formats a path as in code", () => {
  assertEquals(pathText(["resources", "memory_mb"]), "resources.memory_mb");
  assertEquals(pathText(["args", 3]), "args[3]");
  assertEquals(pathText(["inputs", "a/b c"]), 'inputs["a/b c"]');
  assertEquals(pathText([0, "a"]), "[0].a");
  assertEquals(pathText([]), "the document");
});

Deno.test("valueText() formats scalars as JSON and names the kind of the rest", () => {
  assertEquals(valueText(undefined), "nothing");
  assertEquals(valueText(null), "null");
  assertEquals(valueText(1.5), "1.5");
  assertEquals(valueText("a"), '"a"');
  assertEquals(valueText([1, 2]), "an array of 2");
  assertEquals(valueText({}), "an object");
  assertEquals(valueText("x".repeat(1_000_000)).length, 81);
});

Deno.test("clip() escapes control characters", () => {
  assertEquals(clip("a\u001b[2J\u0085\u202eb\n"), "a\\u001b[2J\\u0085\\u202eb\\u000a");
  assertEquals(clip("x".repeat(79) + "\ud83d\ude00"), "x".repeat(79) + "\ufffd…");
});
