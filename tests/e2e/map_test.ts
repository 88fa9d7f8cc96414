import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { DaemonProcess, environment as environmentOf } from "../fixtures/daemon/daemon_process.ts";
import { fileGuest } from "../fixtures/file_guest.ts";
import { assemble } from "../fixtures/hostile/wat.ts";
import { LIBP2P } from "../fixtures/p2p/nodes.ts";
import { plasm, spawnPlasm } from "../fixtures/plasm.ts";
import { random } from "../fixtures/random_source.ts";
import { realNode } from "../fixtures/remote/real_node.ts";
import { tempDir } from "../fixtures/temp_dir.ts";
import { succeeds } from "../fixtures/optional_program.ts";

const HELLO = decodeURIComponent(
  new URL("../../examples/hello/hello.wasm", import.meta.url).pathname,
);

/** Exits with 0 if its arguments are short, with 3 if they are long, and spins if they are longer. */
const BY_LENGTH = `(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get"
    (func $sizes (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (drop (call $sizes (i32.const 0) (i32.const 4)))
    (if (i32.gt_u (i32.load (i32.const 4)) (i32.const 60)) (then (loop $l (br $l))))
    (if (i32.gt_u (i32.load (i32.const 4)) (i32.const 35)) (then (call $exit (i32.const 3))))))`;

const FAILS = "f".repeat(30);
const SPINS = "s".repeat(70);

async function writeByLength(dir: string): Promise<string> {
  const path = `${dir}/len.wasm`;
  await Deno.writeFile(path, await assemble(BY_LENGTH));
  return path;
}

/** Creates files with their names as content. */
async function writeItems(dir: string, names: readonly string[]): Promise<string[]> {
  for (const name of names) await Deno.writeTextFile(`${dir}/${name}`, name);
  return names.map((name) => `${dir}/${name}`);
}

function environment(dir: string): { env: Record<string, string> } {
  return { env: { PLASM_STATE_DIR: `${dir}/state` } };
}

/** Items that a job log names, after its header. */
async function logged(path: string): Promise<string[]> {
  const [header, ...lines] = (await Deno.readTextFile(path)).split("\n");
  assert(header!.startsWith("Seq\tHost\t"));
  assertEquals(lines.pop(), "", "the log ends with a whole line");
  return lines.map((line) => {
    const fields = line.split("\t");
    assertEquals(fields.length, 9, line);
    return fields[8]!;
  });
}

Deno.test("plasm map -k prints output in the order of the items and exits with the number of failures", async () => {
  await using temp = await tempDir();
  const items = await writeItems(temp.path, ["one", "two", "three", "four"]);
  items.splice(2, 0, `${temp.path}/missing`);
  const { code, stdout, stderr } = await plasm(
    ["map", "-k", "-j2", "--stdin", "{}", HELLO, ":::", ...items],
  );
  assertEquals([code, stdout], [1, "enoowteerhtruof"]);
  assertEquals(
    stderr,
    `plasm: Item 3 (${temp.path}/missing): Cannot read standard input: file not found: ${temp.path}/missing\n`,
  );
});

Deno.test("plasm map reports items that are no files, escaped, and runs the others", async () => {
  await using temp = await tempDir();
  const [file] = await writeItems(temp.path, ["one"]);
  const list = `${temp.path}/list`;
  const latin1 = Uint8Array.of(0xe9, 0);
  const names = [temp.path, `${temp.path}/\x1b[2J\u202ex`, "", file].map((name) => `${name}\0`);
  await Deno.writeFile(list, latin1);
  await Deno.writeTextFile(list, names.join(""), { append: true });
  const { code, stdout, stderr } = await plasm(
    ["map", "-k", "--null", "--stdin", "{}", HELLO, "::::", list],
  );
  assertEquals([code, stdout], [4, "eno"]);
  const reasons = ["is not valid UTF-8", "it is a directory", "\\u001b[2J\\u202ex", "Item 4 ()"];
  const lines = stderr.trimEnd().split("\n");
  assertEquals(lines.length, 4, stderr);
  reasons.forEach((reason, at) => assertStringIncludes(lines[at]!, reason));
});

Deno.test("plasm map takes names with newlines, quotes and leading dashes from a NUL list", async () => {
  await using temp = await tempDir();
  const names = ["a\nb", "it's", "--json", "-k", "{#}"];
  await writeItems(temp.path, names);
  const { code, stdout, stderr } = await plasm(
    ["map", "-k", "--null", "--stdin", `${temp.path}/{}`, HELLO],
    { stdin: names.map((name) => `${name}\0`).join("") },
  );
  const reversed = names.map((name) => [...name].reverse().join(""));
  assertEquals({ code, stdout, stderr }, { code: 0, stdout: reversed.join(""), stderr: "" });
});

Deno.test("plasm map gives each job its number, and the count unless items come from a pipe", async () => {
  await using temp = await tempDir();
  const module = await writeByLength(temp.path);
  await Deno.writeTextFile(`${temp.path}/list`, "a\nb\n");
  const args = (results: string) => ["map", "--results", `${temp.path}/${results}`, module];
  const { env } = environment(temp.path);
  await plasm([...args("file"), "::::", `${temp.path}/list`], { env });
  await plasm(args("pipe"), { env, stdin: "a\nb\n" });
  const manifest = async (results: string): Promise<Record<string, unknown>> =>
    JSON.parse(await Deno.readTextFile(`${temp.path}/${results}/0/2/manifest.json`));
  const { args: words, env: variables } = await manifest("file");
  // Without a replacement string the item is the last argument.
  assertEquals(words, ["b"]);
  assertEquals(variables, { PLASM_INDEX: "2", PLASM_COUNT: "2" });
  assertEquals((await manifest("pipe")).env, { PLASM_INDEX: "2" });
});

Deno.test("plasm map --resume runs again only items whose receipt does not hold", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const items = await writeItems(dir, ["a", "b", "c", "d", "e"]);
  const run = async (...options: string[]) => {
    const fixed = ["map", "--results", `${dir}/out`, "--joblog", `${dir}/log`, "--stdin", "{}"];
    return await plasm([...fixed, ...options, HELLO, ":::", ...items], environment(dir));
  };
  assertEquals((await run()).code, 0);
  assertEquals((await logged(`${dir}/log`)).toSorted(), items);

  const again = await run();
  assertEquals(again.code, 65);
  assertStringIncludes(again.stderr, "it has the results of a run");
  assertStringIncludes(again.stderr, "Add --resume");

  await Deno.writeTextFile(items[1]!, "changed");
  await Deno.writeTextFile(`${dir}/out/0/3/stdout`, "tampered");
  const receipt = `${dir}/out/0/4/receipt.json`;
  await Deno.writeTextFile(receipt, (await Deno.readTextFile(receipt)).slice(0, 100));
  await Deno.remove(`${dir}/out/0/5/stderr`);
  const resumed = await run("--resume");
  assertEquals(resumed.code, 0, resumed.stderr);
  assertEquals((await logged(`${dir}/log`)).slice(5).toSorted(), items.slice(1));
  assertEquals(await Deno.readTextFile(`${dir}/out/0/2/stdout`), "degnahc");
  assertEquals(await Deno.readTextFile(`${dir}/out/0/3/stdout`), "c");
  const { done, reused } = JSON.parse(await Deno.readTextFile(`${dir}/out/summary.json`));
  assertEquals([done, reused], [5, 1]);

  assertEquals((await run("--resume")).code, 0);
  assertEquals((await logged(`${dir}/log`)).length, 9);
});

Deno.test("plasm map stores receipts that plasm verify accepts", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const [item] = await writeItems(dir, ["abc"]);
  const { env } = environment(dir);
  await plasm(["map", "--results", `${dir}/out`, "--stdin", "{}", HELLO, ":::", item!], { env });
  const stored = `${dir}/out/0/1`;
  const verified = await plasm([
    ...["verify", `${stored}/receipt.json`, "--manifest", `${stored}/manifest.json`],
    ...["--module", HELLO, "--stdin", item!, "--stdout", `${stored}/stdout`],
  ], { env });
  assertEquals(verified.code, 0, verified.stderr);
});

Deno.test("plasm map --resume-failed runs again what failed, --resume does not", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const module = await writeByLength(dir);
  const run = (...options: string[]) =>
    plasm([
      ...["map", "--results", `${dir}/out`, "--joblog", `${dir}/log`, ...options],
      ...[module, ":::", "a", FAILS],
    ], environment(dir));
  assertEquals((await run()).code, 1);
  assertEquals((await run("--resume")).code, 1);
  assertEquals((await logged(`${dir}/log`)).length, 2);
  assertEquals((await run("--resume-failed")).code, 1);
  assertEquals((await logged(`${dir}/log`)).slice(2), [FAILS]);
});

Deno.test("plasm map refuses a results directory of another run, and one with other files", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const { env } = environment(dir);
  await plasm(["map", "--results", `${dir}/out`, HELLO, ":::", "a"], { env });
  const other = await plasm(
    ["map", "--results", `${dir}/out`, "--resume", HELLO, "--", "-v", "{}", ":::", "a"],
    { env },
  );
  assertEquals(other.code, 65);
  assertStringIncludes(other.stderr, "a run with other options");
  const notDirectory = await plasm(["map", "--results", HELLO, HELLO, ":::", "a"], { env });
  assertEquals(notDirectory.code, 65);
  assertStringIncludes(notDirectory.stderr, "it is not a directory");
  await Deno.mkdir(`${dir}/mine`);
  await Deno.writeTextFile(`${dir}/mine/note`, "");
  const full = await plasm(["map", "--results", `${dir}/mine`, HELLO, ":::", "a"], { env });
  assertEquals(full.code, 65);
  assertStringIncludes(full.stderr, "it has other files");
});

Deno.test("plasm map refuses a results directory that is a file or leads nowhere", async () => {
  await using temp = await tempDir();
  const [file] = await writeItems(temp.path, ["one"]);
  const dangling = `${temp.path}/dangling`;
  await Deno.symlink("/nonexistent/directory", dangling);
  for (const results of [file!, dangling, `${file}/below`]) {
    const { code, stdout, stderr } = await plasm(
      ["map", "--results", results, "--stdin", "{}", HELLO, ":::", file!],
    );
    assert(code === 65 || code === 73, `${code} ${stderr}`);
    assertEquals(stdout, "");
  }
});

Deno.test("plasm map refuses two items with one output before anything runs", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const module = `${dir}/write.wasm`;
  await Deno.writeFile(module, await fileGuest([{ write: "o", text: "content" }]));
  const run = (host: string, ...items: string[]) =>
    plasm([
      ...["map", "--joblog", `${dir}/log`, "--output", `o:${dir}/${host}`],
      ...[module, ":::", ...items],
    ]);
  const { code, stderr } = await run("{/.}.o", "a/x.c", "a/y.c", "b/x.c");
  assertEquals(code, 65);
  assertStringIncludes(stderr, `items 1 and 3 have one output: ${dir}/x.o`);
  assertEquals((await Array.fromAsync(Deno.readDir(dir))).map(({ name }) => name), ["write.wasm"]);
  await Deno.symlink(".", `${dir}/link`);
  for (const same of ["./x", "link/x", `../${dir.split("/").at(-1)}/x`]) {
    const refused = await run("{}", "x", same);
    assertEquals(refused.code, 65, same);
    assertStringIncludes(refused.stderr, "items 1 and 2 have one output");
  }
  await Deno.remove(`${dir}/link`);
  assertEquals((await run("{/.}.{#}", "a/x.c", "b/x.c")).code, 0);
  assertEquals(await Deno.readTextFile(`${dir}/x.2`), "content");
});

Deno.test("plasm map --results stores output files, and resumes only with them", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const module = `${dir}/write.wasm`;
  await Deno.writeFile(
    module,
    await fileGuest([{ mkdir: "d" }, { write: "d/n", text: "n" }, { write: "o", text: "content" }]),
  );
  const run = (...options: string[]) =>
    plasm([
      ...["map", "--results", `${dir}/out`, "--joblog", `${dir}/log`, ...options],
      ...["--output", "d/", "--output", `o:${dir}/{}.o`, module, ":::", "a", "b"],
    ], environment(dir));
  assertEquals((await run()).code, 0);
  assertEquals(await Deno.readTextFile(`${dir}/out/0/1/outputs/d/n`), "n");
  assertEquals(await Deno.readTextFile(`${dir}/a.o`), "content");
  await Deno.writeTextFile(`${dir}/a.o`, "other");
  const resumed = await run("--resume");
  assertEquals(resumed.code, 0, resumed.stderr);
  assertEquals(await Deno.readTextFile(`${dir}/a.o`), "content");
  assertEquals((await logged(`${dir}/log`)).slice(2), ["a"]);
});

Deno.test("plasm map stops after the first 20 failures and says why", async () => {
  await using temp = await tempDir();
  const module = await writeByLength(temp.path);
  const list = `${FAILS}\n`.repeat(10_000);
  const { code, stderr } = await plasm(["map", "-j1", module], { stdin: list });
  assert(code >= 20 && code <= 22, `${code}`);
  assertMatch(stderr, /Stopped: the first 2\d items failed; use --halt never/);
  const all = await plasm(["map", "--halt", "never", module], {
    stdin: `${FAILS}\n`.repeat(110),
  });
  assertEquals(all.code, 101);
});

Deno.test("plasm map --timeout limits the run of each item", async () => {
  await using temp = await tempDir();
  const module = await writeByLength(temp.path);
  const { code, stderr } = await plasm([
    ...["map", "-j1", "--timeout", "1", "--joblog", `${temp.path}/log`],
    ...[module, ":::", SPINS, "a"],
  ]);
  assertEquals(code, 1);
  assertStringIncludes(stderr, "longer than its 1000 ms of wall time");
  assertMatch(await Deno.readTextFile(`${temp.path}/log`), /\t124\t0\tsss/);
});

Deno.test("plasm map loses at most what runs when it is killed", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const module = await writeByLength(dir);
  const args = ["map", "-j2", "--results", `${dir}/out`, "--joblog", `${dir}/log`, module];
  const items = [...Array.from({ length: 30 }, (_, at) => `item ${at}`), SPINS];
  const list = `${items.join("\n")}\n`;
  const child = spawnPlasm(args, environment(dir));
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(list));
  await waitFor(async () => (await Deno.readTextFile(`${dir}/log`)).split("\n").length === 32);
  child.kill("SIGKILL");
  await Promise.all([child.stdout.cancel(), child.stderr.cancel(), writer.abort()]);
  await child.status;
  const cut = `${(await Deno.readTextFile(`${dir}/log`))}31\t:\t17`;
  await Deno.writeTextFile(`${dir}/log`, cut);
  assertEquals((await Array.fromAsync(Deno.readDir(`${dir}/out/0`))).length, 30);

  const resumed = await plasm(["map", "--resume", ...args.slice(1)], {
    ...environment(dir),
    stdin: `${items.slice(0, 30).join("\n")}\nlast\n`,
  });
  assertEquals(resumed.code, 0, resumed.stderr);
  assertEquals((await logged(`${dir}/log`)).slice(30), ["last"]);
  const names = (await Array.fromAsync(Deno.readDir(`${dir}/out`))).map(({ name }) => name);
  assertEquals(names.toSorted(), ["0", "map.json", "summary.json"]);
});

Deno.test("plasm map --resume completes what any number of kills has left", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const items = await writeItems(dir, Array.from({ length: 60 }, (_, at) => `item${at}`));
  const below = random(21);
  const args = (...options: string[]): string[] => [
    ...["map", "--results", `${dir}/out`, "--joblog", `${dir}/log`, "--resume", ...options],
    ...["--stdin", "{}", HELLO, ":::", ...items],
  ];
  for (let round = 0; round < 4; round++) {
    const child = spawnPlasm(args(), environment(dir));
    // Killed when it has stored some more results.
    const stored = async (): Promise<number> =>
      (await Array.fromAsync(Deno.readDir(`${dir}/out/0`)).catch(() => [])).length;
    const until = Math.min(items.length - 1, await stored() + 1 + below(12));
    await waitFor(async () => await stored() >= until);
    child.kill("SIGKILL");
    await Promise.all([child.stdout.cancel(), child.stderr.cancel(), child.stdin.close()]);
    await child.status;
  }
  const { code, stderr } = await plasm(args("-k"), environment(dir));
  assertEquals(code, 0, stderr);
  const { done, failed, reused } = JSON.parse(await Deno.readTextFile(`${dir}/out/summary.json`));
  assertEquals([done, failed], [60, 0]);
  assert(reused >= 4, `${reused}`);
  for (const [at, item] of items.entries()) {
    const name = item.split("/").at(-1)!;
    const stored = await Deno.readTextFile(`${dir}/out/0/${at + 1}/stdout`);
    assertEquals(stored, [...name].reverse().join(""));
  }
  // No item ran again whose result had been stored.
  const again = await plasm(args(), environment(dir));
  assertEquals([again.code, again.stdout], [0, ""], again.stderr);
});

Deno.test("plasm map stops reading items on SIGINT, and exits with 130 and a whole log", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const module = await writeByLength(dir);
  const child = spawnPlasm(["map", "--joblog", `${dir}/log`, module]);
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode("a\nb\nc\n"));
  await waitFor(async () => (await Deno.readTextFile(`${dir}/log`)).split("\n").length === 5);
  child.kill("SIGINT");
  const { code } = await child.output();
  await writer.abort().catch(() => {});
  assertEquals(code, 130);
  assertEquals((await logged(`${dir}/log`)).toSorted(), ["a", "b", "c"]);
});

Deno.test("plasm map ends on SIGINT while an item waits for a named pipe", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const { success } = await new Deno.Command("mkfifo", { args: [`${dir}/pipe`] }).output();
  assert(success);
  const [file] = await writeItems(dir, ["one"]);
  const child = spawnPlasm(
    ["map", "-j1", "--joblog", `${dir}/log`, "--stdin", "{}", HELLO, ":::", file!, `${dir}/pipe`],
  );
  await waitFor(async () => (await Deno.readTextFile(`${dir}/log`)).split("\n").length === 3);
  child.kill("SIGINT");
  await child.stdin.close();
  const { code } = await child.output();
  assertEquals([code, await logged(`${dir}/log`)], [130, [file]]);
});

Deno.test("a second SIGINT ends plasm map at once", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const module = await writeByLength(dir);
  const child = spawnPlasm(
    ["map", "-j1", "--bar", "--joblog", `${dir}/log`, module, ":::", "a", SPINS],
  );
  await waitFor(async () => (await Deno.readTextFile(`${dir}/log`)).split("\n").length === 3);
  child.kill("SIGINT");
  const reader = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ""; !text.includes("again");) {
    const { value, done } = await reader.read();
    assert(!done, text);
    text += value;
  }
  child.kill("SIGINT");
  await Promise.all([reader.cancel(), child.stdout.cancel(), child.stdin.close()]);
  assertEquals((await child.status).code, 130);
  assertEquals(await logged(`${dir}/log`), ["a"]);
});

Deno.test("plasm map --dry-run prints the command of each item, quoted for a shell", async () => {
  const { code, stdout } = await plasm([
    ...["map", "--dry-run", "--stdin", "{}", "--env", "N={#}", HELLO],
    ...["--", "{/.}", ":::", "dir/a b.c", "it's"],
  ]);
  assertEquals(code, 0);
  assertEquals(
    stdout,
    `plasm exec --env N=1 ${HELLO} -- 'a b' < 'dir/a b.c'\n` +
      `plasm exec --env N=2 ${HELLO} -- 'it'\\''s' < 'it'\\''s'\n`,
  );
});

Deno.test("plasm map --invoke calls a function with each combination of lists", async () => {
  await using temp = await tempDir();
  const module = `${temp.path}/math.wasm`;
  await Deno.writeFile(
    module,
    await assemble(`(module (func (export "add") (param i32 i32) (result i32)
      (i32.add (local.get 0) (local.get 1))))`),
  );
  const call = (...words: string[]) => plasm(["map", "-k", "-j200%", "--invoke", "add", ...words]);
  const all = await call(module, ":::", "1", "2", ":::", "10", "20");
  assertEquals([all.code, all.stdout], [0, "11\n21\n12\n22\n"], all.stderr);
  const linked = await call(module, "--", "{2}", "{1}", ":::", "1", "2", ":::+", "10", "-20");
  assertEquals([linked.code, linked.stdout], [0, "11\n-18\n"], linked.stderr);
  const wrong = await call(module, ":::", "1", "2");
  assertEquals(wrong.code, 2);
  assertStringIncludes(wrong.stderr, "found 1 arguments");
  const missing = await plasm(["map", "--invoke", "sub", module, ":::", "1"]);
  assertEquals(missing.code, 65, missing.stderr);
});

Deno.test("plasm map --json prints a line for each item and a summary", async () => {
  await using temp = await tempDir();
  const items = await writeItems(temp.path, ["ab"]);
  const { code, stdout } = await plasm(
    ["map", "-k", "--json", "--stdin", "{}", HELLO, ":::", ...items, "missing"],
    environment(temp.path),
  );
  const [first, second, last] = stdout.trim().split("\n").map((line) => JSON.parse(line));
  assertEquals(code, 1);
  assertEquals([first.index, first.stdout, first.exit_code, first.node], [1, "ba", 0, "local"]);
  assertEquals(typeof first.receipt.signature, "string");
  assertEquals([second.index, second.error.code], [2, "bad-input"]);
  assertEquals([last.summary.done, last.summary.failed], [2, 1]);
});

Deno.test("plasm map reports options that it cannot use", async () => {
  for (
    const [args, message] of [
      [["--resume", HELLO, ":::", "a"], "Cannot use --resume without --results"],
      [["-j", "0", HELLO, ":::", "a"], "Cannot run 0 jobs at the same time"],
      [["-j", "0%", HELLO, ":::", "a"], "Cannot run 0% jobs"],
      [["-j", "many", HELLO, ":::", "a"], "relative to the cores: 200%"],
      [["--colsep", ",", HELLO, ":::", "a"], "link one list for each column"],
      [["-n2", HELLO, ":::", "a"], "Each job has one item"],
      [["-a", "list", HELLO], "plasm map MODULE :::: FILE"],
      [["--results", "{/}", HELLO, ":::", "a"], "it is the same for all items"],
      [["{}.wasm", ":::", "a"], "another module for each item"],
      [["--halt", "later", HELLO, ":::", "a"], "Cannot use later"],
      [[HELLO, ":::", "a", "::::", "-"], "only the first can be a pipe"],
      [["--output", "o:-", HELLO, ":::", "a"], "to standard output"],
      [["-"], "both the module and the items"],
      [["--force", "--output", "o", HELLO, "::::", "-"], "two items of a pipe"],
    ] as const
  ) {
    const { code, stderr } = await plasm(["map", ...args]);
    assertEquals(code, 2, stderr);
    assertStringIncludes(stderr, message);
  }
});

Deno.test("plasm map stops with 73 when the disk is full, and resumes when it is not", async () => {
  await using temp = await tempDir();
  const dir = `${temp.path}/disk`;
  await Deno.mkdir(dir);
  const mount = await succeeds(
    new Deno.Command("mount", {
      args: ["-t", "tmpfs", "-o", "size=128k", "tmpfs", dir],
      stderr: "null",
    }),
  );
  if (!mount) {
    console.log("skipped: no file system of a given size can be mounted");
    return;
  }
  try {
    const items = await writeItems(temp.path, Array.from({ length: 60 }, (_, at) => `item${at}`));
    const run = (...options: string[]) =>
      plasm([
        ...["map", "--results", `${dir}/out`, ...options, "--stdin", "{}", HELLO],
        ...[":::", ...items],
      ], environment(temp.path));
    const full = await run();
    assertEquals(full.code, 73, full.stderr);
    assertStringIncludes(full.stderr, "No space left on device");
    await new Deno.Command("mount", { args: ["-o", "remount,size=4m", dir] }).output();
    const resumed = await run("--resume");
    assertEquals(resumed.code, 0, resumed.stderr);
    const { done, reused } = JSON.parse(await Deno.readTextFile(`${dir}/out/summary.json`));
    assertEquals(done, 60);
    assert(reused > 0, "results before the disk was full hold");
  } finally {
    await new Deno.Command("umount", { args: [dir] }).output();
  }
});

Deno.test("plasm map --daemon runs items in the queue of the daemon, with its receipts", async () => {
  await using temp = await tempDir("pl");
  const dir = temp.path;
  await using _daemon = await DaemonProcess.start({ dir });
  const env = environmentOf(dir);
  const module = `${dir}/write.wasm`;
  await Deno.writeFile(module, await fileGuest([{ write: "o", text: "content" }, { print: "p" }]));
  const args = ["map", "--results", `${dir}/out`, "--output", "o", module, ":::", "a", "b", "c"];
  const { code, stdout, stderr } = await plasm(
    [...args.slice(0, 3), "--daemon", ...args.slice(3)],
    {
      env,
    },
  );
  assertEquals([code, stdout, stderr], [0, "ppp", ""]);
  assertEquals(await Deno.readTextFile(`${dir}/out/0/3/outputs/o`), "content");
  const { run } = JSON.parse(await Deno.readTextFile(`${dir}/out/0/1/receipt.json`));
  const { public_key } = JSON.parse((await plasm(["id", "--json"], { env })).stdout);
  assertEquals(run.node.public_key, public_key);
  const { nodes } = JSON.parse(await Deno.readTextFile(`${dir}/out/summary.json`));
  assertEquals([nodes[0].node, nodes[0].jobs], ["daemon", 3]);

  // The receipts hold wherever the items run next.
  const local = await plasm([...args.slice(0, 3), "--resume", ...args.slice(3)], { env });
  assertEquals(local.code, 0, local.stderr);
  const { reused } = JSON.parse(await Deno.readTextFile(`${dir}/out/summary.json`));
  assertEquals(reused, 3);
});

Deno.test("plasm map --daemon reports that no daemon responds", async () => {
  await using temp = await tempDir();
  const { code, stderr } = await plasm(
    ["map", "--daemon", "--socket", `${temp.path}/none.sock`, HELLO, ":::", "a"],
  );
  assertEquals(code, 69, stderr);
});

Deno.test(
  "plasm map --remote runs items on several nodes and verifies their receipts",
  LIBP2P,
  async () => {
    await using one = await realNode();
    await using two = await realNode();
    const { dir } = one;
    const nodes = [one, two];
    const items = await writeItems(dir, Array.from({ length: 16 }, (_, at) => `item${at}`));
    const { code, stdout, stderr } = await plasm([
      ...["map", "-k", "--remote", "--results", `${dir}/out`, "--stdin", "{}"],
      ...nodes.flatMap(({ bootstrap }) => ["--bootstrap", bootstrap[0]!]),
      ...nodes.flatMap(({ daemon }) => ["--peer", daemon.identity.peerId]),
      ...[HELLO, ":::", ...items],
    ], environment(dir));
    assertEquals(code, 0, stderr);
    const expected = items.map((path) => [...path.split("/").at(-1)!].reverse().join(""));
    assertEquals(stdout, expected.join(""));
    const summary = JSON.parse(await Deno.readTextFile(`${dir}/out/summary.json`));
    const used = summary.nodes.map(({ node }: { node: string }) => node);
    assertEquals(used.toSorted(), nodes.map(({ daemon }) => daemon.identity.peerId).toSorted());
    for (const { jobs, failures } of summary.nodes) assert(jobs > 0 && failures === 0);
  },
);

Deno.test("plasm map --remote ends with 69 when there is no node", LIBP2P, async () => {
  await using node = await realNode();
  const { code, stderr } = await plasm([
    ...["map", "--remote", "--arch", Deno.build.arch === "x86_64" ? "aarch64" : "x86_64"],
    ...["--bootstrap", node.bootstrap[0]!, HELLO, ":::", "a"],
  ], environment(node.dir));
  assertEquals(code, 69, stderr);
  assertStringIncludes(stderr, "no node found");
});

/** Waits until a condition holds. */
async function waitFor(condition: () => Promise<boolean>): Promise<void> {
  while (!await condition().catch(() => false)) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
