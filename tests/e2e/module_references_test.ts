import { assertEquals, assertStringIncludes } from "@std/assert";
import { sha256 } from "../../lib/core/hash.ts";
import { plasm } from "../fixtures/plasm.ts";
import { tempDir } from "../fixtures/temp_dir.ts";

const HELLO = await Deno.readFile("examples/hello/hello.wasm");
const HASH = await sha256(HELLO);

/** Deno's own cache, which it looks for below `XDG_CACHE_HOME`. */
const DENO_DIR = Deno.env.get("DENO_DIR") ??
  `${Deno.env.get("XDG_CACHE_HOME") ?? `${Deno.env.get("HOME")}/.cache`}/deno`;

/** A server of the module, and the environment of a user with an empty cache. */
async function setUp() {
  const dir = await tempDir();
  const paths: string[] = [];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, ({ url }) => {
    paths.push(new URL(url).pathname);
    return new Response(HELLO);
  });
  return {
    env: { XDG_CACHE_HOME: `${dir.path}/cache`, HOME: dir.path, DENO_DIR },
    url: `http://127.0.0.1:${server.addr.port}/hello.wasm`,
    paths,
    async [Symbol.asyncDispose]() {
      await server.shutdown();
      await dir[Symbol.asyncDispose]();
    },
  };
}

Deno.test("exec runs modules of a URL, of the cache and of standard input", async () => {
  await using user = await setUp();
  const { env, url, paths } = user;
  const run = (reference: string, ...options: string[]) =>
    plasm(["exec", ...options, reference], { env, stdin: "abc" });
  const first = await run(url);
  assertEquals({ code: first.code, stdout: first.stdout }, { code: 0, stdout: "cba" });
  assertEquals(paths, ["/hello.wasm"]);
  assertEquals((await run(`${url}#${HASH.replace(":", "=")}`)).stdout, "cba");
  assertEquals((await run(url, "--offline")).stdout, "cba");
  assertEquals((await run(HASH)).stdout, "cba");
  assertEquals(paths, ["/hello.wasm"]);
  const piped = await plasm(["exec", "-"], { env, stdin: HELLO });
  assertEquals({ code: piped.code, stdout: piped.stdout }, { code: 0, stdout: "" });
});

Deno.test("exec refuses a module that differs from its pin, is unknown or is text", async () => {
  await using user = await setUp();
  const { env, url } = user;
  const other = "0".repeat(64);
  const pinned = await plasm(["exec", `${url}#sha256=${other}`], { env });
  assertEquals(pinned.code, 65);
  assertStringIncludes(pinned.stderr.replace(/\s+/g, " "), `it is pinned to sha256:${other}`);
  const unknown = await plasm(["exec", `sha256:${other}`], { env });
  assertEquals(unknown.code, 65);
  assertStringIncludes(unknown.stderr, "plasm modules pull");
  const offline = await plasm(["exec", "--offline", url], { env });
  assertStringIncludes(offline.stderr.replace(/\s+/g, " "), "it has not been downloaded before");
  const scheme = await plasm(["exec", "ftp://example.com/x.wasm"], { env });
  assertEquals(scheme.code, 2);
  const text = await plasm(["exec", "-"], { env, stdin: ";; a job\n(module)\n" });
  assertEquals(text.code, 65);
  assertStringIncludes(text.stderr.replace(/\s+/g, " "), "wat2wasm module.wat -o module.wasm");
  const component = await plasm(["exec", "-"], { env, stdin: "(component)\n" });
  assertStringIncludes(component.stderr.replace(/\s+/g, " "), "wasm-tools parse module.wat");
});

Deno.test("exec names the command that makes a module of source code", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const hints: Record<string, string> = {
    "main.c": `Build it: clang --target=wasm32-wasi ${dir}/main.c -o ${dir}/main.wasm`,
    "main.go": `Build it: GOOS=wasip1 GOARCH=wasm go build -o ${dir}/main.wasm ${dir}/main.go`,
    "main.py":
      `Run it with an interpreter: plasm exec --input ${dir}/main.py PYTHON.wasm -- main.py`,
  };
  for (const [name, hint] of Object.entries(hints)) {
    await Deno.writeTextFile(`${dir}/${name}`, "main\n");
    const { code, stderr } = await plasm(["exec", `${dir}/${name}`]);
    assertEquals(code, 65);
    assertStringIncludes(stderr.replace(/\s+/g, " "), hint);
  }
  // What counts is the content: a module may have any name.
  await Deno.writeFile(`${dir}/hello.c`, HELLO);
  const { code, stdout } = await plasm(["exec", `${dir}/hello.c`], { stdin: "abc" });
  assertEquals({ code, stdout }, { code: 0, stdout: "cba" });
});

Deno.test("modules pulls, lists, prunes and deletes", async () => {
  await using user = await setUp();
  const { env, url } = user;
  const modules = (...args: string[]) => plasm(["modules", ...args], { env });
  assertEquals((await modules("ls")).stdout, "");
  assertEquals((await modules("pull", url)).stdout, `${HASH}\n`);
  const [line] = (await modules("ls")).stdout.split("\n");
  assertStringIncludes(line!, HASH);
  assertStringIncludes(line!, url);
  const [entry] = JSON.parse((await modules("ls", "--json")).stdout);
  assertEquals({ digest: entry.digest, bytes: entry.bytes, references: entry.references }, {
    digest: HASH,
    bytes: HELLO.length,
    references: [url],
  });
  assertStringIncludes((await modules("prune", "--max-mb", "0")).stdout, HASH);
  assertEquals((await modules("ls")).stdout, "");
  assertEquals((await modules("rm", HASH)).code, 65);
  assertEquals((await modules("rm", "hello")).code, 2);
  const mistyped = await modules("lst");
  assertEquals(mistyped.code, 2);
  assertStringIncludes(mistyped.stderr, "ls");
});
