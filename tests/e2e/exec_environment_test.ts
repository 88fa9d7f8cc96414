import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { DaemonProcess, environment } from "../fixtures/daemon/daemon_process.ts";
import { command } from "../fixtures/hostile/case.ts";
import { assemble } from "../fixtures/hostile/wat.ts";
import { LIBP2P } from "../fixtures/p2p/nodes.ts";
import { plasm } from "../fixtures/plasm.ts";
import { realNode } from "../fixtures/remote/real_node.ts";
import { tempDir } from "../fixtures/temp_dir.ts";

/** 2001-09-09, half a second after a full second. */
const TIME_MS = 1_000_000_000_500;

/**
 * Prints argv[0] and the arguments, each with a NUL. Exits with 0 if `path` was modified at `timeMs`, with 1 if at
 * another time, and with 2 if it does not exist.
 */
async function probe(path: string, timeMs: number): Promise<Uint8Array> {
  return await assemble(command(
    `(drop (call $args_sizes_get (i32.const 16) (i32.const 20)))
     (drop (call $args_get (i32.const 1024) (i32.const 4096)))
     (i32.store (i32.const 0) (i32.const 4096))
     (i32.store (i32.const 4) (i32.load (i32.const 20)))
     (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
     (if (call $path_filestat_get (i32.const 3) (i32.const 1) (i32.const 512)
         (i32.const ${path.length}) (i32.const 64))
       (then (call $proc_exit (i32.const 2))))
     (call $proc_exit (i64.ne (i64.load (i32.const 104)) (i64.const ${timeMs * 1e6})))`,
    {
      uses: ["args_sizes_get", "args_get", "fd_write", "path_filestat_get", "proc_exit"],
      fields: `(data (i32.const 512) "${path}")`,
    },
  ));
}

async function writeCase(dir: string): Promise<{ input: string; module: string }> {
  const input = `${dir}/in`;
  const module = `${dir}/probe.wasm`;
  await Deno.mkdir(`${input}/sub`, { recursive: true });
  await Deno.writeTextFile(`${input}/sub/file`, "text");
  await Deno.utime(`${input}/sub/file`, TIME_MS / 1000, TIME_MS / 1000);
  await Deno.utime(`${input}/sub`, TIME_MS / 1000, TIME_MS / 1000);
  await Deno.writeFile(module, await probe("sub/file", TIME_MS));
  return { input, module };
}

Deno.test("plasm exec passes the module's name and the times of inputs to the job", async () => {
  await using temp = await tempDir();
  const { input, module } = await writeCase(temp.path);
  const run = async (...args: string[]) => {
    const { code, stdout, stderr } = await plasm(["exec", ...args]);
    return { code, stdout, stderr };
  };
  const expected = { code: 0, stdout: "probe.wasm\0", stderr: "" };
  for (const guest of ["/", ".", "./"]) {
    assertEquals(await run("--input", `${input}:${guest}`, module), expected, guest);
  }
  assertEquals(await run("--input", `${input}/sub:./sub/`, module), expected);
  assertEquals(await run("--argv0", "tool ü", "--input", `${input}:/`, module, "--", "a"), {
    ...expected,
    stdout: "tool ü\0a\0",
  });
  await Deno.writeFile(module, await probe("sub", TIME_MS));
  assertEquals(await run("--input", `${input}:/`, module), expected);
  const file = await run("--input", `${input}/sub/file:/`, module);
  assertEquals(file.code, 65);
  assertStringIncludes(file.stderr, "Cannot use input as /: it is not a directory");
});

Deno.test("plasm exec records argv0 and input times in the manifest unless a file has it", async () => {
  await using temp = await tempDir();
  const { input, module } = await writeCase(temp.path);
  const manifest = `${temp.path}/manifest.json`;
  await Deno.writeTextFile(manifest, '{"args":["x"]}');
  const file = await plasm(["exec", "--manifest", manifest, "--input", `${input}:/`, module]);
  assertEquals([file.code, file.stdout], [0, "main.wasm\0x\0"]);
  await Deno.writeTextFile(manifest, '{"argv0":"named"}');
  const named = await plasm(["exec", "--manifest", manifest, "--input", `${input}:/`, module]);
  assertEquals([named.code, named.stdout], [0, "named\0"]);
});

Deno.test("plasm exec --daemon and submit pass argv0 and input times", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const { input, module } = await writeCase(dir);
  await using _daemon = await DaemonProcess.start({ dir });
  const env = environment(dir);
  for (const way of [["exec", "--daemon"], ["exec", "--pipe"], ["submit", "--wait"]]) {
    const { code, stdout, stderr } = await plasm([...way, "--input", `${input}:/`, module], {
      env,
    });
    assertEquals({ code, stdout }, { code: 0, stdout: "probe.wasm\0" }, `${way}: ${stderr}`);
    const named = await plasm([...way, "--argv0", "x", "--input", `${input}:.`, module], { env });
    assertEquals([named.code, named.stdout], [0, "x\0"], named.stderr);
  }
  const { stdout } = await plasm(["submit", "--input", `${input}:/`, module], { env });
  const shown = await plasm(["status", "--json", stdout.trim()], { env });
  const { manifest } = JSON.parse(shown.stdout);
  assertEquals(manifest.argv0, "probe.wasm");
  assertEquals(manifest.input_times["/sub/file"], TIME_MS);
  assertEquals(manifest.input_times["/sub/"], TIME_MS);
  assert(Object.hasOwn(manifest.input_times, "/"));
});

Deno.test("plasm exec --remote passes argv0 and input times", LIBP2P, async () => {
  await using node = await realNode();
  const { bootstrap, dir } = node;
  const { input, module } = await writeCase(dir);
  const env = { PLASM_STATE_DIR: `${dir}/client` };
  const remote = [
    "exec",
    "--remote",
    "--bootstrap",
    bootstrap[0]!,
    "--input",
    `${input}:/`,
    module,
  ];
  const { code, stdout, stderr } = await plasm(remote, { env });
  assertEquals({ code, stdout, stderr }, { code: 0, stdout: "probe.wasm\0", stderr: "" });
});
