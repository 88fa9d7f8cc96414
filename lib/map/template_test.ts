import { assertEquals } from "@std/assert";
import { Template } from "./template.ts";

Deno.test("Template expands the replacement strings of GNU parallel", () => {
  const expand = (text: string, item: string) => new Template(text).expand({ item, index: 7 });
  const all = "{} {.} {/} {//} {/.} {#}";
  // What `parallel echo` prints for the same items.
  assertEquals(
    expand(all, "dir/sub/a.tar.gz"),
    "dir/sub/a.tar.gz dir/sub/a.tar a.tar.gz dir/sub a.tar 7",
  );
  assertEquals(expand(all, "file"), "file file file . file 7");
  assertEquals(expand(all, "/root.txt"), "/root.txt /root root.txt / root 7");
  assertEquals(expand(all, "d.x/plain"), "d.x/plain d.x/plain plain d.x plain 7");
});

Deno.test("Template inserts items as they are and expands nothing in them", () => {
  const expand = (item: string) => new Template("a{}b").expand({ item, index: 1 });
  for (const item of ["$& $1", "{#}", "new\nline", "-x", "'\""]) {
    assertEquals(expand(item), `a${item}b`);
  }
});

Deno.test("Template leaves other braces", () => {
  const template = new Template('{"a": {1}} {...}');
  assertEquals(template.isVariable, false);
  assertEquals(template.expand({ item: "x", index: 1 }), '{"a": {1}} {...}');
});
