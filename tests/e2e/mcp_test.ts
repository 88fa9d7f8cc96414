/**
 * Runs `plasm mcp` with the official SDK's client: tools, resources, errors, limits and cancellation.
 *
 * @module
 */
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { sha256 } from "../../mod.ts";
import { fileGuest } from "../fixtures/file_guest.ts";
import { ChildTransport } from "../fixtures/mcp_transport.ts";
import { LIBP2P } from "../fixtures/p2p/nodes.ts";
import { realNode } from "../fixtures/remote/real_node.ts";
import { spawnPlasm } from "../fixtures/plasm.ts";
import { command, SPIN, write } from "../fixtures/sandbox_jobs.ts";
import { tempDir } from "../fixtures/temp_dir.ts";

const HELLO = new URL("../../examples/hello/", import.meta.url).pathname;

interface Served extends AsyncDisposable {
  client: Client;
  /** Calls a tool and returns what a model sees of the result. */
  call(name: string, given: Record<string, unknown>): Promise<Called>;
}

/** Fields of the tools' results; each has some of them. */
interface Content {
  job_id: string;
  status: string;
  exit_code: number;
  stdout: string;
  stdout_bytes: number;
  stdout_base64: string;
  stderr: string;
  truncated: boolean;
  outputs: { path: string; uri: string }[];
  nondeterminism: string[];
  manifest: unknown;
  peer_id: string;
  valid: boolean;
  reason: string;
  outcome: string;
  nodes: unknown[];
  error: { code: string; message: string; hint: string; details: { asked?: number } };
}

interface Called {
  isError: boolean;
  content: Content;
  meta: Record<string, unknown>;
}

function connected(client: Client): Served {
  return {
    client,
    async call(name, given) {
      const result = await client.callTool({ name, arguments: given });
      const { structuredContent, isError = false, _meta: meta = {} } = result;
      const [first] = result.content;
      assertEquals(JSON.parse(first?.type === "text" ? first.text : ""), structuredContent);
      return { isError, content: structuredContent as unknown as Content, meta };
    },
    [Symbol.asyncDispose]: () => client.close(),
  };
}

/** A module cache of the test's own; Deno's stays where it is. */
function cacheIn(dir: string): Record<string, string> {
  const { HOME = "/root", DENO_DIR = `${HOME}/.cache/deno` } = Deno.env.toObject();
  return { XDG_CACHE_HOME: `${dir}/cache`, DENO_DIR };
}

/** Starts the server for a client that speaks over its standard input and output. */
async function serve(dir: string, ...args: string[]): Promise<Served> {
  const client = new Client({ name: "test", version: "1" });
  const env = { PLASM_STATE_DIR: `${dir}/state`, ...cacheIn(dir) };
  await client.connect(new ChildTransport(spawnPlasm(["mcp", ...args], { env })));
  return connected(client);
}

Deno.test("plasm mcp runs a module, and its receipt is verified and reproduced", async () => {
  await using temp = await tempDir();
  await using served = await serve(temp.path, "--dir", HELLO);
  const { tools } = await served.client.listTools();
  assertEquals(tools.map(({ name }) => name), ["run_module", "verify_receipt", "rerun"]);
  const job = { module: "hello.wasm", stdin: "Hello, World" };
  const run = await served.call("run_module", job);
  assertEquals(run.isError, false);
  const { status, exit_code, stdout, stderr, truncated, nondeterminism, manifest } = run.content;
  assertEquals({ status, exit_code, stdout, stderr, truncated, nondeterminism }, {
    status: "exited",
    exit_code: 0,
    stdout: "dlroW ,olleH",
    stderr: "",
    truncated: false,
    nondeterminism: [],
  });
  const receipt = run.meta["plasm/receipt"];
  const verified = await served.call("verify_receipt", { receipt, manifest, stdout, ...job });
  assertEquals(verified.content.valid, true);
  const other = await served.call("verify_receipt", { receipt, stdout: "Hello" });
  assertEquals(other.content.valid, false);
  assertStringIncludes(other.content.reason, "stdout");
  const again = await served.call("rerun", { receipt, manifest, ...job });
  assertEquals(again.content.outcome, "reproduced");
});

Deno.test("plasm mcp passes arguments and inputs, and returns output files as resources", async () => {
  await using temp = await tempDir();
  const module = await fileGuest([
    { mkdir: "out" },
    { write: "out/b.txt", text: "from the job" },
  ]);
  await Deno.writeFile(`${temp.path}/files.wasm`, module);
  await Deno.mkdir(`${temp.path}/tree`);
  await Deno.writeTextFile(`${temp.path}/tree/a.txt`, "from the machine");
  await using served = await serve(temp.path, "--dir", temp.path);
  const { content } = await served.call("run_module", {
    module: "files.wasm",
    inputs: [{ guest: "data", path: "tree" }, { guest: "data/c.bin", base64: "/w==" }],
    outputs: ["data/", "out/"],
    deterministic: true,
  });
  assertEquals(content.status, "exited", JSON.stringify(content));
  const paths = content.outputs.map(({ path }) => path);
  assertEquals(paths, ["data/a.txt", "data/c.bin", "out/b.txt"]);
  const uris = content.outputs.map(({ uri }) => uri);
  const [a = "", c = "", b = ""] = uris;
  const { resources } = await served.client.listResources();
  const listed = resources.map(({ uri }) => uri);
  assertEquals(uris.filter((uri) => !listed.includes(uri)), []);
  const read = async (uri: string) => (await served.client.readResource({ uri })).contents;
  const text = { mimeType: "text/plain" };
  assertEquals(await read(a), [{ uri: a, ...text, text: "from the machine" }]);
  assertEquals(await read(c), [
    { uri: c, mimeType: "application/octet-stream", blob: "/w==" },
  ]);
  assertEquals(await read(b), [{ uri: b, ...text, text: "from the job" }]);
  await assertRejects(() => served.client.readResource({ uri: "plasm://jobs/none/stdout" }));
});

Deno.test("plasm mcp reads nothing that the command line does not name", async () => {
  await using temp = await tempDir();
  const served = `${temp.path}/served`;
  await Deno.mkdir(served);
  await Deno.copyFile(`${HELLO}hello.wasm`, `${temp.path}/outside.wasm`);
  await Deno.symlink("../outside.wasm", `${served}/link.wasm`);
  await Deno.symlink("..", `${served}/up`);
  await Deno.copyFile(`${HELLO}hello.wasm`, `${served}/hello.wasm`);
  await using agent = await serve(temp.path, "--dir", served);
  const run = async (given: Record<string, unknown>) => {
    const { isError, content } = await agent.call("run_module", { module: "hello.wasm", ...given });
    assertEquals(isError, true, JSON.stringify(content));
    return content.error;
  };
  const modules = [
    ...["../outside.wasm", "link.wasm", "up/outside.wasm", `${temp.path}/outside.wasm`],
    ...["/etc/passwd", "none.wasm", "a\0b"],
  ];
  for (const module of modules) {
    const { code, hint } = await run({ module });
    assertEquals({ module, code }, {
      module,
      code: module.includes("\0") ? "bad-input" : "policy",
    });
    if (code === "policy") assertStringIncludes(hint, served);
  }
  for (const path of ["../outside.wasm", "up", "/etc"]) {
    assertEquals((await run({ inputs: [{ guest: "x", path }] })).code, "policy");
  }
  for (const module of ["https://example.com/x.wasm", "oci://example.com/x:1"]) {
    const { code, message, hint } = await run({ module });
    assertEquals(code, "policy");
    assertStringIncludes(message, "no host is allowed");
    assertStringIncludes(hint, "--host");
  }
  assertEquals((await run({ module: "-" })).code, "usage");
  assertEquals((await run({ module: `sha256:${"0".repeat(64)}` })).code, "not-found");
});

Deno.test("plasm mcp fetches modules from the hosts of its command line, wherever they redirect", async () => {
  await using temp = await tempDir();
  const hello = await Deno.readFile(`${HELLO}hello.wasm`);
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    const { pathname, port } = new URL(request.url);
    const location = `http://localhost:${port}/hello.wasm`;
    if (pathname === "/elsewhere") {
      return new Response(null, { status: 302, headers: { location } });
    }
    return new Response(hello);
  });
  const { port } = server.addr;
  await using agent = await serve(temp.path, "--host", "127.0.0.1");
  const run = (module: string) => agent.call("run_module", { module, stdin: "abc" });
  const pin = `#${(await sha256(hello)).replace(":", "=")}`;
  assertEquals((await run(`http://127.0.0.1:${port}/hello.wasm${pin}`)).content.stdout, "cba");
  for (const url of [`http://localhost:${port}/other`, `http://127.0.0.1:${port}/elsewhere`]) {
    const { content } = await run(url);
    assertEquals(content.error?.code, "policy", JSON.stringify(content));
  }
});

Deno.test("plasm mcp returns errors with code, hint and figures", async () => {
  await using temp = await tempDir();
  await Deno.writeTextFile(`${temp.path}/text.wasm`, "(module)");
  await Deno.copyFile(`${HELLO}hello.wasm`, `${temp.path}/hello.wasm`);
  await using served = await serve(temp.path, "--dir", temp.path);
  const errorOf = async (given: Record<string, unknown>) => {
    const { isError, content } = await served.call("run_module", {
      module: "hello.wasm",
      ...given,
    });
    assertEquals(isError, true, JSON.stringify(content));
    return content.error;
  };
  const limit = await errorOf({ memory_mb: 65_536 });
  assertEquals(limit.code, "over-limit");
  assertEquals(limit.details.asked, 65_536);
  assertEquals((await errorOf({ module: "text.wasm" })).code, "bad-module");
  assertEquals((await errorOf({ stdin: "a", stdin_base64: "YQ==" })).code, "usage");
  assertEquals((await errorOf({ stdin_base64: "?" })).code, "bad-input");
  assertEquals((await errorOf({ seed: "0".repeat(64) })).code, "usage");
  const twice = [{ guest: "a", text: "1" }, { guest: "a", text: "2" }];
  assertEquals((await errorOf({ inputs: twice })).code, "bad-input");
  // Arguments that the schema does not allow are refused by the SDK, as text.
  for (const given of [{}, { module: "hello.wasm", unknown: 1 }, { module: 1 }]) {
    const { isError } = await served.client.callTool({ name: "run_module", arguments: given });
    assertEquals(isError, true);
  }
});

Deno.test("plasm mcp cuts long output, and keeps all of it as a resource", async () => {
  await using temp = await tempDir();
  const module = await command(`(memory.fill (i32.const 1024) (i32.const 97) (i32.const 50000))
    ${write(1, 50_000)} ${write(2, 100)}`);
  await Deno.writeFile(`${temp.path}/long.wasm`, module);
  // Bytes that are no UTF-8.
  const raw = await command(`(i32.store (i32.const 1024) (i32.const -1)) ${write(1, 4)}`);
  await Deno.writeFile(`${temp.path}/raw.wasm`, raw);
  await using served = await serve(temp.path, "--dir", temp.path);
  const { content } = await served.call("run_module", { module: "long.wasm" });
  const { stdout, stdout_bytes, stderr, truncated, job_id } = content;
  assertEquals({ length: stdout.length, stdout_bytes, stderr, truncated }, {
    length: 32_768,
    stdout_bytes: 50_000,
    stderr: "a".repeat(100),
    truncated: true,
  });
  const { contents } = await served.client.readResource({ uri: `plasm://jobs/${job_id}/stdout` });
  const [first] = contents;
  assertEquals(first !== undefined && "text" in first ? first.text.length : 0, 50_000);
  const bytes = (await served.call("run_module", { module: "raw.wasm" })).content;
  assertEquals({ stdout: bytes.stdout, base64: bytes.stdout_base64 }, {
    stdout: "",
    base64: "/////w==",
  });
});

Deno.test("plasm mcp stops a job that the client cancels, and serves the next", async () => {
  await using temp = await tempDir();
  await Deno.writeFile(`${temp.path}/spin.wasm`, await command(SPIN));
  await Deno.copyFile(`${HELLO}hello.wasm`, `${temp.path}/hello.wasm`);
  await using served = await serve(temp.path, "--dir", temp.path);
  const cancelled = new AbortController();
  const spins = Array.from(
    { length: navigator.hardwareConcurrency },
    () =>
      served.client.callTool({ name: "run_module", arguments: { module: "spin.wasm" } }, {
        signal: cancelled.signal,
        // A report shows that the job runs.
        onprogress: () => cancelled.abort(),
      }),
  );
  await Promise.all(spins.map((spin) => assertRejects(() => spin)));
  const { content } = await served.call("run_module", { module: "hello.wasm", stdin: "ab" });
  assertEquals(content.stdout, "ba");
});

Deno.test("plasm mcp --http serves with its token only, and no foreign page", async () => {
  await using temp = await tempDir();
  const token = "0123456789abcdef0123456789abcdef";
  await Deno.writeTextFile(`${temp.path}/token`, `${token}\n`, { mode: 0o600 });
  const child = spawnPlasm([
    ...["mcp", "--json", "--dir", HELLO, "--http", "0", "--token-file", `${temp.path}/token`],
  ], { env: { PLASM_STATE_DIR: `${temp.path}/state` } });
  await child.stdin.close();
  const stderr = new Response(child.stderr).text();
  try {
    const lines = child.stdout.pipeThrough(new TextDecoderStream());
    let text = "";
    for await (const part of lines) {
      text += part;
      if (text.includes("\n")) break;
    }
    const { url } = JSON.parse(text);
    const client = new Client({ name: "test", version: "1" });
    const headers = { authorization: `Bearer ${token}` };
    await client.connect(
      new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }),
    );
    const served = connected(client);
    const { content } = await served.call("run_module", { module: "hello.wasm", stdin: "abc" });
    assertEquals(content.stdout, "cba");
    await client.close();
    const status = async (headers: Record<string, string>, path = ""): Promise<number> => {
      const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/list" });
      const type = { "content-type": "application/json", accept: "application/json" };
      const init = { method: "POST", body, headers: { ...type, ...headers } };
      const response = await fetch(`${url}${path}`, init);
      await response.body?.cancel();
      return response.status;
    };
    assertEquals(await status({}), 401);
    assertEquals(await status({ authorization: `Bearer ${token}x` }), 401);
    assertEquals(await status({ ...headers, origin: "https://example.com" }), 403);
    assertEquals(await foreignHost(Number(new URL(url).port), token), "HTTP/1.1 403 Forbidden");
    assertEquals(await status(headers, "/other"), 404);
  } finally {
    child.kill("SIGTERM");
  }
  const { code } = await child.status;
  assertEquals({ code, stderr: await stderr }, { code: 0, stderr: "" });
});

Deno.test("plasm mcp --remote runs a module on another node, and finds nodes", LIBP2P, async () => {
  await using node = await realNode();
  const { bootstrap, dir, daemon } = node;
  const flags = ["--remote", "--bootstrap", bootstrap[0]!, "--socket", daemon.socket];
  await using served = await serve(dir, "--dir", HELLO, ...flags);
  const { tools } = await served.client.listTools();
  assertEquals(tools.map(({ name }) => name), [
    ...["run_module", "run_remote", "verify_receipt", "rerun", "find_nodes"],
  ]);
  const job = { module: "hello.wasm", stdin: "Hello, World" };
  const { content, meta } = await served.call("run_remote", job);
  const { stdout, peer_id, manifest } = content;
  assertEquals({ stdout, peer_id }, { stdout: "dlroW ,olleH", peer_id: daemon.identity.peerId });
  const receipt = meta["plasm/receipt"];
  const again = await served.call("rerun", { receipt, manifest, ...job });
  assertEquals(again.content.outcome, "reproduced");
  const refused = await served.call("run_remote", { ...job, peer: "12D3KooW" });
  assertEquals(refused.content.error.code, "usage");
  const alone = await served.call("run_remote", { ...job, peer: peer_id, agree: 2 });
  assertEquals(alone.content.error.code, "usage");
  // The only other node is the daemon itself.
  const found = await served.call("find_nodes", { timeout_seconds: 1 });
  assertEquals(found.content.nodes, []);
  await using other = await realNode({ "network.bootstrap": bootstrap });
  const { content: search } = await served.call("find_nodes", { limit: 1 });
  const [first, ...more] = search.nodes as { peer_id: string }[];
  assertEquals({ peer: first?.peer_id, more }, { peer: other.daemon.identity.peerId, more: [] });
});

/** First line of the response to a request that names another host, which fetch does not send. */
async function foreignHost(port: number, token: string): Promise<string> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port });
  const head = ["GET /mcp HTTP/1.1", "host: example.com", `authorization: Bearer ${token}`];
  const request = [...head, "connection: close", "", ""].join("\r\n");
  await connection.write(new TextEncoder().encode(request));
  const response = new Uint8Array(1024);
  const count = await connection.read(response) ?? 0;
  return new TextDecoder().decode(response.subarray(0, count)).split("\r\n")[0]!;
}
