import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { PlasmError } from "./errors/errors.ts";
import { findJsonProblem, MAX_JSON_DEPTH, parseJson } from "./json.ts";

const OPTIONS = { maxBytes: 1000, code: "bad-input", what: "text" } as const;

function refusal(input: string | Uint8Array): string {
  const error = assertThrows(() => parseJson(input, OPTIONS), PlasmError);
  assertEquals(error.code, "bad-input");
  return error.message;
}

Deno.test("parseJson() reads text and bytes", () => {
  assertEquals(parseJson('{"a":[1,"é"]}', OPTIONS), { a: [1, "é"] });
  assertEquals(parseJson(new TextEncoder().encode('"€"'), OPTIONS), "€");
});

Deno.test("parseJson() refuses what is over the cap, counted in bytes", () => {
  assertEquals(parseJson(`"${"x".repeat(998)}"`, OPTIONS), "x".repeat(998));
  assertStringIncludes(refusal(`"${"x".repeat(999)}"`), "at most 1000 bytes are allowed");
  // 500 characters of three bytes each.
  assertStringIncludes(refusal(`"${"€".repeat(500)}"`), "found 1502");
  assertStringIncludes(refusal(new Uint8Array(1001)), "found 1001");
});

Deno.test("parseJson() refuses what is not JSON or not UTF-8", () => {
  assertStringIncludes(refusal("{"), "it is not JSON");
  assertStringIncludes(refusal(""), "it is not JSON");
  assertStringIncludes(refusal("\ufeff{}"), "it is not JSON");
  assertStringIncludes(refusal(Uint8Array.of(0x22, 0xff, 0x22)), "it is not UTF-8");
});

Deno.test("parseJson() shows no control characters of the input", () => {
  const message = refusal('{"a":\u001b[31mred');
  // deno-lint-ignore no-control-regex -- control characters are what must not be there
  assertEquals(/[\u0000-\u001f]/.test(message), false);
});

Deno.test("parseJson() refuses a key that is twice in one object", () => {
  assertStringIncludes(refusal('{"a":1,"b":{"c":1},"a":2}'), 'field "a" is there twice');
  assertStringIncludes(refusal('[{"a" : 1 , "\\u0061":2}]'), 'field "a" is there twice');
  assertStringIncludes(refusal('{"a":{"b":1,"b":1}}'), 'field "b" is there twice');
});

Deno.test("parseJson() allows the same key in different objects and in strings", () => {
  const text = '{"a":{"a":1},"b":[{"a":1},{"a":"{\\"a\\":1,\\"a\\":2}"}],"c":"a","d":"\\\\"}';
  assertEquals(parseJson(text, OPTIONS), JSON.parse(text));
});

Deno.test("parseJson() refuses nesting that is too deep", () => {
  const nested = (depth: number): string => "[".repeat(depth) + "]".repeat(depth);
  assertEquals(Array.isArray(parseJson(nested(MAX_JSON_DEPTH), OPTIONS)), true);
  assertStringIncludes(refusal(nested(MAX_JSON_DEPTH + 1)), "nested too deep");
  const big = { ...OPTIONS, maxBytes: 1_000_000 };
  assertThrows(() => parseJson(nested(400_000), big), PlasmError, "nested too deep");
});

Deno.test("parseJson() reads long strings of escapes", () => {
  const text = JSON.stringify("\\".repeat(200_000));
  assertEquals(parseJson(text, { ...OPTIONS, maxBytes: 1_000_000 }), "\\".repeat(200_000));
});

Deno.test("parseJson() refuses lone surrogates", () => {
  assertStringIncludes(refusal('{"a":["\\ud800"]}'), "a[0] is not well-formed Unicode");
  assertStringIncludes(
    refusal('{"b":{"\\udfff":1}}'),
    "b has a field name that is not well-formed",
  );
});

Deno.test("findJsonProblem() names what is no JSON data and where", () => {
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

Deno.test("findJsonProblem() ends with a cycle", () => {
  const cycle: Record<string, unknown> = {};
  cycle.self = cycle;
  assertStringIncludes(findJsonProblem(cycle)!.text, "nested too deep");
});
