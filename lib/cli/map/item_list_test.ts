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

Deno.test("itemList() combines lists as GNU parallel does", async () => {
  const combined = async (...words: string[]): Promise<(string | undefined)[]> =>
    await items("x\ny\n", { words });
  assertEquals(await combined(":::", "a", "b", ":::", "1", "2"), ["a 1", "a 2", "b 1", "b 2"]);
  assertEquals(await combined(":::", "a", "b", ":::+", "1", "2", "3"), ["a 1", "b 2"]);
  assertEquals(await combined("::::", "-", ":::", "1", "2"), ["x 1", "x 2", "y 1", "y 2"]);
  assertEquals(await combined(":::", "1", "::::+", "-"), ["1 x"]);
  assertEquals(await combined(":::", "a", ":::", ":::", "1"), []);
  const list = await itemList({
    words: [":::", "a", ":::+", "b", ":::", "c"],
    isNull: false,
    stdin: () => ReadableStream.from([]),
  });
  assertEquals(list.lists, 3);
  const [item] = await Array.fromAsync(list.read());
  assertEquals(item, { text: "a b c", parts: ["a", "b", "c"] });
});

Deno.test("itemList() refuses lists that cannot be combined, a directory, a missing file and an item without end", async () => {
  const refused = [
    { words: [":::", "a", "::::", "-"], message: "only the first can be a pipe" },
    { words: ["::::", "-", "-"], message: "as two lists" },
    { words: [":::", "a", "::::"], message: "it needs a file" },
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
