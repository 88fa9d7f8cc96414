/**
 * Tests slow, disconnected, excessive and malformed API clients: each is answered or closed without delaying others.
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { connectDaemon } from "../../lib/client/mod.ts";
import { type Fixture, MODULE, MODULE_HASH, testDaemon } from "../fixtures/daemon/harness.ts";

const encoder = new TextEncoder();

/** Sends raw bytes and reads until the other side closes. */
async function raw(
  { daemon }: Fixture,
  head: string,
  options: { halfClose?: boolean; until?: string } = {},
): Promise<string> {
  using conn = await Deno.connect({ transport: "unix", path: daemon.socket });
  await conn.write(encoder.encode(head));
  if (options.halfClose) await conn.closeWrite();
  let text = "";
  const buffer = new Uint8Array(4096);
  try {
    for (let size = await conn.read(buffer); size !== null; size = await conn.read(buffer)) {
      text += new TextDecoder().decode(buffer.subarray(0, size));
      if (options.until !== undefined && text.includes(options.until)) break;
    }
  } catch { /* closed by the peer while sending */ }
  return text;
}

/** Polls until the figure has the expected value; limited by the test's timeout. */
async function untilMetric({ call }: Fixture, name: string, value: number): Promise<void> {
  while (true) {
    const { text } = await call("GET", "/metrics");
    if (text.includes(`\n${name} ${value}\n`)) return;
  }
}

const HASTY = { connectionLimits: { connections: 8, windowMs: 100, leastBytes: 1000 } };

Deno.test("the API closes connections with an endless head, without a request, and idle ones", async () => {
  await using fixture = await testDaemon(HASTY);
  const [slow, silent, idle] = await Promise.all([
    raw(fixture, "GET /health HTTP/1.1\r\nHo"),
    raw(fixture, ""),
    raw(fixture, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"),
  ]);
  assertEquals({ slow, silent }, { slow: "", silent: "" });
  assertStringIncludes(idle, "200 OK");
});

Deno.test("the API refuses connections over the limit and accepts new ones once others close", async () => {
  await using fixture = await testDaemon({ connectionLimits: { connections: 8 } });
  const connections: Deno.Conn[] = [];
  for (let n = 0; n < 8; n++) {
    const conn = await Deno.connect({ transport: "unix", path: fixture.daemon.socket });
    await conn.write(encoder.encode("GET /health HTTP/1.1\r\nHost: x\r\n\r\n"));
    // A connection counts once it has received a response.
    await conn.read(new Uint8Array(1000));
    connections.push(conn);
  }
  const response = await raw(fixture, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
  assertStringIncludes(response, "503 Service Unavailable");
  assertStringIncludes(response, '"code":"busy"');
  for (const conn of connections) conn.close();
  await untilMetric(fixture, "plasm_connections", 1);
});

/** Parts of requests; a client that disconnects behind one receives no response. */
const PARTS = [
  "GET /ver",
  "GET /version HTTP/1.1\r\n",
  "GET /version HTTP/1.1\r\nHost: x\r\n\r",
  "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{",
  `PUT /v1/modules/${MODULE_HASH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/wasm\r\n` +
  "Transfer-Encoding: chunked\r\n\r\n9\r\nabc",
  "POST /v1/pipe HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: plasm-pipe\r\n" +
  "Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{",
  "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
  "",
];

Deno.test("the API frees the slot of a client that disconnects within a request", async () => {
  await using fixture = await testDaemon({ connectionLimits: { connections: 4, pending: 4 } });
  for (const part of PARTS) {
    for (let n = 0; n < 20; n++) {
      const conn = await Deno.connect({ transport: "unix", path: fixture.daemon.socket });
      await conn.write(encoder.encode(part));
      conn.close();
    }
    await untilMetric(fixture, "plasm_connections", 1);
  }
});

Deno.test("the API frees the slot of a client that closes its sending side within a request", async () => {
  await using fixture = await testDaemon({ connectionLimits: { connections: 4, pending: 4 } });
  for (const part of PARTS) {
    // Resolves when the API has closed the connection.
    const response = await raw(fixture, part, { halfClose: true });
    assert(response === "" || /^HTTP\/1\.1 400 /.test(response), `${part}: ${response}`);
  }
  await untilMetric(fixture, "plasm_connections", 1);
});

Deno.test("the API serves authorized clients while others hold every pending slot", async () => {
  const origin = "https://good.example";
  await using fixture = await testDaemon({
    connectionLimits: { pending: 8, graceMs: 1 },
    config: { "api.tcp.listen": "127.0.0.1:0", "api.tcp.allowed_origins": [origin] },
  });
  const { port, token } = fixture.daemon.tcp!;
  const url = `http://127.0.0.1:${port}/version`;
  const headers = { authorization: `Bearer ${token}` };
  const head = `GET /version HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n`;
  await using resources = new AsyncDisposableStack();
  const connect = async (text: string): Promise<Deno.Conn> => {
    const conn = await Deno.connect({ hostname: "127.0.0.1", port });
    resources.defer(() => conn.close());
    await conn.write(encoder.encode(text));
    return conn;
  };
  // An authorized connection that idles.
  const idle = await connect(`${head}Authorization: Bearer ${token}\r\n\r\n`);
  const buffer = new Uint8Array(4096);
  await idle.read(buffer);

  const holders = [
    "",
    "GET /ver",
    head,
    `${head}Authorization: Bearer ${"0".repeat(64)}\r\n\r\n`,
    `OPTIONS /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nOrigin: ${origin}\r\n\r\n`,
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
  ];
  using client = Deno.createHttpClient({ poolMaxIdlePerHost: 0 });
  for (const text of holders) {
    for (let n = 0; n < 40; n++) await connect(text);
    const response = await fetch(url, { client, headers });
    assertEquals({ text, status: response.status }, { text, status: 200 });
    await response.body?.cancel();
    assertEquals((await fixture.call("GET", "/health")).status, 200);
  }
  await idle.write(encoder.encode(`${head}Authorization: Bearer ${token}\r\n\r\n`));
  const size = await idle.read(buffer);
  assertStringIncludes(new TextDecoder().decode(buffer.subarray(0, size ?? 0)), "200 OK");
  const { text } = await fixture.call("GET", "/metrics");
  const connections = Number(/^plasm_connections (\d+)$/m.exec(text)?.[1]);
  assert(connections <= 8 + 4, `${connections} connections are open`);
});

Deno.test("the API serves a burst of clients that exceeds the pending slots", async () => {
  const connectionLimits = { pending: 4, graceMs: 600_000 };
  await using fixture = await testDaemon({ connectionLimits });
  const head = "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  const responses = await Promise.all(Array.from({ length: 64 }, () => raw(fixture, head)));
  for (const response of responses) assertStringIncludes(response, "200 OK");
});

Deno.test("the API refuses a request behind a preflight without the token", async () => {
  await using fixture = await testDaemon({ config: { "api.tcp.listen": "127.0.0.1:0" } });
  const { port } = fixture.daemon.tcp!;
  using conn = await Deno.connect({ hostname: "127.0.0.1", port });
  const host = `Host: 127.0.0.1:${port}\r\n\r\n`;
  await conn.write(
    encoder.encode(`OPTIONS /version HTTP/1.1\r\n${host}GET /version HTTP/1.1\r\n${host}`),
  );
  const text = await new Response(conn.readable).text();
  assertEquals([...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status), ["204", "401"]);
});

Deno.test("the API answers a client that has closed its sending side", async () => {
  await using fixture = await testDaemon();
  const body = JSON.stringify({ manifest: { module_hash: MODULE_HASH } });
  await fixture.call("PUT", `/v1/modules/${MODULE_HASH}`, {
    body: MODULE,
    headers: { "content-type": "application/wasm" },
  });
  const head = "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" +
    `Content-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`;
  assertStringIncludes(await raw(fixture, head, { halfClose: true }), "201 Created");
});

Deno.test("the API discards a request body that ends early", async () => {
  await using fixture = await testDaemon({ config: { "api.idle_timeout_seconds": 0.1 } });
  const head = `PUT /v1/modules/${MODULE_HASH} HTTP/1.1\r\nHost: x\r\n` +
    "Content-Type: application/wasm\r\nContent-Length: 100\r\n\r\nabc";
  await raw(fixture, head, { halfClose: true });
  await untilMetric(fixture, "plasm_connections", 1);
  const files = () => [...Deno.readDirSync(`${fixture.dir}/state/blobs`)];
  // The file is deleted when the connection has closed.
  for (let polls = 0; files().length > 0 && polls < 1000; polls++) {
    await fixture.call("GET", "/health");
  }
  assertEquals(files(), []);
  assertEquals((await fixture.call("HEAD", `/v1/modules/${MODULE_HASH}`)).status, 404);
});

Deno.test("the API answers 408 to a body that is too slow overall", async () => {
  await using fixture = await testDaemon({ config: { "api.idle_timeout_seconds": 0.1 } });
  let timer: ReturnType<typeof setInterval> | undefined;
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => {
      timer = setInterval(() => controller.enqueue(new Uint8Array(1)), 10);
    },
    cancel: () => clearInterval(timer),
  });
  try {
    const { status } = await fixture.call("PUT", `/v1/modules/${MODULE_HASH}`, {
      body,
      headers: { "content-type": "application/wasm" },
    });
    assertEquals(status, 408);
  } finally {
    clearInterval(timer);
  }
});

Deno.test("the API answers 408 to a small body that does not arrive", async () => {
  await using fixture = await testDaemon({ config: { "api.idle_timeout_seconds": 0.1 } });
  const head = "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" +
    "Content-Length: 100\r\nConnection: close\r\n\r\n{";
  const response = await raw(fixture, head, { until: "within 100 ms" });
  assertStringIncludes(response, "408 Request Timeout");
  assertStringIncludes(response, "body of 100 bytes did not arrive within 100 ms");
});

Deno.test("the API survives a small body that ends early", async () => {
  await using fixture = await testDaemon({ config: { "api.idle_timeout_seconds": 0.1 } });
  const head = "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" +
    "Content-Length: 100\r\nConnection: close\r\n\r\n{";
  await raw(fixture, head, { halfClose: true });
  await untilMetric(fixture, "plasm_connections", 1);
  assertEquals((await fixture.call("GET", "/v1/jobs")).status, 200);
});

Deno.test("the API answers or closes malformed requests and keeps serving", async () => {
  await using fixture = await testDaemon(HASTY);
  const heads = [
    "\r\n\r\n",
    "NONSENSE\r\n\r\n",
    "GET / HTTP/9.9\r\n\r\n",
    "GET /v1/jobs/%FF%FE HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "GET /v1/jobs/..%2f..%2fetc HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    `GET / HTTP/1.1\r\nHost: x\r\nX: ${"A".repeat(200_000)}\r\n\r\n`,
    "\u0000\u0001\u0002\u0016\u0003\u0001",
  ];
  for (const head of heads) {
    const response = await raw(fixture, head, { halfClose: true });
    assert(response === "" || /^HTTP\/1\.[01] 4\d\d /.test(response), response.slice(0, 200));
  }
  assertEquals((await fixture.call("GET", "/health")).status, 200);
});

Deno.test("the API closes event streams of clients that disconnect", async () => {
  await using fixture = await testDaemon();
  const { daemon, submit, sandbox } = fixture;
  const id = await submit(["block", "x"]);
  await sandbox.untilStarted(1);
  for (let n = 0; n < 10; n++) {
    using client = connectDaemon({ socket: daemon.socket });
    const controller = new AbortController();
    const events = client.events(id, { signal: controller.signal })[Symbol.asyncIterator]();
    await events.next();
    controller.abort();
    await events.next().then(() => {}, () => {});
  }
  await untilMetric(fixture, "plasm_event_streams", 0);
  sandbox.release("x");
  assertEquals((await fixture.over(id))["status"], "exited");
});

Deno.test("the API closes the connection of a stalled reader while the job continues", async () => {
  await using fixture = await testDaemon({ connectionLimits: { windowMs: 200 } });
  const { daemon, submit, over, call } = fixture;
  const id = await submit(["write", "3000000"]);
  using conn = await Deno.connect({ transport: "unix", path: daemon.socket });
  await conn.write(encoder.encode(`GET /v1/jobs/${id}/events HTTP/1.1\r\nHost: x\r\n\r\n`));
  assertEquals((await over(id))["status"], "exited");
  await untilMetric(fixture, "plasm_event_streams", 0);
  assertEquals((await call("GET", `/v1/jobs/${id}/stdout`)).bytes.length, 3_000_000);
});

Deno.test("the API sends an archive of output files at the reader's pace, and closes a stalled one", async () => {
  await using fixture = await testDaemon({ connectionLimits: { windowMs: 200 } });
  const { daemon, submit, over } = fixture;
  const id = await submit(["files", "3000000"], { manifest: { outputs: ["out/"] } });
  assertEquals((await over(id))["status"], "exited");
  const head = `GET /v1/jobs/${id}/outputs.tar HTTP/1.1\r\nHost: x\r\n\r\n`;
  const stalled = await Deno.connect({ transport: "unix", path: daemon.socket });
  await stalled.write(encoder.encode(head));
  await untilMetric(fixture, "plasm_connections", 2);
  await untilMetric(fixture, "plasm_connections", 1);
  stalled.close();
  assertStringIncludes(await raw(fixture, head), "content-length: 3001856\r\n");
  const other = head.replace(id, id.replace(/.$/, (last) => last === "0" ? "1" : "0"));
  assertStringIncludes(await raw(fixture, other), "404 Not Found");
  // Only the first request of a connection ends it.
  const second = `GET /version HTTP/1.1\r\nHost: x\r\n\r\n${head}`;
  assertStringIncludes(await raw(fixture, second, { halfClose: true }), "ustar");
});

Deno.test("the API accepts submissions up to the queue limit and sends Retry-After to the rest of 10,000", async () => {
  await using fixture = await testDaemon({ config: { "jobs.queue_max": 500 } });
  const { submit, sandbox, call, daemon } = fixture;
  for (let n = 0; n < 2; n++) await submit(["block", "x"]);
  await sandbox.untilStarted(2);
  using client = Deno.createHttpClient({ proxy: { transport: "unix", path: daemon.socket } });
  const json = JSON.stringify({ manifest: { module_hash: MODULE_HASH, args: ["echo"] } });
  const statuses: Record<number, number> = {};
  let left = 10_000;
  const submitter = async (): Promise<void> => {
    while (left-- > 0) {
      const response = await fetch("http://localhost/v1/jobs", {
        client,
        method: "POST",
        body: json,
        headers: { "content-type": "application/json" },
      });
      await response.body?.cancel();
      statuses[response.status] = (statuses[response.status] ?? 0) + 1;
      assert(response.status === 201 || response.headers.has("retry-after"));
    }
  };
  const flood = Promise.all(Array.from({ length: 200 }, submitter));
  // Other clients are served meanwhile.
  assertEquals((await call("GET", "/health")).status, 200);
  await flood;
  assertEquals(statuses, { 201: 500, 503: 9500 });
  const { json: node } = await call("GET", "/v1/node");
  assertEquals((node["load"] as Record<string, unknown>)["queued"], 500);
});
