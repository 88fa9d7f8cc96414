import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { concat, join, leb, moduleOf, name, section } from "../../tests/fixtures/hostile/binary.ts";
import { PlasmError } from "../core/errors/errors.ts";
import { readSections } from "./sections.ts";

const IN_ORDER = [1, 2, 3, 4, 5, 13, 6, 7, 8, 9, 12, 10, 11];

function refusal(bytes: Uint8Array): string {
  return assertThrows(() => readSections(bytes), PlasmError).message;
}

Deno.test("readSections() finds every section in order", () => {
  const { known } = readSections(moduleOf(...IN_ORDER.map((id) => section(id, [0]))));
  assertEquals(known.size, IN_ORDER.length);
  assertEquals(known.get("type"), { header: 8, start: 10, end: 11 });
  assertEquals(known.get("data"), { header: 44, start: 46, end: 47 });
});

Deno.test("readSections() rejects each duplicate section", () => {
  for (const id of IN_ORDER) {
    const bytes = moduleOf(section(id, [0]), section(0, name("x")), section(id, [0]));
    assertEquals(/a duplicate [a-z ]+ section at byte 15$/.test(refusal(bytes)), true);
  }
});

Deno.test("readSections() rejects each misordered pair of sections", () => {
  IN_ORDER.slice(1).forEach((id, index) => {
    const bytes = moduleOf(section(id, [0]), section(IN_ORDER[index]!, [0]));
    assertEquals(/section at byte 11 comes after its/.test(refusal(bytes)), true);
  });
});

Deno.test("readSections() rejects an unknown section id", () => {
  for (const id of [14, 15, 0x7f, 0x80, 0xff]) {
    assertEquals(
      refusal(moduleOf(section(id, [0]))),
      `Cannot run module: it has a section with unknown id ${id} at byte 8`,
    );
  }
});

Deno.test("readSections() rejects a size beyond the end", () => {
  assertEquals(
    refusal(moduleOf([1], leb(4_294_967_295), [0, 0])),
    "Cannot run module: its type section at byte 8 declares 4294967295 bytes, but 2 are left",
  );
  assertEquals(
    refusal(moduleOf([0, 1])),
    "Cannot run module: its custom section at byte 8 declares 1 bytes, but 0 are left",
  );
});

Deno.test("readSections() accepts custom sections with any content anywhere", () => {
  const customs = [
    section(0, name("name")),
    section(0, concat(name("__proto__"), new Uint8Array(5000).fill(0xff))),
    section(0, name("")),
    section(0, name("x" + "é€𝄞".repeat(20_000))),
  ];
  const { known, linkerSections } = readSections(
    moduleOf(...customs, section(1, [0]), ...customs, section(3, [0]), ...customs),
  );
  assertEquals([...known.keys()], ["type", "function"]);
  assertEquals(linkerSections.size, 0);
});

Deno.test("readSections() reports linker sections", () => {
  const { linkerSections } = readSections(moduleOf(section(0, name("linking"))));
  assertEquals([...linkerSections], ["linking"]);
});

Deno.test("readSections() rejects a custom section whose name is not UTF-8", () => {
  const long = concat(name("€".repeat(50_000)));
  // A stray byte, an overlong form, a surrogate, and a stray byte at each end of a long name.
  for (
    const header of [
      [1, 0xff],
      [2, 0xc0, 0x80],
      [3, 0xed, 0xa0, 0x80],
      [9, 0x6c, 0x69, 0x6e, 0x6b, 0x69, 0x6e, 0x67, 0x21, 0xff],
      long.with(3, 0xff),
      long.with(long.length - 1, 0xff),
    ]
  ) {
    const module = moduleOf(section(0, header));
    assert(!WebAssembly.validate(module));
    assertStringIncludes(refusal(module), "its custom section has a name that is not valid UTF-8");
  }
});

Deno.test("readSections() rejects a custom section with a name beyond its end", () => {
  assertEquals(
    refusal(moduleOf(section(0, [9, 0x61]))),
    "Cannot run module: its custom section declares 9 name bytes but has room for 1 at byte 11",
  );
});

Deno.test("readSections() rejects a parsed section above the size limit", () => {
  const size = 16 * 1_048_576;
  for (const id of [1, 2, 3, 4, 5, 7]) {
    readSections(moduleOf(section(id, new Uint8Array(size))));
    assertStringIncludes(
      refusal(moduleOf(section(id, new Uint8Array(size + 1)))),
      `section has ${size + 1} bytes, limit ${size}`,
    );
  }
  for (const id of [0, 9, 10, 11]) {
    readSections(moduleOf(section(id, new Uint8Array(size + 1))));
  }
});

Deno.test("readSections() rejects too many custom sections", () => {
  const custom = section(0, name(""));
  readSections(moduleOf(join(Array<Uint8Array>(10_000).fill(custom))));
  assertEquals(
    refusal(moduleOf(join(Array<Uint8Array>(10_001).fill(custom)))),
    "Cannot run module: it has more than 10000 custom sections",
  );
});
