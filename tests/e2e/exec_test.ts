import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { assemble } from "../fixtures/hostile/wat.ts";
import { assemble as assembleWithNames } from "../fixtures/reorder_modules.ts";
import { plasm, spawnPlasm } from "../fixtures/plasm.ts";
import { tempDir } from "../fixtures/temp_dir.ts";

const HELLO = decodeURIComponent(
  new URL("../../examples/hello/hello.wasm", import.meta.url).pathname,
);

const MEMORY = '(memory (export "memory") 1)';
const EXIT = '(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))';
const WRITE =
  '(import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))';
/**
 * Writes "tick
 * ", then loops forever.
 */
const TICK_AND_SPIN = `(module ${WRITE} ${MEMORY}
  (data (i32.const 0) "\\10\\00\\00\\00\\05\\00\\00\\00") (data (i32.const 16) "tick\\0a")
  (func (export "_start")
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (loop $l (br $l))))`;

async function writeModule(dir: string, wat: string): Promise<string> {
  const path = `${dir}/module.wasm`;
  await Deno.writeFile(path, await assemble(wat));
  return path;
}

Deno.test("plasm exec passes input to the job and prints its output", async () => {
  const { code, stdout, stderr } = await plasm(["exec", HELLO], { stdin: "Hello, World" });
  assertEquals({ code, stdout, stderr }, { code: 0, stdout: "dlroW ,olleH", stderr: "" });
});

Deno.test("plasm exec --receipt writes a receipt that plasm verify accepts and rejects once changed", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const env = { PLASM_STATE_DIR: `${dir}/state` };
  const receipt = `${dir}/r.json`;
  const run = await plasm(["exec", "--receipt", receipt, HELLO], { stdin: "Hello, World", env });
  assertEquals(run.code, 0);
  await Deno.writeTextFile(`${dir}/in`, "Hello, World");
  await Deno.writeTextFile(`${dir}/out`, run.stdout);
  const id = JSON.parse((await plasm(["id", "--local", "--json"], { env })).stdout);
  const content = ["--module", HELLO, "--stdin", `${dir}/in`, "--stdout", `${dir}/out`];
  const good = await plasm(["verify", receipt, "--key", id.public_key, ...content], { env });
  assertEquals(good.code, 0, good.stderr);
  assertMatch(good.stdout, /^receipt verified\n/);

  await Deno.writeTextFile(`${dir}/out`, "Hello, World");
  const other = await plasm(["verify", receipt, ...content], { env });
  assertEquals(other.code, 76);
  assertStringIncludes(other.stderr, "claim.stdout.hash");

  const forged = { ...JSON.parse(await Deno.readTextFile(receipt)), exit_code: 1 };
  await Deno.writeTextFile(receipt, JSON.stringify(forged));
  const bad = await plasm(["verify", receipt], { env });
  assertEquals(bad.code, 76);
  assertStringIncludes(bad.stderr, "signature");
});

Deno.test("plasm exec exits with the job's exit code", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  for (const [own, seen] of [[0, 0], [1, 1], [42, 42], [255, 255], [256, 255]] as const) {
    const module = await writeModule(
      dir,
      `(module ${EXIT} ${MEMORY} (func (export "_start") (call $exit (i32.const ${own}))))`,
    );
    assertEquals((await plasm(["exec", module])).code, seen);
  }
});

Deno.test("plasm exec exits with 124 after the wall-clock limit and prints the output so far", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const module = await writeModule(dir, TICK_AND_SPIN);
  const { code, stdout, stderr } = await plasm(["exec", "--timeout", "1", module]);
  assertEquals({ code, stdout }, { code: 124, stdout: "tick\n" });
  assertEquals(stderr, "plasm: Job stopped: it ran longer than its 1000 ms of wall time\n");
});

Deno.test("plasm exec exits with 124 after the CPU limit", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const module = await writeModule(dir, TICK_AND_SPIN);
  const { code, stderr } = await plasm(["exec", "--cpu-seconds", "1", module]);
  assertEquals(code, 124);
  assertStringIncludes(stderr, "more than its 1000 ms of CPU time");
});

Deno.test("plasm exec exits with 134 and reports the trap", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const module = await writeModule(
    dir,
    `(module ${MEMORY} (func (export "_start") unreachable))`,
  );
  const { code, stderr } = await plasm(["exec", module]);
  assertEquals(code, 134);
  assertMatch(
    stderr,
    /^plasm: Job trapped: unreachable at (wasm-function\[0\]):(0x[0-9a-f]+)\n {3}0: \2 - \1\n$/,
  );
});

Deno.test("plasm exec prints the stack of a trap, and --json has it outside the claim", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const module = `${dir}/module.wasm`;
  await Deno.writeFile(
    module,
    await assembleWithNames(`(module ${MEMORY} (func $_Z5innerv unreachable)
      (func $_RNvC3app5outer (call $_Z5innerv)) (func (export "_start") (call $_RNvC3app5outer)))`),
  );
  const env = { PLASM_STATE_DIR: `${dir}/state` };
  const { code, stderr } = await plasm(["exec", module], { env });
  assertEquals(code, 134);
  assertMatch(
    stderr,
    /\n {3}0: 0x\w+ - inner\(\)\n {3}1: 0x\w+ - app::outer\n {3}2: 0x\w+ - wasm-function\[2\]\n$/,
  );
  const { stdout } = await plasm(["exec", "--json", module], { env });
  const { backtrace, receipt } = JSON.parse(stdout);
  assertEquals(backtrace.map(({ name }: { name: string }) => name), [
    "inner()",
    "app::outer",
    null,
  ]);
  assert(!JSON.stringify(receipt).includes("outer"));
});

Deno.test("plasm exec exits with 137 and both figures when the module needs more memory than allowed", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const module = await writeModule(
    dir,
    '(module (memory (export "memory") 4096) (func (export "_start")))',
  );
  const { code, stderr } = await plasm(["exec", "--memory-mb", "64", module]);
  assertEquals(code, 137);
  assertStringIncludes(stderr, "needs 256 MB of memory at start, the job's limit is 64 MB");
});

Deno.test("plasm exec makes memory.grow return -1 at the limit", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const module = await writeModule(
    dir,
    `(module ${EXIT} (memory (export "memory") 1) (func (export "_start")
        (call $exit (i32.add (memory.grow (i32.const 1023)) (memory.grow (i32.const 1))))))`,
  );
  // 64 MiB are 1024 pages: the first grow returns the old size 1, the second -1.
  assertEquals((await plasm(["exec", "--memory-mb", "64", module])).code, 0);
});

Deno.test("plasm exec stops a job at its output limit and prints the output up to it", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const module = await writeModule(
    dir,
    `(module ${WRITE} ${MEMORY} (data (i32.const 0) "\\10\\00\\00\\00\\03\\00\\00\\00")
        (data (i32.const 16) "abc") (func (export "_start") (loop $l
          (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))) (br $l))))`,
  );
  await Deno.writeTextFile(`${dir}/m.json`, '{"resources": {"output_bytes": 8}}');
  const { code, stdout, stderr } = await plasm(["exec", "--manifest", `${dir}/m.json`, module]);
  assertEquals({ code, stdout }, { code: 137, stdout: "abcabcab" });
  assertStringIncludes(stderr, "more than its 8 bytes of output");
});

Deno.test("plasm exec --json prints one object with outputs, usage and receipt", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const env = { PLASM_STATE_DIR: `${dir}/state` };
  const { code, stdout } = await plasm(["exec", "--json", HELLO], { stdin: "abc", env });
  assertEquals(code, 0);
  const result = JSON.parse(stdout);
  assertEquals(result.status, "exited");
  assertEquals(result.exit_code, 0);
  assertEquals({ stdout: result.stdout, stdoutEncoding: result.stdout_encoding }, {
    stdout: "cba",
    stdoutEncoding: "utf-8",
  });
  assertEquals(result.receipt.claim.stdout.bytes, 3);
  const binary = await plasm(["exec", "--json", HELLO], {
    stdin: Uint8Array.of(0xff, 0xfe),
    env,
  });
  const encoded = JSON.parse(binary.stdout);
  assertEquals({ stdout: encoded.stdout, stdoutEncoding: encoded.stdout_encoding }, {
    stdout: "/v8=",
    stdoutEncoding: "base64",
  });
});

Deno.test("plasm exec --json prints errors as one object on stderr", async () => {
  const { code, stdout, stderr } = await plasm(["exec", "--json", "/nonexistent.wasm"]);
  assertEquals({ code, stdout }, { code: 65, stdout: "" });
  assertEquals(JSON.parse(stderr).error.code, "bad-module");
});

Deno.test("plasm exec cancels the job and exits with 130 on SIGINT", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const child = spawnPlasm(["exec", await writeModule(dir, TICK_AND_SPIN)]);
  const reader = child.stdout.getReader();
  await reader.read();
  child.kill("SIGINT");
  const { code } = await child.status;
  assertEquals(code, 130);
  await Promise.all([reader.cancel(), child.stdin.close().catch(() => {})]);
  assertEquals(
    await new Response(child.stderr).text(),
    "plasm: Job stopped: it was cancelled\n",
  );
});

Deno.test("plasm exec exits with one message when its output is closed", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const module = await writeModule(
    dir,
    `(module ${WRITE} ${MEMORY} (data (i32.const 0) "\\00\\00\\00\\00\\00\\80\\00\\00")
        (func (export "_start") (loop $l
          (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))) (br $l))))`,
  );
  const child = spawnPlasm(["exec", module]);
  const reader = child.stdout.getReader();
  await reader.read();
  await reader.cancel();
  const stderr = await new Response(child.stderr).text();
  assertEquals((await child.status).code, 141);
  assertEquals(stderr, "error: Cannot write to standard output: it was closed\n");
  await child.stdin.close().catch(() => {});
});

Deno.test("plasm exec streams output while input is still open", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  // Echoes one byte at a time.
  const module = await writeModule(
    dir,
    `(module
        (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
        ${WRITE} ${MEMORY} (data (i32.const 0) "\\10\\00\\00\\00\\01\\00\\00\\00")
        (func (export "_start") (loop $l
          (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
          (if (i32.load (i32.const 8)) (then
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
            (br $l))))))`,
  );
  const child = spawnPlasm(["exec", module]);
  const writer = child.stdin.getWriter();
  const reader = child.stdout.getReader();
  for (const letter of ["a", "b", "c"]) {
    await writer.write(new TextEncoder().encode(letter));
    const { value } = await reader.read();
    assertEquals(new TextDecoder().decode(value), letter);
  }
  await writer.close();
  assertEquals((await child.status).code, 0);
  await Promise.all([reader.cancel(), child.stderr.cancel()]);
});

Deno.test("plasm exec --input mounts files and directories and lists them in the manifest", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  await Deno.mkdir(`${dir}/data/sub`, { recursive: true });
  await Deno.writeTextFile(`${dir}/data/sub/a.txt`, "A");
  await Deno.symlink("sub/a.txt", `${dir}/data/link`);
  const env = { PLASM_STATE_DIR: `${dir}/state` };
  const args = ["--json", "--input", `${dir}/data:/d`, "--input", `${dir}/data/sub/a.txt`, HELLO];
  const { code, stderr } = await plasm(["exec", ...args], { env });
  assertEquals(code, 0, stderr);

  await Deno.symlink("/etc/passwd", `${dir}/data/out`);
  const refused = await plasm(["exec", ...args], { env });
  assertEquals(refused.code, 65);
  assertStringIncludes(refused.stderr, "a link leads out of it");
});

Deno.test("plasm exec --input rejects circular links and accepts any name", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  await Deno.mkdir(`${dir}/tree/a`, { recursive: true });
  await Deno.mkdir(`${dir}/tree/b`);
  await Deno.symlink("../b", `${dir}/tree/a/x`);
  await Deno.symlink("../a", `${dir}/tree/b/y`);
  const circle = await plasm(["exec", "--input", `${dir}/tree`, HELLO]);
  assertEquals(circle.code, 65);
  assertStringIncludes(circle.stderr, "a link leads back up");

  await Deno.writeTextFile(`${dir}/f`, "");
  // The error for an input missing from the manifest shows that the other one is listed in it.
  await Deno.writeTextFile(`${dir}/m.json`, `{"inputs": {"other": "sha256:${"0".repeat(64)}"}}`);
  const args = ["--manifest", `${dir}/m.json`, "--input", `${dir}/f:__proto__`, HELLO];
  const named = await plasm(["exec", ...args]);
  assertStringIncludes(named.stderr, "the manifest does not name __proto__");
});

Deno.test("plasm exec exits on SIGINT while it waits for a module or for a reader of its output", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const pipe = `${dir}/pipe`;
  await new Deno.Command("mkfifo", { args: [pipe] }).output();
  const flood = await writeModule(
    dir,
    `(module ${WRITE} ${MEMORY} (data (i32.const 0) "\\00\\00\\00\\00\\00\\80\\00\\00")
        (func (export "_start") (loop $l
          (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))) (br $l))))`,
  );
  const unread = spawnPlasm(["exec", flood]);
  const reader = unread.stdout.getReader();
  await reader.read();
  unread.kill("SIGINT");
  assertEquals(await codeOf(unread), 130);
  await reader.cancel();
  await Promise.all([unread.stdin.close().catch(() => {}), unread.stderr.cancel()]);

  const waiting = spawnPlasm(["exec", pipe]);
  // Opening succeeds once plasm has opened it for reading.
  using _held = await Deno.open(pipe, { write: true });
  waiting.kill("SIGINT");
  assertEquals(await codeOf(waiting), 130);
  await Promise.all([waiting.stdin.close().catch(() => {}), waiting.stdout.cancel()]);
  assertStringIncludes(await new Response(waiting.stderr).text(), "it was interrupted");
});

Deno.test("plasm exec reports invalid input and leaves no files", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const put = async (name: string, content: string | Uint8Array): Promise<string> => {
    await Deno.writeFile(
      `${dir}/${name}`,
      typeof content === "string" ? new TextEncoder().encode(content) : content,
    );
    return `${dir}/${name}`;
  };
  const hello = await Deno.readFile(HELLO);
  const manifest = (fields: unknown) => put("m.json", JSON.stringify(fields));
  const hash = `sha256:${"0".repeat(64)}`;
  const cases: [string[], number, string][] = [
    [[`${dir}/none.wasm`], 65, "file not found"],
    [[dir], 65, "it is a directory"],
    [[await put("empty.wasm", "")], 65, "empty"],
    [[await put("text.wasm", "hello there")], 65, "Cannot run module"],
    [[await put("cut.wasm", hello.subarray(0, hello.length / 2))], 65, "Cannot run module"],
    [["--manifest", await put("a.json", '{"colour": 1}'), HELLO], 65, "colour"],
    [["--manifest", await put("b.json", '{"resources":{"memory_mb":1.5}}'), HELLO], 65, "1.5"],
    [
      ["--manifest", await put("c.json", '{"resources":{"memory_mb":1e30}}'), HELLO],
      65,
      "memory_mb",
    ],
    [["--manifest", await put("d.json", "{"), HELLO], 65, "manifest"],
    [["--manifest", await manifest({ module_hash: hash }), HELLO], 65, "module_hash"],
    [["--memory-mb", "999999", HELLO], 65, "--memory-mb"],
    [["--memory-mb", "8192", HELLO], 77, "asked 8192 MB of memory_mb, node allows 4096 MB"],
    [["--memory-mb", "many", HELLO], 2, "needs a whole number: many"],
    [["--memry-mb", "1", HELLO], 2, "Did you mean --memory-mb"],
    [["--env", "NOVALUE", HELLO], 2, "it is not K=V"],
    [["--input", `${dir}/none`, HELLO], 65, "file not found"],
    [["--receipt", `${dir}/none/r.json`, HELLO], 2, "Cannot write receipt"],
    [[HELLO, "--", "a\uFFFDb"], 2, "not valid UTF-8"],
    [[], 2, "Missing argument"],
  ];
  const before = await names(dir);
  for (const [args, expected, text] of cases) {
    const { code, stdout, stderr } = await plasm(["exec", ...args]);
    assertEquals(code, expected, `${args.join(" ")}: ${stderr}`);
    assertStringIncludes(stderr.replace(/\s+/g, " "), text);
    assertEquals(stdout, "");
    assert(!/\bat .*\.ts:\d/.test(stderr), `stack trace in: ${stderr}`);
  }
  assertEquals(await names(dir), before);
});

async function names(dir: string): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(dir))).map(({ name }) => name).sort();
}

/** Exit status of a process; that of SIGKILL if it does not exit in time. */
async function codeOf(child: Deno.ChildProcess): Promise<number> {
  const guard = setTimeout(() => child.kill("SIGKILL"), 30_000);
  const { code } = await child.status;
  clearTimeout(guard);
  return code;
}

Deno.test("plasm exec and submit name the option when its value makes no valid manifest", async () => {
  const cases: [option: string, value: string, rule: string][] = [
    ["--timeout", "99999", "--timeout must be 1 to 86400, found 99999"],
    ["--memory-mb", "0", "--memory-mb must be 1 to 65536, found 0"],
    ["--output", "../x", "--output must be a path"],
  ];
  for (const [option, value, rule] of cases) {
    for (const command of ["exec", "submit"]) {
      const { code, stderr } = await plasm([command, option, value, HELLO]);
      assertStringIncludes(stderr, `Cannot accept job: ${rule}`);
      assertEquals(code, 65);
    }
  }
});
