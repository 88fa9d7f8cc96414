import { assertEquals, assertThrows } from "@std/assert";
import { renameChunks } from "./chunk_names.ts";

Deno.test("renameChunks() returns the same files for any bundler hashes", () => {
  const bundle = (one: string, two: string) =>
    new Map([
      [`chunk-${two}.js`, "export const x = 1"],
      ["main.js", `import("./exec-${one}.js")`],
      [`exec-${one}.js`, `import "./chunk-${two}.js"; "exec-${two}.js"`],
    ]);
  const renamed = renameChunks(bundle("AAAAAAAA", "BBBBBBBB"), "main.js");
  assertEquals([...renamed.keys()], ["main.js", "part_1.js", "part_2.js"]);
  assertEquals(renamed.get("main.js"), 'import("./part_1.js")');
  // Names that only resemble a chunk are unchanged.
  assertEquals(renamed.get("part_1.js"), 'import "./part_2.js"; "exec-BBBBBBBB.js"');
  const other = renameChunks(bundle("ZZZZZZZZ", "BBBBBBBB"), "main.js");
  assertEquals([...other], [...renamed]);
});

Deno.test("renameChunks() leaves out a chunk without an importer", () => {
  const files = new Map([["main.js", ""], ["dead-AAAAAAAA.js", 'import "./more-BBBBBBBB.js"'], [
    "more-BBBBBBBB.js",
    "",
  ]]);
  assertEquals([...renameChunks(files, "main.js").keys()], ["main.js"]);
});

Deno.test("renameChunks() refuses a chunk whose name it does not recognize", () => {
  const files = new Map([["main.js", 'import("./a-short.js")'], ["a-short.js", ""]]);
  assertThrows(() => renameChunks(files, "main.js"), Error, "a-short.js");
});
