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

Deno.test("Template leaves other braces, and numbers of lists that do not exist", () => {
  const text = '{"a": [0-9]{2}} {...} {0} {1#}';
  const template = new Template(text);
  assertEquals(template.isVariable, false);
  assertEquals(template.expand({ item: "x", index: 1 }), text);
});

Deno.test("Template expands the parts of a combined item as GNU parallel does", () => {
  const template = new Template("{1.} {2/} {2//} {1} {} {#} {3}", 2);
  assertEquals(
    template.expand({ item: "a.b d/c", parts: ["a.b", "d/c"], index: 4 }),
    "a c d a.b a.b d/c 4 {3}",
  );
  assertEquals(new Template("{1/.}").expand({ item: "d/c.x", index: 1 }), "c");
});
