import { assertEquals } from "@std/assert";
import { clip, pathText, valueText } from "./json_path.ts";

Deno.test("pathText() writes a place as code would", () => {
  assertEquals(pathText(["resources", "memory_mb"]), "resources.memory_mb");
  assertEquals(pathText(["args", 3]), "args[3]");
  assertEquals(pathText(["inputs", "a/b c"]), 'inputs["a/b c"]');
  assertEquals(pathText([0, "a"]), "[0].a");
  assertEquals(pathText([]), "the document");
});

Deno.test("valueText() shows short values and names large ones", () => {
  assertEquals(valueText(undefined), "nothing");
  assertEquals(valueText(null), "null");
  assertEquals(valueText(1.5), "1.5");
  assertEquals(valueText("a"), '"a"');
  assertEquals(valueText([1, 2]), "an array of 2");
  assertEquals(valueText({}), "an object");
  assertEquals(valueText("x".repeat(1_000_000)).length, 81);
});

Deno.test("clip() escapes what would act on a terminal", () => {
  assertEquals(clip("a\u001b[2J\u0085\u202eb\n"), "a\\u001b[2J\\u0085\\u202eb\\u000a");
  assertEquals(clip("x".repeat(79) + "\ud83d\ude00"), "x".repeat(79) + "\ufffd…");
});
