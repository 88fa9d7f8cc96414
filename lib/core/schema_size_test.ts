import { assertEquals } from "@std/assert";
import { findOversized } from "./schema_size.ts";

const SCHEMA = {
  additionalProperties: false,
  properties: {
    list: { maxItems: 2, items: { $ref: "#/$defs/short" } },
    map: { maxProperties: 1, additionalProperties: { $ref: "#/$defs/short" } },
    "a/b c": { maxLength: 1 },
    any: true,
    open: { properties: { x: {} }, patternProperties: { "^y": {} }, additionalProperties: false },
  },
  $defs: { short: { maxLength: 2 } },
};

function found(value: unknown): string[] {
  return findOversized(SCHEMA, value).map(({ keyword, instanceLocation, keywordLocation }) =>
    `${keyword} ${instanceLocation} ${keywordLocation}`
  );
}

Deno.test("findOversized() finds nothing where sizes are in order", () => {
  for (
    const value of [{}, { list: ["a", 1] }, { map: { x: "ab" } }, { any: [1, 2, 3] }, [], 7, null]
  ) {
    assertEquals(found(value), []);
  }
  assertEquals(found({ open: { x: 1, y1: 2 }, "a/b c": "x" }), []);
  // Two characters, four UTF-16 units: the validator counts exactly.
  assertEquals(found({ list: ["\u{1f600}\u{1f600}"] }), []);
});

Deno.test("findOversized() finds the first that is too large, as the validator would name it", () => {
  assertEquals(found({ list: [1, 2, 3] }), ["maxItems #/list #/properties/list/maxItems"]);
  assertEquals(found({ list: ["", "abcde"] }), [
    "maxLength #/list/1 #/properties/list/items/$ref/maxLength",
  ]);
  assertEquals(found({ map: { x: 1, y: 2 } }), [
    "maxProperties #/map #/properties/map/maxProperties",
  ]);
  assertEquals(found({ map: { x: "abcde" } }), [
    "maxLength #/map/x #/properties/map/additionalProperties/$ref/maxLength",
  ]);
  assertEquals(found({ "a/b c": "xyz" }), [
    "maxLength #/a~1b%20c #/properties/a~1b%20c/maxLength",
  ]);
});

Deno.test("findOversized() stops at the first unknown field of a closed object", () => {
  const many = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`x${i}`, 1]));
  assertEquals(found(many), ["additionalProperties # #/additionalProperties", "false #/x0 #/x0"]);
});
