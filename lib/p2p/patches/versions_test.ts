import { assert, assertEquals } from "@std/assert";

const README = new URL("./README.md", import.meta.url);
const LOCK = new URL("../../../deno.lock", import.meta.url);

Deno.test("the table of patches names the versions in deno.lock", async () => {
  const lock: { npm: Record<string, unknown> } = JSON.parse(await Deno.readTextFile(LOCK));
  const text = await Deno.readTextFile(README);
  const rows = [...text.matchAll(/^\| `(\S+)` +\| `(\S+)` +\| (\S+) +\|$/gm)];
  const files = new Set<string>();
  for (const [, file, name, version] of rows) {
    files.add(file!);
    // A key is NAME@VERSION, then _PEER@VERSION for each peer dependency.
    const locked = Object.keys(lock.npm)
      .filter((key) => key.startsWith(`${name}@`))
      .map((key) => key.slice(name!.length + 1).split("_")[0]!);
    assertEquals(new Set(locked), new Set([version!]), `${file}: ${name}`);
  }
  const patches: string[] = [];
  for await (const { name } of Deno.readDir(new URL("./", import.meta.url))) {
    if (name.endsWith(".ts") && !name.endsWith("_test.ts")) patches.push(name);
  }
  assert(patches.length > 0);
  assertEquals([...files].sort(), patches.sort());
});
