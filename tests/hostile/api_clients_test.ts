/**
 * Clients that are slow, gone, greedy or foreign: each gets its answer, and others are not held up.
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { connectDaemon } from "../../lib/client/mod.ts";
import { type Fixture, MODULE, MODULE_HASH, withDaemon } from "../fixtures/daemon/harness.ts";

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
  } catch { /* closed by the other side while bytes were under way */ }
  return text;
}

/** Asks until the figure is what is expected; the test's time is the limit. */
async function untilMetric({ call }: Fixture, name: string, value: number): Promise<void> {
  while (true) {
    const { text } = await call("GET", "/metrics");
    if (text.includes(`\n${name} ${value}\n`)) return;
  }
}

const HASTY = { connectionLimits: { connections: 8, windowMs: 100, leastBytes: 1000 } };

Deno.test("a head that never ends, a silent and an idle connection are closed", () =>
  withDaemon(async (fixture) => {
    const [slow, silent, idle] = await Promise.all([
      raw(fixture, "GET /health HTTP/1.1\r\nHo"),
      raw(fixture, ""),
      raw(fixture, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"),
    ]);
    assertEquals([slow, silent], ["", ""]);
    assertStringIncludes(idle, "200 OK");
  }, HASTY));

Deno.test("a connection over the limit is told so, and there is room again afterwards", () =>
  withDaemon(async (fixture) => {
    const held: Deno.Conn[] = [];
    for (let n = 0; n < 8; n++) {
      const conn = await Deno.connect({ transport: "unix", path: fixture.daemon.socket });
      await conn.write(encoder.encode("GET /health HTTP/1.1\r\nHost: x\r\n\r\n"));
      // Once it has an answer it counts.
      await conn.read(new Uint8Array(1000));
      held.push(conn);
    }
    const answer = await raw(fixture, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
    assertStringIncludes(answer, "503 Service Unavailable");
    assertStringIncludes(answer, '"code":"busy"');
    for (const conn of held) conn.close();
    await untilMetric(fixture, "plasm_connections", 1);
  }, { connectionLimits: { connections: 8 } }));

Deno.test("a client that has closed its sending side gets its answer", () =>
  withDaemon(async (fixture) => {
    const body = JSON.stringify({ manifest: { module_hash: MODULE_HASH } });
    await fixture.call("PUT", `/v1/modules/${MODULE_HASH}`, {
      body: MODULE,
      headers: { "content-type": "application/wasm" },
    });
    const head = "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" +
      `Content-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`;
    assertStringIncludes(await raw(fixture, head, { halfClose: true }), "201 Created");
  }));

Deno.test("a body that breaks off leaves nothing behind", () =>
  withDaemon(async (fixture) => {
    const head = `PUT /v1/modules/${MODULE_HASH} HTTP/1.1\r\nHost: x\r\n` +
      "Content-Type: application/wasm\r\nContent-Length: 100\r\n\r\nabc";
    await raw(fixture, head, { halfClose: true });
    await untilMetric(fixture, "plasm_connections", 1);
    assertEquals([...Deno.readDirSync(`${fixture.dir}/state/blobs`)], []);
    assertEquals((await fixture.call("HEAD", `/v1/modules/${MODULE_HASH}`)).status, 404);
  }, { config: { "api.idle_timeout_seconds": 0.1 } }));

Deno.test("a body that trickles is answered 408 although it never pauses long", () =>
  withDaemon(async (fixture) => {
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
  }, { config: { "api.idle_timeout_seconds": 0.1 } }));

Deno.test("a small body that stays away is answered 408", () =>
  withDaemon(async (fixture) => {
    const head = "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" +
      "Content-Length: 100\r\nConnection: close\r\n\r\n{";
    const answer = await raw(fixture, head, { until: "within 100 ms" });
    assertStringIncludes(answer, "408 Request Timeout");
    assertStringIncludes(answer, "its 100 bytes did not come within 100 ms");
  }, { config: { "api.idle_timeout_seconds": 0.1 } }));

Deno.test("a small body that breaks off ends its request only", () =>
  withDaemon(async (fixture) => {
    const head = "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" +
      "Content-Length: 100\r\nConnection: close\r\n\r\n{";
    await raw(fixture, head, { halfClose: true });
    await untilMetric(fixture, "plasm_connections", 1);
    assertEquals((await fixture.call("GET", "/v1/jobs")).status, 200);
  }, { config: { "api.idle_timeout_seconds": 0.1 } }));

Deno.test("malformed requests are answered or closed, and the daemon goes on", () =>
  withDaemon(async (fixture) => {
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
      const answer = await raw(fixture, head, { halfClose: true });
      assert(answer === "" || /^HTTP\/1\.[01] 4\d\d /.test(answer), answer.slice(0, 200));
    }
    assertEquals((await fixture.call("GET", "/health")).status, 200);
  }, HASTY));

Deno.test("clients that disappear in the middle of a stream leave no stream behind", () =>
  withDaemon(async (fixture) => {
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
  }));

Deno.test("a reader that stops reading is closed, and the job runs on", () =>
  withDaemon(async (fixture) => {
    const { daemon, submit, over, call } = fixture;
    const id = await submit(["write", "3000000"]);
    using conn = await Deno.connect({ transport: "unix", path: daemon.socket });
    await conn.write(encoder.encode(`GET /v1/jobs/${id}/events HTTP/1.1\r\nHost: x\r\n\r\n`));
    assertEquals((await over(id))["status"], "exited");
    await untilMetric(fixture, "plasm_event_streams", 0);
    assertEquals((await call("GET", `/v1/jobs/${id}/stdout`)).bytes.length, 3_000_000);
  }, { connectionLimits: { windowMs: 200 } }));

Deno.test("10,000 submissions: what there is room for is taken, the rest is told when to come back", () =>
  withDaemon(async (fixture) => {
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
    // Somebody else is answered meanwhile.
    assertEquals((await call("GET", "/health")).status, 200);
    await flood;
    assertEquals(statuses, { 201: 500, 503: 9500 });
    const { json: node } = await call("GET", "/v1/node");
    assertEquals((node["load"] as Record<string, unknown>)["queued"], 500);
  }, { config: { "jobs.queue_max": 500 } }));
