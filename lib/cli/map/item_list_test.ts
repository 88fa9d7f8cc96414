import { assertEquals, assertRejects } from "@std/assert";
import { PlasmError } from "../../core/errors/mod.ts";
import { itemList } from "./item_list.ts";

async function items(
  text: string | Uint8Array,
  { isNull = false, words = undefined as string[] | undefined } = {},
): Promise<(string | undefined)[]> {
  const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
  // One byte at a time: items are split across chunks.
  const stdin = () => ReadableStream.from([...bytes].map((byte) => new Uint8Array([byte])));
  const list = await itemList({ words, isNull, stdin });
  return await Array.fromAsync(list.read(), ({ text, error }) => error ? undefined : text);
}

Deno.test("itemList() reads lines, also the last one without a newline", async () => {
  assertEquals(await items("a b\n-x\n'\"\n\nü"), ["a b", "-x", "'\"", "", "ü"]);
  assertEquals(await items("a\n"), ["a"]);
  assertEquals(await items(""), []);
});

Deno.test("itemList() ends items by NUL with --null, so that they may contain newlines", async () => {
  assertEquals(await items("a\nb\0c\0", { isNull: true }), ["a\nb", "c"]);
});

Deno.test("itemList() marks an item that is not UTF-8, and reads on", async () => {
  assertEquals(await items(new Uint8Array([97, 10, 0xff, 10, 98, 10])), ["a", undefined, "b"]);
});

Deno.test("itemList() takes arguments after ::: as they are", async () => {
  assertEquals(await items("", { words: [":::", "--json", "--", "a\nb"] }), [
    "--json",
    "--",
    "a\nb",
  ]);
});

Deno.test("itemList() refuses a second list, a directory, a missing file and an item without end", async () => {
  const refused = [
    { words: [":::", "a", ":::", "b"], message: "there is one list" },
    { words: ["::::"], message: "it needs one file, found 0" },
    { words: ["::::", "/"], message: "it is a directory" },
    { words: ["::::", "/no/such/file"], message: "file not found" },
  ];
  for (const { words, message } of refused) {
    await assertRejects(() => items("", { words }), PlasmError, message);
  }
  const list = await itemList({
    words: undefined,
    isNull: true,
    stdin: () => ReadableStream.from([new Uint8Array(200_000).fill(97)]),
  });
  await assertRejects(() => Array.fromAsync(list.read()), PlasmError, "more than 131072 bytes");
});
