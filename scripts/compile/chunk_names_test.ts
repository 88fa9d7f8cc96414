import { assertEquals, assertThrows } from "@std/assert";
import { renameChunks } from "./chunk_names.ts";

Deno.test("renameChunks() gives the same files whatever hashes the bundler chose", () => {
  const bundle = (one: string, two: string) =>
    new Map([
      [`chunk-${two}.js`, "export const x = 1"],
      ["main.js", `import("./exec-${one}.js")`],
      [`exec-${one}.js`, `import "./chunk-${two}.js"; "exec-${two}.js"`],
    ]);
  const renamed = renameChunks(bundle("AAAAAAAA", "BBBBBBBB"), "main.js");
  assertEquals([...renamed.keys()], ["main.js", "part_1.js", "part_2.js"]);
  assertEquals(renamed.get("main.js"), 'import("./part_1.js")');
  // What only looks like a part keeps its name.
  assertEquals(renamed.get("part_1.js"), 'import "./part_2.js"; "exec-BBBBBBBB.js"');
  const other = renameChunks(bundle("ZZZZZZZZ", "BBBBBBBB"), "main.js");
  assertEquals([...other], [...renamed]);
});

Deno.test("renameChunks() refuses a part that nothing imports", () => {
  const files = new Map([["main.js", ""], ["lost-AAAAAAAA.js", ""]]);
  assertThrows(() => renameChunks(files, "main.js"), Error, "lost-AAAAAAAA.js");
});
