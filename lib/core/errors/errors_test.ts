import { assertEquals, assertStrictEquals } from "@std/assert";
import { abortError, errorOf, PlasmError } from "./errors.ts";

Deno.test("abortError() returns interrupted for every reason but a PlasmError", () => {
  for (
    const reason of [undefined, new Error("own"), "text", new DOMException("", "TimeoutError")]
  ) {
    assertEquals(abortError(AbortSignal.abort(reason)).code, "interrupted");
  }
  const own = new PlasmError("output-closed", "Closed");
  assertStrictEquals(abortError(AbortSignal.abort(own)), own);
});

Deno.test("errorOf() returns the error of the signal when it aborted, unless a PlasmError is the cause", () => {
  const aborted = AbortSignal.abort(new Error("own"));
  assertEquals(errorOf(new Error("socket"), aborted).code, "interrupted");
  assertEquals(errorOf(new Error("socket"), new AbortController().signal).code, "internal");
  assertEquals(errorOf(new Error("socket"), undefined).code, "internal");
  assertEquals(errorOf(new PlasmError("bad-receipt", "False"), aborted).code, "bad-receipt");
});

Deno.test("PlasmError.from() converts the default reasons of a signal to interrupted", () => {
  for (const name of ["AbortError", "TimeoutError"]) {
    assertEquals(PlasmError.from(new DOMException("", name)).code, "interrupted");
  }
});
