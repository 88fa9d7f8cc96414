import { assertEquals } from "@std/assert";
import { vectorFiles } from "./vectors.ts";

Deno.test("vectorFiles() matches the committed vectors (update: deno task vectors)", async () => {
  for (const [file, text] of Object.entries(await vectorFiles())) {
    assertEquals(await Deno.readTextFile(new URL(`../${file}`, import.meta.url)), text, file);
  }
});
