import { assertEquals, assertRejects } from "@std/assert";
import { BlockWriter } from "./block_writer.ts";
import { inDir } from "./testing.ts";

/** Bytes that are not the same anywhere. */
function bytesOf(length: number): Uint8Array {
  return new Uint8Array(length).map((_, at) => at ^ (at >>> 8) ^ (at >>> 16));
}

Deno.test("BlockWriter writes what it was given, in pieces of any length, with and without blocks", async () => {
  await inDir(async (dir) => {
    const bytes = bytesOf(1_300_001);
    // More at once than have blocks: the last write through.
    const files = Array.from({ length: 12 }, (_, n) => `${dir}/${n}`);
    await Promise.all(files.map(async (path, n) => {
      const file = await Deno.open(path, { write: true, create: true });
      const writer = new BlockWriter(file, { path, maxBytes: bytes.length });
      const piece = new Uint8Array(100_000 + n);
      for (let at = 0; at < bytes.length; at += piece.length) {
        const part = bytes.subarray(at, at + piece.length);
        piece.set(part);
        await writer.write(piece.subarray(0, part.length));
        piece.fill(0); // it may change once it was taken
      }
      await writer.end();
      writer[Symbol.dispose]();
      file.close();
    }));
    for (const path of files) assertEquals(await Deno.readFile(path), bytes);
  });
});

Deno.test("BlockWriter.end() fails where a write behind it has failed", async () => {
  await inDir(async (dir) => {
    const path = `${dir}/file`;
    await Deno.writeFile(path, new Uint8Array());
    const file = await Deno.open(path, { read: true });
    const writer = new BlockWriter(file, { path, maxBytes: 2 ** 20 });
    await writer.write(bytesOf(600_000));
    await assertRejects(() => writer.end());
    writer[Symbol.dispose]();
    file.close();
  });
});
