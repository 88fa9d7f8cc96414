import { assertEquals } from "@std/assert";
import { generatedFiles } from "./codegen.ts";

Deno.test("generatedFiles() matches the committed files (update: deno task codegen)", async () => {
  for (const [file, text] of Object.entries(await generatedFiles())) {
    assertEquals(await Deno.readTextFile(new URL(`../${file}`, import.meta.url)), text, file);
  }
});
