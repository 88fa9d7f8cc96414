/**
 * Interrupts commands that wait for a named pipe without another end, and a command that ignores its first interrupt.
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { plasm, spawnPlasm } from "../fixtures/plasm.ts";
import { tempDir } from "../fixtures/temp_dir.ts";

const HELLO = decodeURIComponent(
  new URL("../../examples/hello/hello.wasm", import.meta.url).pathname,
);
const RECEIPT = new URL("../vectors/receipt.json", import.meta.url);

/** Waits until a process has opened a file. Deno itself reads /proc only with all permissions. */
async function opens(child: Deno.ChildProcess, path: string): Promise<void> {
  let ended = false;
  child.status.then(() => ended = true);
  while (!ended) {
    const { stdout } = await new Deno.Command("ls", {
      args: ["-l", `/proc/${child.pid}/fd`],
      stderr: "null",
    }).output();
    if (new TextDecoder().decode(stdout).includes(path)) return;
  }
  throw new Error("The process ended before it opened the file");
}

/** Creates a named pipe. */
async function createPipe(path: string): Promise<void> {
  assertEquals((await new Deno.Command("mkfifo", { args: [path] }).output()).success, true);
}

/** Opens a pipe and fills it, so that writes to it block. */
async function fillPipe(path: string): Promise<Disposable> {
  const { closeSync, constants, openSync, writeSync } = await import("node:fs");
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  try {
    for (;;) writeSync(fd, new Uint8Array(4096));
  } catch (error) {
    assertEquals((error as { code: string }).code, "EAGAIN");
  }
  return { [Symbol.dispose]: () => closeSync(fd) };
}

/** Commands that read or write the pipe, by the way they use it. */
const COMMANDS: Record<string, (pipe: string, receipt: string) => string[]> = {
  "exec MODULE": (pipe) => ["exec", pipe],
  "exec --manifest": (pipe) => ["exec", "--manifest", pipe, HELLO],
  "exec --receipt": (pipe) => ["exec", "--receipt", pipe, HELLO],
  "verify RECEIPT": (pipe) => ["verify", pipe],
  ...Object.fromEntries(
    ["module", "stdin", "stdout", "stderr", "manifest"].map((
      name,
    ) => [
      `verify --${name}`,
      (pipe: string, receipt: string) => ["verify", `--${name}`, pipe, receipt],
    ]),
  ),
};

for (const [name, argsOf] of Object.entries(COMMANDS)) {
  Deno.test(`plasm ${name} exits with 130 when it is interrupted and a named pipe has no other end`, async () => {
    await using dir = await tempDir();
    const pipe = `${dir.path}/pipe`;
    await createPipe(pipe);
    const { receipt } = JSON.parse(await Deno.readTextFile(RECEIPT));
    await Deno.writeTextFile(`${dir.path}/r.json`, JSON.stringify(receipt));
    // The other end of a pipe for writing does not read: without it the pipe could not be opened.
    using full = name === "exec --receipt" ? await fillPipe(pipe) : undefined;
    const child = spawnPlasm(argsOf(pipe, `${dir.path}/r.json`), {
      env: { PLASM_STATE_DIR: `${dir.path}/state` },
    });
    await child.stdin.close();
    const output = child.output();
    await opens(child, pipe);
    child.kill("SIGINT");
    const { code, stderr } = await output;
    assertStringIncludes(new TextDecoder().decode(stderr).toLowerCase(), "interrupted");
    assertEquals(code, 130);
    assertEquals(full !== undefined, name === "exec --receipt");
  });
}

Deno.test("plasm refuses a named pipe as --input, --ticket, --joblog and SSL_CERT_FILE", async () => {
  await using dir = await tempDir();
  const pipe = `${dir.path}/pipe`;
  await createPipe(pipe);
  const env = { PLASM_STATE_DIR: `${dir.path}/state` };
  const address = "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWGzBvAtN8Z2sJrrfuH4nQwBZ8mcxLnWMmJUMrZJBCmyRb";
  const remote = ["--remote", "--peer", address, "--ticket", pipe];
  for (const options of [["--input", pipe], remote]) {
    const child = spawnPlasm(["exec", ...options, HELLO], { env });
    await child.stdin.close();
    const { code, stderr } = await child.output();
    assertStringIncludes(new TextDecoder().decode(stderr), "file");
    assert(code === 65 || code === 2, `${code}`);
  }
  // Files that are read or written synchronously would block signals too.
  const log = await plasm(["map", "--joblog", pipe, HELLO, ":::", "a"], { env });
  assertStringIncludes(log.stderr, "Cannot write job log: it is a named pipe");
  const url = await plasm(["exec", "https://127.0.0.1:9/x"], {
    env: { ...env, SSL_CERT_FILE: pipe },
  });
  assertStringIncludes(url.stderr, "Cannot read certificates: it is not a regular file");
  assertEquals([log.code, url.code], [2, 2]);
});

Deno.test("processIo() ends the process when a second interrupt arrives and the command waits on", async () => {
  const program = `
    import { processIo } from ${
    JSON.stringify(new URL("../../lib/cli/io.ts", import.meta.url).href)
  };
    const { signal } = processIo();
    signal.addEventListener("abort", () => console.log("first"));
    setInterval(() => {}, 1000);
    console.log("waiting");`;
  await using dir = await tempDir();
  await Deno.writeTextFile(`${dir.path}/wait.ts`, program);
  const config = decodeURIComponent(new URL("../../deno.json", import.meta.url).pathname);
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-q", "--allow-all", "--config", config, `${dir.path}/wait.ts`],
    stdout: "piped",
  }).spawn();
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  assertEquals((await lines.read()).value, "waiting\n");
  child.kill("SIGINT");
  assertEquals((await lines.read()).value, "first\n");
  child.kill("SIGINT");
  assertEquals((await child.status).code, 130);
  assertEquals((await lines.read()).done, true);
});
