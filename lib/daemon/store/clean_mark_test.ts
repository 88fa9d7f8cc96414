import { assertEquals } from "@std/assert";
import { markClean, takeCleanMark } from "./clean_mark.ts";

Deno.test("takeCleanMark() believes a mark once, and only of the file as it was", async () => {
  const dir = await Deno.makeTempDir();
  try {
    const path = `${dir}/jobs.db`;
    Deno.writeTextFileSync(path, "pages");
    assertEquals(takeCleanMark(path), false);
    markClean(path);
    assertEquals([takeCleanMark(path), takeCleanMark(path)], [true, false]);
    for (
      const change of [
        () => Deno.truncateSync(path, 2),
        () => Deno.utimeSync(path, 1, 1),
        () => Deno.writeTextFileSync(`${path}-wal`, "log"),
        () => Deno.removeSync(path),
      ]
    ) {
      markClean(path);
      change();
      assertEquals(takeCleanMark(path), false);
    }
    markClean(`${dir}/none`); // Nothing to mark is no fault.
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
