import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import vectors from "../../tests/vectors/canonical.json" with { type: "json" };
import { PlasmError } from "./errors/errors.ts";
import { canonicalBytes, canonicalJson } from "./canonical.ts";
import { toHex } from "../util/hex.ts";

Deno.test("canonicalJson() gives the published forms", () => {
  for (const { name, json, canonical, hex } of vectors.accepted) {
    assertEquals(canonicalJson(JSON.parse(json)), canonical, name);
    assertEquals(toHex(canonicalBytes(JSON.parse(json))), hex, name);
  }
});

Deno.test("canonicalJson() gives the form that RFC 8785, 3.2.3 prints", () => {
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

Deno.test("canonicalJson() refuses what has no one form", () => {
  for (const { name, json } of vectors.refused) {
    assertThrows(() => canonicalJson(JSON.parse(json)), PlasmError, undefined, name);
  }
  for (const value of [undefined, { a: undefined }, [undefined], NaN, 1n, new Date(0), () => 1]) {
    assertThrows(() => canonicalJson(value), PlasmError, "Cannot make canonical JSON");
  }
});

Deno.test("canonicalJson() does not depend on the order of fields, and keeps the value", () => {
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
