/**
 * Re-exports the part of `@std/assert` that plasm's tests use from npm, for machines that cannot reach JSR; see
 * CONTRIBUTING.md.
 * @module
 */
// @ts-types="./types.d.ts"
export {
  assert,
  assertAlmostEquals,
  assertArrayIncludes,
  assertEquals,
  assertExists,
  assertFalse,
  assertGreater,
  assertGreaterOrEqual,
  assertInstanceOf,
  AssertionError,
  assertLess,
  assertLessOrEqual,
  assertMatch,
  assertNotEquals,
  assertNotMatch,
  assertNotStrictEquals,
  assertObjectMatch,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
  fail,
  unreachable,
} from "npm:deno-std@1.4.0/assert/mod.js";
