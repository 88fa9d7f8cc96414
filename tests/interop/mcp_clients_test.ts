/**
 * Uses `plasm mcp` from clients of other projects: the MCP inspector of npm, and the Python client of PyPI, which is
 * skipped with a message unless it is installed. tests/e2e/mcp_test.ts uses the TypeScript SDK's client.
 *
 * @module
 */
import { Client } from "@modelcontextprotocol/client";
import { assertEquals, assertStringIncludes } from "@std/assert";
import { fetchPython, PYTHON_PACKAGE } from "../fixtures/interop/python.ts";
import { ChildTransport } from "../fixtures/mcp_transport.ts";
import { programCommand, spawnPlasm } from "../fixtures/plasm.ts";
import { tempDir } from "../fixtures/temp_dir.ts";

const HELLO = new URL("../../examples/hello/", import.meta.url).pathname;

/** Prints what the client makes of the server: its tools, a result, a repeated run, and the code of an error. */
const SCRIPT = `
import asyncio, json, sys
from mcp import Client, StdioServerParameters

async def main():
    server = StdioServerParameters(command=sys.argv[1], args=sys.argv[2:-1], env=json.loads(sys.argv[-1]))
    async with Client(server) as client:
        tools = [tool.name for tool in (await client.list_tools()).tools]
        job = {"module": "hello.wasm", "stdin": "Hello, World"}
        result = await client.call_tool("run_module", job)
        run = result.structured_content
        receipt = result.meta["plasm/receipt"]
        again = await client.call_tool("rerun", {**job, "receipt": receipt, "manifest": run["manifest"]})
        wrong = await client.call_tool("run_module", {"module": "/etc/passwd"})
        print(json.dumps({
            "tools": tools,
            "stdout": run["stdout"],
            "outcome": again.structured_content["outcome"],
            "error": wrong.structured_content["error"]["code"],
        }))

asyncio.run(main())
`;
import { outputOf } from "../fixtures/optional_program.ts";

const [program, ...prefix] = programCommand();

function environment(dir: string): Record<string, string> {
  const { HOME = "/root", DENO_DIR } = Deno.env.toObject();
  return {
    HOME,
    PLASM_STATE_DIR: `${dir}/state`,
    NO_COLOR: "1",
    ...(DENO_DIR === undefined ? {} : { DENO_DIR }),
  };
}

async function run(
  command: string,
  args: string[],
  env: Record<string, string> = {},
): Promise<{ success: boolean; stdout: string; stderr: string }> {
  const output = await outputOf(new Deno.Command(command, { args, env }));
  return {
    success: output?.success === true,
    stdout: new TextDecoder().decode(output?.stdout),
    stderr: new TextDecoder().decode(output?.stderr),
  };
}

const { success: hasPython } = await run("python3", ["-c", "from mcp import Client"]);
if (!hasPython) console.warn("SKIPPED: mcp of PyPI is missing");

Deno.test({
  name: "the Python client runs a module, repeats the run and reads an error",
  ignore: !hasPython,
  async fn() {
    await using temp = await tempDir();
    const args = [...prefix, "mcp", "--dir", HELLO];
    const env = JSON.stringify(environment(temp.path));
    const { success, stdout, stderr } = await run("python3", [
      "-c",
      SCRIPT,
      program!,
      ...args,
      env,
    ]);
    assertEquals(success, true, stderr);
    assertEquals(JSON.parse(stdout), {
      tools: ["run_module", "verify_receipt", "rerun"],
      stdout: "dlroW ,olleH",
      outcome: "reproduced",
      error: "policy",
    });
  },
});

Deno.test("run_python runs CPython with standard input, files and a traceback", async () => {
  await using temp = await tempDir();
  const python = await fetchPython(temp.path);
  if (python === undefined) {
    console.warn(`SKIPPED: npm cannot download ${PYTHON_PACKAGE}`);
    return;
  }
  const client = new Client({ name: "test", version: "1" });
  const args = ["mcp", "--python", python, "--python-env", "TZ=UTC"];
  const env = { PLASM_STATE_DIR: `${temp.path}/state` };
  await client.connect(new ChildTransport(spawnPlasm(args, { env })));
  const call = async (given: Record<string, unknown>) => {
    const options = { name: "run_python", arguments: { timeout_seconds: 300, ...given } };
    const { structuredContent } = await client.callTool(options, { timeout: 300_000 });
    return structuredContent as Record<string, string | number>;
  };
  const code = "import os, sys; print(sum(map(int, sys.stdin)), os.environ['TZ'], sys.argv[1:], " +
    "open('a.txt').read())";
  const inputs = [{ guest: "a.txt", text: "input" }];
  const { stdout, stderr } = await call({ code, stdin: "1\n2\n", args: ["x"], inputs });
  assertEquals({ stdout, stderr }, { stdout: "3 UTC ['x'] input\n", stderr: "" });
  const failed = await call({ code: "1 / 0", deterministic: true });
  assertEquals(failed.exit_code, 1);
  assertStringIncludes(String(failed.stderr), "ZeroDivisionError");
  await client.close();
});

Deno.test("the MCP inspector lists the tools and runs a module", async () => {
  await using temp = await tempDir();
  // It takes options of the server for its own, so that they are in a script.
  const words = [program!, ...prefix, "mcp", "--dir", HELLO].map((word) => `'${word}'`);
  const script = `${temp.path}/serve`;
  await Deno.writeTextFile(script, `#!/bin/sh\nexec ${words.join(" ")}\n`, { mode: 0o755 });
  const inspect = async (...args: string[]) => {
    const { success, stdout, stderr } = await run("npx", [
      ...["-y", "@modelcontextprotocol/inspector@2.12.0", "--cli", script, ...args],
    ], environment(temp.path));
    assertEquals(success, true, stderr);
    return JSON.parse(stdout);
  };
  const { tools } = await inspect("--method", "tools/list");
  const names = tools.map(({ name }: { name: string }) => name);
  assertEquals(names, ["run_module", "verify_receipt", "rerun"]);
  const { structuredContent } = await inspect(
    ...["--method", "tools/call", "--tool-name", "run_module"],
    ...["--tool-arg", "module=hello.wasm", "--tool-arg", "stdin=abc"],
  );
  assertEquals(structuredContent.stdout, "cba");
});
