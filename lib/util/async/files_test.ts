import { assertEquals, assertRejects } from "@std/assert";
import { tempDir } from "../../../tests/fixtures/temp_dir.ts";
import { readFile, writeFile } from "./mod.ts";

async function fifo(path: string): Promise<string> {
  assertEquals((await new Deno.Command("mkfifo", { args: [path] }).output()).success, true);
  return path;
}

async function readText(path: string, signal?: AbortSignal): Promise<string> {
  let text = "";
  await readFile(path, {
    signal,
    onChunk: (chunk) => void (text += new TextDecoder().decode(chunk)),
  });
  return text;
}

Deno.test("readFile() rejects when the signal aborts and a named pipe has no writer", async () => {
  await using dir = await tempDir();
  const path = await fifo(`${dir.path}/pipe`);
  const stop = new AbortController();
  const reading = readText(path, stop.signal);
  stop.abort(new RangeError("stopped"));
  await assertRejects(() => reading, RangeError, "stopped");
  await assertRejects(() => readText(path, stop.signal), RangeError, "stopped");
});

Deno.test("readFile() waits for the writer of a named pipe, and reads what it writes", async () => {
  await using dir = await tempDir();
  const path = await fifo(`${dir.path}/pipe`);
  const reading = readText(path);
  const script = 'for i in $(seq 20000); do echo "line $i"; done > "$0"';
  const writer = new Deno.Command("sh", { args: ["-c", script, path] }).spawn();
  const text = await reading;
  assertEquals((await writer.status).success, true);
  assertEquals(text.split("\n").length, 20001);
  assertEquals(text.endsWith("line 20000\n"), true);
});

Deno.test("readFile() reads an anonymous pipe that has no path, and an empty one", async () => {
  const program = `import { readFile } from ${
    JSON.stringify(new URL("./mod.ts", import.meta.url).href)
  };
    await readFile(Deno.args[0], { onChunk: (chunk) => Deno.stdout.writeSync(chunk) });`;
  await using dir = await tempDir();
  await Deno.writeTextFile(`${dir.path}/read.ts`, program);
  const config = new URL("../../../deno.json", import.meta.url).pathname;
  const script = '"$0" run -q --allow-all --config "$1" "$2" <(echo text); ' +
    '"$0" run -q --allow-all --config "$1" "$2" <(true)';
  const { stdout, success } = await new Deno.Command("bash", {
    args: ["-c", script, Deno.execPath(), config, `${dir.path}/read.ts`],
  }).output();
  assertEquals(success, true);
  assertEquals(new TextDecoder().decode(stdout), "text\n");
});

Deno.test("writeFile() waits for the reader of a named pipe, and rejects when the signal aborts", async () => {
  await using dir = await tempDir();
  const path = await fifo(`${dir.path}/pipe`);
  const bytes = new TextEncoder().encode("x".repeat(200_000));
  const writing = writeFile(path, bytes);
  const { stdout } = await new Deno.Command("cat", { args: [path] }).output();
  await writing;
  assertEquals(stdout.length, bytes.length);
  const stop = new AbortController();
  const waiting = writeFile(path, bytes, { signal: stop.signal });
  stop.abort(new RangeError("stopped"));
  await assertRejects(() => waiting, RangeError, "stopped");
});
