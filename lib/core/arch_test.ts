import { assertEquals, assertThrows } from "@std/assert";
import { parseArch } from "./arch.ts";
import { PlasmError } from "./errors/mod.ts";

Deno.test("parseArch() returns the announced name when the name or an alias is given", () => {
  assertEquals(["x86_64", "amd64", "x64", "aarch64", "arm64"].map(parseArch), [
    ...["x86_64", "x86_64", "x86_64"],
    ...["aarch64", "aarch64"],
  ]);
});

Deno.test("parseArch() throws a usage error when the name is unknown", () => {
  for (const name of ["arm", "riscv64", "", "constructor", "AMD64"]) {
    assertEquals(assertThrows(() => parseArch(name), PlasmError).code, "usage");
  }
});
