import { assert, assertStringIncludes } from "@std/assert";

const ROOT = new URL("../../", import.meta.url);

Deno.test("docs/threat-model.md references existing tests", async () => {
  const text = await Deno.readTextFile(new URL("docs/threat-model.md", ROOT));
  // Lines may be wrapped anywhere in a reference.
  const references = [...text.matchAll(/`([\w./]+_test\.ts)`:\s+"([^"]+)"/g)];
  assert(references.length > 30);
  for (const [, path, name] of references) {
    assertStringIncludes(await Deno.readTextFile(new URL(path!, ROOT)), name!.replace(/\s+/g, " "));
  }
});
