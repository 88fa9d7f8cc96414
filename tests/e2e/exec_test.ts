import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { assemble } from "../fixtures/hostile/wat.ts";
import { plasm, spawnPlasm, withTempDir } from "../fixtures/plasm.ts";

const HELLO = decodeURIComponent(
  new URL("../../examples/hello/hello.wasm", import.meta.url).pathname,
);

const MEMORY = '(memory (export "memory") 1)';
const EXIT = '(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))';
const WRITE =
  '(import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))';
/** Writes "tick\n" and then never ends. */
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

Deno.test("plasm exec gives the job its input and prints its output", async () => {
  const { code, stdout, stderr } = await plasm(["exec", HELLO], { stdin: "Hello, World" });
  assertEquals({ code, stdout, stderr }, { code: 0, stdout: "dlroW ,olleH", stderr: "" });
});

Deno.test("plasm exec leaves a receipt that plasm verify accepts and a changed one refused", async () => {
  await withTempDir(async (dir) => {
    const env = { PLASM_STATE_DIR: `${dir}/state` };
    const receipt = `${dir}/r.json`;
    const run = await plasm(["exec", "--receipt", receipt, HELLO], { stdin: "Hello, World", env });
    assertEquals(run.code, 0);
    await Deno.writeTextFile(`${dir}/in`, "Hello, World");
    await Deno.writeTextFile(`${dir}/out`, run.stdout);
    const id = JSON.parse((await plasm(["id", "--json"], { env })).stdout);
    const given = ["--module", HELLO, "--stdin", `${dir}/in`, "--stdout", `${dir}/out`];
    const good = await plasm(["verify", receipt, "--key", id.public_key, ...given], { env });
    assertEquals(good.code, 0, good.stderr);
    assertMatch(good.stdout, /^receipt verified\n/);

    await Deno.writeTextFile(`${dir}/out`, "Hello, World");
    const other = await plasm(["verify", receipt, ...given], { env });
    assertEquals(other.code, 76);
    assertStringIncludes(other.stderr, "stdout_hash");

    const forged = { ...JSON.parse(await Deno.readTextFile(receipt)), exit_code: 1 };
    await Deno.writeTextFile(receipt, JSON.stringify(forged));
    const bad = await plasm(["verify", receipt], { env });
    assertEquals(bad.code, 76);
    assertStringIncludes(bad.stderr, "signature");
  });
});

Deno.test("plasm exec passes the job's own exit code through", async () => {
  await withTempDir(async (dir) => {
    for (const [own, seen] of [[0, 0], [1, 1], [42, 42], [255, 255], [256, 255]] as const) {
      const module = await writeModule(
        dir,
        `(module ${EXIT} ${MEMORY} (func (export "_start") (call $exit (i32.const ${own}))))`,
      );
      assertEquals((await plasm(["exec", module])).code, seen);
    }
  });
});

Deno.test("plasm exec ends a job that does not end with 124, and prints what it wrote", async () => {
  await withTempDir(async (dir) => {
    const module = await writeModule(dir, TICK_AND_SPIN);
    const { code, stdout, stderr } = await plasm(["exec", "--timeout", "1", module]);
    assertEquals({ code, stdout }, { code: 124, stdout: "tick\n" });
    assertEquals(stderr, "plasm: Job stopped: it ran longer than its 1000 ms of wall time\n");
  });
});

Deno.test("plasm exec ends a job over its CPU time with 124", async () => {
  await withTempDir(async (dir) => {
    const module = await writeModule(dir, TICK_AND_SPIN);
    const { code, stderr } = await plasm(["exec", "--cpu-seconds", "1", module]);
    assertEquals(code, 124);
    assertStringIncludes(stderr, "more than its 1000 ms of CPU time");
  });
});

Deno.test("plasm exec names the trap and exits with 134", async () => {
  await withTempDir(async (dir) => {
    const module = await writeModule(
      dir,
      `(module ${MEMORY} (func (export "_start") unreachable))`,
    );
    const { code, stderr } = await plasm(["exec", module]);
    assertEquals(code, 134);
    assertMatch(stderr, /^plasm: Job trapped: unreachable at wasm-function\[0\]:0x[0-9a-f]+\n$/);
  });
});

Deno.test("plasm exec refuses more memory than the job is allowed with 137 and both figures", async () => {
  await withTempDir(async (dir) => {
    const module = await writeModule(
      dir,
      '(module (memory (export "memory") 4096) (func (export "_start")))',
    );
    const { code, stderr } = await plasm(["exec", "--memory-mb", "64", module]);
    assertEquals(code, 137);
    assertStringIncludes(stderr, "needs 256 MB of memory at start, the job's limit is 64 MB");
  });
});

Deno.test("plasm exec lets memory.grow fail at the limit", async () => {
  await withTempDir(async (dir) => {
    const module = await writeModule(
      dir,
      `(module ${EXIT} (memory (export "memory") 1) (func (export "_start")
        (call $exit (i32.add (memory.grow (i32.const 1023)) (memory.grow (i32.const 1))))))`,
    );
    // 64 MiB are 1024 pages: the first grow answers the old size 1, the second -1.
    assertEquals((await plasm(["exec", "--memory-mb", "64", module])).code, 0);
  });
});

Deno.test("plasm exec stops a job at its output limit and keeps what fits", async () => {
  await withTempDir(async (dir) => {
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
});

Deno.test("plasm exec --json prints one object with outputs, figures and receipt", async () => {
  await withTempDir(async (dir) => {
    const env = { PLASM_STATE_DIR: `${dir}/state` };
    const { code, stdout } = await plasm(["exec", "--json", HELLO], { stdin: "abc", env });
    assertEquals(code, 0);
    const result = JSON.parse(stdout);
    assertEquals(result.status, "exited");
    assertEquals(result.exit_code, 0);
    assertEquals([result.stdout, result.stdout_encoding], ["cba", "utf-8"]);
    assertEquals(result.receipt.stdout_bytes, 3);
    const binary = await plasm(["exec", "--json", HELLO], {
      stdin: Uint8Array.of(0xff, 0xfe),
      env,
    });
    const encoded = JSON.parse(binary.stdout);
    assertEquals([encoded.stdout, encoded.stdout_encoding], ["/v8=", "base64"]);
  });
});

Deno.test("plasm exec --json prints errors as one object on stderr", async () => {
  const { code, stdout, stderr } = await plasm(["exec", "--json", "/nonexistent.wasm"]);
  assertEquals({ code, stdout }, { code: 65, stdout: "" });
  assertEquals(JSON.parse(stderr).error.code, "bad-module");
});

Deno.test("plasm exec ends a job at once on SIGINT with 130", async () => {
  await withTempDir(async (dir) => {
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
});

Deno.test("plasm exec ends with one message where the reader of its output is gone", async () => {
  await withTempDir(async (dir) => {
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
});

Deno.test("plasm exec streams: output comes while input is still open", async () => {
  await withTempDir(async (dir) => {
    // Reads one byte at a time and writes it back.
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
});

Deno.test("plasm exec --input gives files and directories, named in the manifest", async () => {
  await withTempDir(async (dir) => {
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
});

Deno.test("plasm exec --input refuses links in a circle and takes any name", async () => {
  await withTempDir(async (dir) => {
    await Deno.mkdir(`${dir}/tree/a`, { recursive: true });
    await Deno.mkdir(`${dir}/tree/b`);
    await Deno.symlink("../b", `${dir}/tree/a/x`);
    await Deno.symlink("../a", `${dir}/tree/b/y`);
    const circle = await plasm(["exec", "--input", `${dir}/tree`, HELLO]);
    assertEquals(circle.code, 65);
    assertStringIncludes(circle.stderr, "a link leads back up");

    await Deno.writeTextFile(`${dir}/f`, "");
    // That it is named in the manifest shows by the refusal to bind it to one that does not.
    await Deno.writeTextFile(`${dir}/m.json`, `{"inputs": {"other": "sha256:${"0".repeat(64)}"}}`);
    const args = ["--manifest", `${dir}/m.json`, "--input", `${dir}/f:__proto__`, HELLO];
    const named = await plasm(["exec", ...args]);
    assertStringIncludes(named.stderr, "the manifest does not name __proto__");
  });
});

Deno.test("plasm exec ends on SIGINT though its module never comes or its output is not read", async () => {
  await withTempDir(async (dir) => {
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
    // Opens once plasm has opened it to read.
    using _held = await Deno.open(pipe, { write: true });
    waiting.kill("SIGINT");
    assertEquals(await codeOf(waiting), 130);
    await Promise.all([waiting.stdin.close().catch(() => {}), waiting.stdout.cancel()]);
    assertStringIncludes(await new Response(waiting.stderr).text(), "it was interrupted");
  });
});

Deno.test("plasm exec says what is wrong with bad input and leaves nothing behind", async () => {
  await withTempDir(async (dir) => {
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
      [[`${dir}/none.wasm`], 65, "there is no such file"],
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
      [["--memory-mb", "999999", HELLO], 65, "memory_mb"],
      [["--memory-mb", "8192", HELLO], 77, "asked 8192 MB of memory_mb, node allows 4096 MB"],
      [["--memory-mb", "many", HELLO], 2, "takes a whole number: many"],
      [["--memry-mb", "1", HELLO], 2, "Did you mean --memory-mb"],
      [["--env", "NOVALUE", HELLO], 2, "it is not K=V"],
      [["--input", `${dir}/none`, HELLO], 65, "there is no such file"],
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
      assert(!/\bat .*\.ts:\d/.test(stderr), `a stack trace: ${stderr}`);
    }
    assertEquals(await names(dir), before);
  });
});

async function names(dir: string): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(dir))).map(({ name }) => name).sort();
}

/** The exit status; that of SIGKILL where a process does not end. */
async function codeOf(child: Deno.ChildProcess): Promise<number> {
  const guard = setTimeout(() => child.kill("SIGKILL"), 30_000);
  const { code } = await child.status;
  clearTimeout(guard);
  return code;
}
