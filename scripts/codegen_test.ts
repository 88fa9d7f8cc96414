import { assertEquals } from "@std/assert";
import { generatedFiles } from "./codegen.ts";

Deno.test("generatedFiles() returns the committed files: else run `deno task codegen`", async () => {
  for (const [file, text] of Object.entries(await generatedFiles())) {
    assertEquals(await Deno.readTextFile(new URL(`../${file}`, import.meta.url)), text, file);
  }
});
