import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { concat, encodeTarHeader, memberPadding, tarEnd } from "../util/mod.ts";
import { PlasmError } from "./errors/mod.ts";
import { EMPTY_HASH, sha256 } from "./hash.ts";
import { FilesInMemory, findInArchive, missingOutputs, OutputFilesReader } from "./output_files.ts";

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

function archive(files: readonly [path: string, content: string][]): Uint8Array {
  const parts = files.flatMap(([path, content]) => {
    const data = encode(content);
    return [encodeTarHeader({ path, bytes: data.length }), data, memberPadding(data.length)];
  });
  return concat([...parts, tarEnd()]);
}

async function refusal(outputs: string[], bytes: Uint8Array): Promise<string> {
  const reader = new OutputFilesReader(outputs);
  const error = await assertRejects(() => reader.measure(bytes), PlasmError);
  assertEquals([error.code, error.exitCode], ["protocol", 76]);
  return error.message;
}

Deno.test("OutputFilesReader measures declared files, in chunks of any size", async () => {
  const bytes = archive([["/c", ""], ["out/a", "first"], ["out/empty/", ""]]);
  for (const step of [1, 100, bytes.length]) {
    const reader = new OutputFilesReader(["out/", "/c"]);
    for (let at = 0; at < bytes.length; at += step) {
      assertEquals(reader.files, {});
      await reader.measure(bytes.subarray(at, at + step));
    }
    assertEquals(reader.files, {
      "/c": { hash: EMPTY_HASH, bytes: 0 },
      "out/a": { hash: await sha256(encode("first")), bytes: 5 },
      "out/empty/": { hash: EMPTY_HASH, bytes: 0 },
    });
  }
});

Deno.test("OutputFilesReader refuses files that were not declared, and paths that lead elsewhere", async () => {
  for (
    const path of [
      "other",
      "out",
      "/out/a",
      "out/../other",
      "out/./a",
      "out//a",
      "../out/a",
      "outer/a",
    ]
  ) {
    assertStringIncludes(await refusal(["out/"], archive([[path, "x"]])), "was not declared");
  }
  await refusal(["./"], archive([["/etc/passwd", "x"]]));
  await refusal(["./"], archive([["../up", "x"]]));
  await refusal([], archive([["out/a", "x"]]));
  await refusal(["out/"], archive([["out/a\0b", "x"]]));
});

Deno.test("OutputFilesReader refuses another order and repeated files", async () => {
  const two = archive([["out/b", "x"], ["out/a", "y"]]);
  assertEquals((await refusal(["out/"], two)).includes("not in order"), true);
  assertEquals((await refusal(["out/"], archive([["a", ""], ["a", ""]]))).length > 0, true);
});

Deno.test("OutputFilesReader has no files before the end of the archive", async () => {
  const bytes = archive([["out/a", "first"]]);
  const files = new FilesInMemory(["out/"]);
  await files.add(bytes.subarray(0, bytes.length - 1));
  assertEquals([files.files, files.content.size], [{}, 0]);
  await files.add(bytes.subarray(bytes.length - 1));
  assertEquals(files.content, new Map([["out/a", encode("first")]]));
  await assertRejects(() => files.add(new Uint8Array(1)), PlasmError, "follow the end");
});

Deno.test("findInArchive() finds the content of each file", async () => {
  const content: [string, string][] = [["10", "ten"], ["9", "nine"], ["a/", ""], [
    `ä${"x".repeat(200)}`,
    "long",
  ]];
  const bytes = archive(content);
  const reader = new OutputFilesReader(["./"]);
  await reader.measure(bytes);
  for (const [path, text] of content) {
    const { offset, bytes: size } = findInArchive(reader.files, path)!;
    assertEquals(new TextDecoder().decode(bytes.subarray(offset, offset + size)), text);
  }
  assertEquals(findInArchive(reader.files, "toString"), undefined);
});

Deno.test("missingOutputs() lists outputs of which there is nothing", () => {
  const file = { hash: EMPTY_HASH, bytes: 0 };
  const files = { "/abs": file, "out/a": file, "empty/": file };
  assertEquals(missingOutputs(["out/", "/abs", "empty/", "./", "/"], files), []);
  assertEquals(missingOutputs(["out", "abs", "ou/", "toString"], files), [
    "out",
    "abs",
    "ou/",
    "toString",
  ]);
});
