import { assertEquals, assertStringIncludes } from "@std/assert";
import { diagramSource, PICTURE, sourceMark } from "./source.ts";

Deno.test("the picture of the architecture is of ARCHITECTURE.md's diagram: else run render.ts", async () => {
  const source = await diagramSource();
  const picture = await Deno.readTextFile(PICTURE);
  assertStringIncludes(picture, await sourceMark(source));
  // Each word of a label is in it as text, in whichever line.
  const words = [...source.matchAll(/"([^"]*)"/g)].flatMap(([, label]) => label!.split(/<br>| /));
  const texts = [...picture.matchAll(/>([^<>]+)<\/t(?:span|ext)>/g)].map(([, text]) => text!);
  const shown = new Set(texts.flatMap((text) => text.trim().split(/\s+/)));
  assertEquals(words.filter((word) => !shown.has(word)), []);
});

Deno.test("sourceMark() differs where a letter does", async () => {
  const source = await diagramSource();
  assertEquals(await sourceMark(source) === await sourceMark(source.replace("DHT", "DHt")), false);
});
