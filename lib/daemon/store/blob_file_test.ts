import { inDir } from "../../../tests/fixtures/job_stores.ts";
import { FileWriter } from "./blob_file.ts";
import { assertEquals, assertRejects } from "@std/assert";

/** Bytes that are not the same anywhere. */
function bytesOf(length: number): Uint8Array {
  return new Uint8Array(length).map((_, at) => at ^ (at >>> 8) ^ (at >>> 16));
}

Deno.test("FileWriter writes all bytes when chunks have any length", async () => {
  await inDir(async (dir) => {
    // Long enough to start background syncs.
    const bytes = bytesOf(9_300_001);
    // Chunks below a page, of one page, of a fraction of pages, and all at once.
    const lengths = [1021, 4096, 70_001, 1_000_000, bytes.length];
    await Promise.all(lengths.map(async (length, n) => {
      const path = `${dir}/${n}`;
      using writer = await FileWriter.create(path);
      const piece = new Uint8Array(length);
      for (let at = 0; at < bytes.length; at += piece.length) {
        const part = bytes.subarray(at, at + piece.length);
        piece.set(part);
        await writer.write(piece.subarray(0, part.length));
        piece.fill(0); // write() must have copied it
      }
      await writer.end();
      assertEquals(await Deno.readFile(path), bytes);
    }));
  });
});

Deno.test("FileWriter.create() leaves the file unchanged when it exists", async () => {
  await inDir(async (dir) => {
    const path = `${dir}/file`;
    await Deno.writeTextFile(path, "before");
    await assertRejects(() => FileWriter.create(path), Deno.errors.AlreadyExists);
    assertEquals(await Deno.readTextFile(path), "before");
  });
});

Deno.test("FileWriter.write() fails when the file cannot be written", async () => {
  await inDir(async (dir) => {
    const writer = await FileWriter.create(`${dir}/file`);
    writer[Symbol.dispose]();
    await assertRejects(() => writer.write(bytesOf(10_000)));
  });
});

Deno.test("FileWriter.end() fails when the last page cannot be written", async () => {
  await inDir(async (dir) => {
    const writer = await FileWriter.create(`${dir}/file`);
    await writer.write(bytesOf(10));
    writer[Symbol.dispose]();
    await assertRejects(() => writer.end());
  });
});
