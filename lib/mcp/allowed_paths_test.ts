import { assertEquals, assertRejects } from "@std/assert";
import { tempDir } from "../../tests/fixtures/temp_dir.ts";
import { PlasmError } from "../core/errors/mod.ts";
import { AllowedPaths } from "./allowed_paths.ts";

const MAX = { maxBytes: 100 };

Deno.test("AllowedPaths reads below its directories, and a directory with everything in it", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  await Deno.mkdir(`${dir}/a/deep/empty`, { recursive: true });
  await Deno.mkdir(`${dir}/b`);
  await Deno.writeTextFile(`${dir}/a/deep/file`, "one");
  await Deno.writeTextFile(`${dir}/b/file`, "two");
  await Deno.symlink("deep/file", `${dir}/a/link`);
  const allowed = await AllowedPaths.of([`${dir}/a`, `${dir}/b`]);
  const text = async (path: string) => new TextDecoder().decode(await allowed.readFile(path, MAX));
  assertEquals(await text("deep/file"), "one");
  assertEquals(await text("link"), "one");
  assertEquals(await text("file"), "two");
  assertEquals(await text(`${dir}/b/file`), "two");
  const files = await allowed.readInput(`${dir}/a`, { guest: "in", ...MAX });
  assertEquals(Object.keys(files).sort(), [
    ...["in/", "in/deep/", "in/deep/empty/", "in/deep/file", "in/link"],
  ]);
});

Deno.test("AllowedPaths refuses what is outside, too large or no file", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  await Deno.mkdir(`${dir}/a`);
  await Deno.mkdir(`${dir}/ab`);
  await Deno.writeTextFile(`${dir}/ab/file`, "x");
  await Deno.writeFile(`${dir}/a/large`, new Uint8Array(101));
  await Deno.symlink("../ab", `${dir}/a/out`);
  const allowed = await AllowedPaths.of([`${dir}/a`]);
  const refused: [string, string][] = [
    [`${dir}/ab/file`, "policy"],
    ["../ab/file", "policy"],
    ["out/file", "policy"],
    ["none", "policy"],
    ["large", "too-large"],
    [".", "bad-input"],
    ["a\0", "bad-input"],
  ];
  for (const [path, code] of refused) {
    const error = await assertRejects(() => allowed.readFile(path, MAX), PlasmError);
    assertEquals({ path, code: error.code }, { path, code });
  }
  // A directory with a link that leads out of it.
  const input = await assertRejects(
    () => allowed.readInput(".", { guest: "in", maxBytes: 1000 }),
    PlasmError,
  );
  assertEquals(input.code, "policy");
  await assertRejects(() => AllowedPaths.of([`${dir}/none`]), PlasmError, "no directory");
});
