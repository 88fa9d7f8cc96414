import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { PlasmError } from "../../lib/errors.ts";
import { inspectModule } from "../../lib/sandbox/inspect/inspect.ts";
import { HOSTILE_LIMITS, HOSTILE_MODULES } from "./modules.ts";

/** Refused by the engine, not by the inspection, which leaves function bodies alone. */
const ENGINE_REFUSES = new Set([
  "refused-invalid-body",
  "compile-too-many-functions",
  "compile-too-many-locals",
  "compile-too-long-body",
]);

/** Validating it takes 12 s of CPU time, which is its point. */
const NOT_VALIDATED = new Set(["compile-many-locals"]);

Deno.test("HOSTILE_MODULES have names of their own", () => {
  assertEquals(new Set(HOSTILE_MODULES.map((one) => one.name)).size, HOSTILE_MODULES.length);
});

for (const { name, what, bytes, expect, limits } of HOSTILE_MODULES) {
  Deno.test(`HOSTILE_MODULES ${name}: ${what}`, async () => {
    const module = await bytes();
    const inspect = () => inspectModule(module, { ...HOSTILE_LIMITS, ...limits });
    if (ENGINE_REFUSES.has(name)) {
      assertEquals(expect.code, "bad-module");
      assert(!WebAssembly.validate(inspect().bytes));
    } else if (expect.status === "rejected") {
      const error = assertThrows(inspect, PlasmError);
      assertEquals(error.code, expect.code);
      assertStringIncludes(error.message, expect.messageIncludes ?? "");
    } else if (NOT_VALIDATED.has(name)) {
      inspect();
    } else {
      assert(WebAssembly.validate(module));
      assert(WebAssembly.validate(inspect().bytes));
    }
  });
}
