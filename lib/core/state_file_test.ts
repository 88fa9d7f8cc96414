import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { tempDir } from "../../tests/fixtures/temp_dir.ts";
import { PlasmError } from "./errors/mod.ts";
import { readPrivateFile, syncFile, writePrivateFile } from "./state_file.ts";

async function refusal(path: string): Promise<PlasmError> {
  return await assertRejects(() => readPrivateFile(path), PlasmError);
}

Deno.test("readPrivateFile() returns what writePrivateFile() wrote", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  assertEquals(await readPrivateFile(`${dir}/x/secret`), undefined);
  await writePrivateFile(`${dir}/x/secret`, "größer");
  assertEquals(await readPrivateFile(`${dir}/x/secret`), "größer");
});

Deno.test("writePrivateFile() changes nothing when the file exists", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  await writePrivateFile(`${dir}/secret`, "first");
  await writePrivateFile(`${dir}/secret`, "second");
  assertEquals(await readPrivateFile(`${dir}/secret`), "first");
  assertEquals([...Deno.readDirSync(dir)].length, 1);
});

Deno.test("writePrivateFile() names the path and leaves no files when it cannot write", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  await Deno.writeTextFile(`${dir}/file`, "");
  const path = `${dir}/file/secret`;
  const error = await assertRejects(() => writePrivateFile(path, "x"), PlasmError);
  assertEquals({ code: error.code, exitCode: error.exitCode }, { code: "state", exitCode: 73 });
  assertStringIncludes(error.message, `Cannot write ${path}: `);
});

Deno.test("readPrivateFile() throws when the path is a link, even to a private file", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  await writePrivateFile(`${dir}/target`, "x");
  await Deno.symlink(`${dir}/target`, `${dir}/link`);
  assertStringIncludes((await refusal(`${dir}/link`)).message, "it is a symbolic link");
  await Deno.symlink(`${dir}/nowhere`, `${dir}/dangling`);
  assertStringIncludes((await refusal(`${dir}/dangling`)).message, "it is a symbolic link");
});

Deno.test("readPrivateFile() throws when the path is not a file, too large or not text", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  await Deno.mkdir(`${dir}/folder`);
  assertStringIncludes((await refusal(`${dir}/folder`)).message, "it is not a regular file");
  await Deno.writeFile(`${dir}/large`, new Uint8Array(4097), { mode: 0o600 });
  assertStringIncludes((await refusal(`${dir}/large`)).message, "it has 4097 bytes");
  await Deno.writeFile(`${dir}/binary`, Uint8Array.of(0xff), { mode: 0o600 });
  assertStringIncludes((await refusal(`${dir}/binary`)).message, "it is not text");
  await Deno.writeTextFile(`${dir}/full`, "x".repeat(4096), { mode: 0o600 });
  assertEquals((await readPrivateFile(`${dir}/full`))?.length, 4096);
});

Deno.test("readPrivateFile() throws when any user may replace the file", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  await writePrivateFile(`${dir}/secret`, "x");
  await Deno.chmod(dir, 0o777);
  const { code, hint } = await refusal(`${dir}/secret`);
  assertEquals(code, "bad-identity");
  assertStringIncludes(hint!, "chmod 700");
  await Deno.chmod(dir, 0o1777);
  assertEquals(await readPrivateFile(`${dir}/secret`), "x");
});

Deno.test("readPrivateFile() throws when it cannot read the file", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  await Deno.writeTextFile(`${dir}/file`, "");
  assertEquals((await refusal(`${dir}/file/secret`)).code, "state");
});

Deno.test("syncFile() flushes files and directories and rejects for a missing path", async () => {
  const dir = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${dir}/file`, "text");
    await syncFile(`${dir}/file`);
    await syncFile(dir);
    await assertRejects(() => syncFile(`${dir}/missing`), Deno.errors.NotFound);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
