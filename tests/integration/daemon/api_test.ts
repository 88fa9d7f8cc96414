import { assert, assertEquals } from "@std/assert";
import { EMPTY_HASH, sha256 } from "../../../lib/core/hash.ts";
import { createJobId } from "../../../lib/core/ids.ts";
import { type Fixture, MODULE, MODULE_HASH, withDaemon } from "../../fixtures/daemon/harness.ts";
import { rawCall, type RawCallOptions } from "../../fixtures/daemon/raw_call.ts";
import {
  type Answer,
  checkedFetch,
  documentedAnswers,
  templateOf,
} from "../../fixtures/daemon/openapi_check.ts";

const OTHER_HASH = `sha256:${"a".repeat(64)}`;
const OCTETS = { "content-type": "application/octet-stream" };

/** A body whose end never comes. */
function stalled(): ReadableStream<Uint8Array> {
  return new ReadableStream({ start: (controller) => controller.enqueue(new Uint8Array(3)) });
}

type Case = (fixture: Fixture) => Promise<Answer>;

function blobCases(path: string): [string, Case][] {
  const route = `/v1/${path}/{hash}`;
  const at = (hash: string): string => `/v1/${path}/${hash}`;
  const put = (hash: string, body: BodyInit, headers = OCTETS): Case => ({ call }) =>
    call("PUT", at(hash), { body, headers });
  const kept = (method: string): Case => async (fixture) => {
    await put(MODULE_HASH, MODULE)(fixture);
    return await fixture.call(method, at(MODULE_HASH));
  };
  return [
    [`PUT ${route} 201`, put(MODULE_HASH, MODULE)],
    [`PUT ${route} 200`, async (fixture) => {
      await put(MODULE_HASH, MODULE)(fixture);
      return await put(MODULE_HASH, MODULE)(fixture);
    }],
    [`PUT ${route} 400`, put("sha256:ABC", MODULE)],
    [`PUT ${route} 408`, put(MODULE_HASH, stalled())],
    [`PUT ${route} 413`, put(MODULE_HASH, new Uint8Array(5000))],
    [`PUT ${route} 415`, put(MODULE_HASH, "x", { "content-type": "text/html" })],
    [`PUT ${route} 422`, put(OTHER_HASH, MODULE)],
    [`PUT ${route} 503`, async ({ call, submit }) => {
      // A waiting job holds an input that leaves no room for another.
      const data = new Uint8Array(3000);
      const hash = await sha256(data);
      await call("PUT", `/v1/inputs/${hash}`, { body: data, headers: OCTETS });
      await submit(["block", "x"], { manifest: { stdin_hash: hash } });
      const more = new Uint8Array(3000).fill(1);
      return await call("PUT", at(await sha256(more)), { body: more, headers: OCTETS });
    }],
    [`GET ${route} 200`, kept("GET")],
    [`GET ${route} 400`, ({ call }) => call("GET", at("nothing"))],
    [`GET ${route} 404`, ({ call }) => call("GET", at(OTHER_HASH))],
    [`HEAD ${route} 200`, kept("HEAD")],
    [`HEAD ${route} 400`, ({ call }) => call("HEAD", at("nothing"))],
    [`HEAD ${route} 404`, ({ call }) => call("HEAD", at(OTHER_HASH))],
  ];
}

function post(path: string, json: unknown): Case {
  return ({ call }) => call("POST", path, { json });
}

function ofJob(method: string, rest: string, args = ["echo"]): Case {
  return async ({ call, submit, over }) => {
    const id = await submit(args);
    if (args[0] !== "block") await over(id);
    return await call(method, `/v1/jobs/${id}${rest}`);
  };
}

function ofNone(method: string, rest: string): Case {
  return ({ call }) => call(method, `/v1/jobs/${createJobId()}${rest}`);
}

const MANIFEST = { module_hash: MODULE_HASH, args: ["echo"] };

/** What every way to submit a job refuses. */
function submissionCases(path: string): [string, Case][] {
  return [
    [`POST ${path} 400`, post(path, { manifest: MANIFEST, surprise: 1 })],
    [`POST ${path} 403`, async ({ call, submit }) => {
      await submit(["echo"]);
      const json = { manifest: { ...MANIFEST, capabilities: ["gpu"] } };
      return await call("POST", path, { json });
    }],
    [`POST ${path} 404`, post(path, { manifest: { module_hash: OTHER_HASH } })],
    [`POST ${path} 408`, ({ call }) =>
      call("POST", path, {
        body: stalled(),
        headers: { "content-type": "application/json" },
      })],
    [`POST ${path} 413`, post(path, { manifest: MANIFEST, stdin: "A".repeat(80_000) })],
    [
      `POST ${path} 415`,
      ({ call }) => call("POST", path, { body: "{}", headers: { "content-type": "text/plain" } }),
    ],
    [`POST ${path} 422`, post(path, { manifest: { ...MANIFEST, surprise: 1 } })],
    [`POST ${path} 503`, async ({ call, submit, sandbox }) => {
      for (let n = 0; n < 2; n++) await submit(["block", "x"]);
      await sandbox.untilStarted(2);
      for (let n = 0; n < 4; n++) await submit(["echo"]);
      return await call("POST", path, { json: { manifest: MANIFEST } });
    }],
  ];
}

function pipe(options: RawCallOptions): Case {
  return ({ config }) => rawCall(config.socket!, ["POST", "/v1/pipe"], options);
}

/** Puts the module there, then pipes. */
function pipeKnown(options: RawCallOptions): Case {
  return async (fixture) => {
    await fixture.submit(["echo"]);
    return await pipe(options)(fixture);
  };
}

/** Each is refused in the way that its manifest, or what is around it, deserves. */
const PIPE_CASES: [string, Case][] = [
  ["POST /v1/pipe 101", pipeKnown({ json: { manifest: MANIFEST } })],
  ["POST /v1/pipe 400", async (fixture) => {
    const answers = [
      await pipe({ json: { manifest: MANIFEST, surprise: 1 } })(fixture),
      await pipe({ json: { manifest: MANIFEST, stdin: "aGk=" } })(fixture),
      await pipe({ json: { manifest: MANIFEST, target: {} } })(fixture),
      await pipe({ json: { manifest: { ...MANIFEST, stdin_hash: OTHER_HASH } } })(fixture),
      await pipe({ json: {}, headers: { "transfer-encoding": "chunked" } })(fixture),
      await pipe({ json: {}, headers: { "content-length": "many" } })(fixture),
      await pipe({ json: {}, headers: { "upgrade": "h2c" } })(fixture),
      await pipe({ json: {}, headers: { "connection": "keep-alive" } })(fixture),
      await pipe({ json: {}, headers: { "x y": "not a name" } })(fixture),
      // Not the first request of its connection, or the first: either way no upgrade.
      await fixture.call("POST", "/v1/pipe", { json: { manifest: MANIFEST } }),
      await fixture.call("POST", "/v1/pipe", { json: { manifest: MANIFEST } }),
    ];
    assertEquals(answers.map(({ status }) => status), answers.map(() => 400));
    return answers[0]!;
  }],
  ["POST /v1/pipe 403", pipeKnown({ json: { manifest: { ...MANIFEST, capabilities: ["gpu"] } } })],
  ["POST /v1/pipe 404", pipe({ json: { manifest: { module_hash: OTHER_HASH } } })],
  ["POST /v1/pipe 408", pipe({ json: { manifest: MANIFEST }, isCut: true })],
  ["POST /v1/pipe 413", async (fixture) => {
    const long = await pipe({ json: {}, headers: { "x-long": "x".repeat(20_000) } })(fixture);
    assertEquals(long.status, 413);
    return await pipe({ body: "A".repeat(80_000) })(fixture);
  }],
  ["POST /v1/pipe 415", pipe({ body: "{}", headers: { "content-type": "text/plain" } })],
  ["POST /v1/pipe 422", pipe({ json: { manifest: { ...MANIFEST, surprise: 1 } } })],
  ["POST /v1/pipe 503", async (fixture) => {
    const { config, daemon } = fixture;
    daemon.reload({ ...config, api: { ...config.api, max_streams: 0 } });
    return await pipeKnown({ json: { manifest: MANIFEST } })(fixture);
  }],
];

const CASES: [string, Case][] = [
  ...blobCases("modules"),
  ...blobCases("inputs"),
  ["POST /v1/jobs 201", async ({ call, submit }) => {
    await submit(["echo"]);
    const json = { manifest: MANIFEST, nonce: "0".repeat(64), stdin: "aGk=", submitter: "me" };
    return await call("POST", "/v1/jobs", { json });
  }],
  ...submissionCases("/v1/jobs"),
  ["POST /v1/run 200", async ({ call, submit }) => {
    await submit(["echo"]);
    const answer = await call("POST", "/v1/run?wait=50", {
      json: { manifest: MANIFEST, nonce: "0".repeat(64), stdin: "aGk=" },
    });
    const { job, stdout, stderr, receipt } = answer.json as Record<string, Record<string, unknown>>;
    assertEquals([job!["state"], stdout as unknown, stderr as unknown], ["finished", "aGk=", ""]);
    assertEquals([receipt!["job_id"], receipt!["nonce"]], [job!["id"], "0".repeat(64)]);
    return answer;
  }],
  ["POST /v1/run 202", async ({ call, submit }) => {
    await submit(["echo"]);
    const json = { manifest: { ...MANIFEST, args: ["block", "x"] } };
    return await call("POST", "/v1/run?wait=0", { json });
  }],
  ...submissionCases("/v1/run"),
  ...PIPE_CASES,
  ["GET /v1/jobs 200", async ({ call, submit }) => {
    const first = await submit(["echo"]);
    await submit(["echo"]);
    const page = await call("GET", "/v1/jobs?limit=1&submitter=local");
    assert(page.json["next"] !== null);
    const rest = await call("GET", `/v1/jobs?limit=1&before=${page.json["next"]}`);
    assertEquals((rest.json["jobs"] as { id: string }[]).map(({ id }) => id), [first]);
    return rest;
  }],
  ["GET /v1/jobs 400", ({ call }) => call("GET", "/v1/jobs?state=lost")],
  ["GET /v1/jobs 404", ({ call }) => call("GET", `/v1/jobs?before=${createJobId()}`)],
  ["GET /v1/jobs/{id} 200", ofJob("GET", "")],
  ["GET /v1/jobs/{id} 404", ofNone("GET", "")],
  ["DELETE /v1/jobs/{id} 200", ofJob("DELETE", "", ["block", "x"])],
  ["DELETE /v1/jobs/{id} 404", ofNone("DELETE", "")],
  ["GET /v1/jobs/{id}/events 200", async ({ call, submit }) => {
    const id = await submit(["echo"], { stdin: "aGk=" });
    const lines = await call("GET", `/v1/jobs/${id}/events`);
    const sse = await call("GET", `/v1/jobs/${id}/events`, {
      headers: { accept: "text/event-stream", "last-event-id": "1" },
    });
    assertEquals(lines.events.filter((event) => Number(event["id"]) > 1), sse.events);
    return sse;
  }],
  ["GET /v1/jobs/{id}/events 400", ofJob("GET", "/events?after=soon")],
  ["GET /v1/jobs/{id}/events 404", ofNone("GET", "/events")],
  ["GET /v1/jobs/{id}/events 503", async ({ call, submit, config, daemon }) => {
    daemon.reload({ ...config, api: { ...config.api, max_streams: 0 } });
    return await call("GET", `/v1/jobs/${await submit(["echo"])}/events`);
  }],
  ...["stdout", "stderr"].flatMap((stream): [string, Case][] => [
    [`GET /v1/jobs/{id}/${stream} 200`, ofJob("GET", `/${stream}`)],
    [`GET /v1/jobs/{id}/${stream} 400`, ofJob("GET", `/${stream}?offset=-1`)],
    [`GET /v1/jobs/{id}/${stream} 404`, ofNone("GET", `/${stream}`)],
  ]),
  ["GET /v1/jobs/{id}/receipt 200", ofJob("GET", "/receipt")],
  ["GET /v1/jobs/{id}/receipt 404", ofJob("GET", "/receipt", ["refuse"])],
  ["GET /v1/jobs/{id}/receipt 409", ofJob("GET", "/receipt", ["block", "x"])],
  ["GET /v1/node 200", ({ call }) => call("GET", "/v1/node")],
  ["GET /v1/peers 503", ({ call }) => call("GET", "/v1/peers")],
  [
    "POST /v1/discover 400",
    ({ call }) =>
      call("POST", "/v1/discover", { body: "{", headers: { "content-type": "application/json" } }),
  ],
  ["POST /v1/discover 408", ({ call }) =>
    call("POST", "/v1/discover", {
      body: stalled(),
      headers: { "content-type": "application/json" },
    })],
  [
    "POST /v1/discover 413",
    ({ call }) => call("POST", "/v1/discover", { json: { x: "A".repeat(70_000) } }),
  ],
  [
    "POST /v1/discover 415",
    ({ call }) =>
      call("POST", "/v1/discover", { body: "x", headers: { "content-type": "text/plain" } }),
  ],
  ["POST /v1/discover 503", ({ call }) => call("POST", "/v1/discover", { json: {} })],
  ["GET /health 200", ({ call }) => call("GET", "/health")],
  ["GET /ready 200", ({ call }) => call("GET", "/ready")],
  ["GET /metrics 200", ({ call }) => call("GET", "/metrics")],
  ["GET /version 200", ({ call }) => call("GET", "/version")],
];

const SMALL = {
  "jobs.queue_max": 4,
  "jobs.ceilings.module_bytes": 4000,
  "jobs.ceilings.input_bytes": 4000,
  "cache.max_bytes": 5000,
  "api.request_bytes": 65536,
  "api.idle_timeout_seconds": 0.05,
};

for (const [name, run] of CASES) {
  Deno.test(`the API answers ${name}`, () =>
    withDaemon(async (fixture) => {
      const { status } = await run(fixture);
      assertEquals(`${status}`, name.split(" ")[2]);
    }, { config: SMALL }));
}

const ELSEWHERE = ["GET /v1/peers 200", "POST /v1/discover 200", "GET /ready 503"];

const NODE = { peer_id: "a", latency_ms: 1.5, score: 1, transport: "quic", path: "direct" };
const PEER = {
  peer_id: "a",
  address: "/ip4/127.0.0.1/tcp/1",
  transport: "tcp",
  direction: "inbound",
  path: "direct",
  latency_ms: null,
  opened_at: "2026-01-01T00:00:00.000Z",
  streams: 1,
};

Deno.test("the API answers GET /v1/peers 200 and POST /v1/discover 200 with a network", () =>
  withDaemon(async ({ call }) => {
    assertEquals((await call("GET", "/v1/peers")).json, { peers: [PEER] });
    const { json } = await call("POST", "/v1/discover", { json: { arch: "x86_64" } });
    assertEquals(json, { nodes: [{ ...NODE, capability: { arch: "x86_64" } }] });
    assertEquals((await call("GET", "/v1/node")).json["network"], { reachable: true });
  }, {
    network: () =>
      Promise.resolve({
        peers: () => [PEER],
        discover: async function* (query) {
          yield await Promise.resolve({ ...NODE, capability: query as Record<string, string> });
        },
        status: () => ({ reachable: true }),
        [Symbol.asyncDispose]: () => Promise.resolve(),
      }),
  }));

Deno.test("the API answers GET /ready 503 while the node stops", () =>
  withDaemon(async ({ call, submit, sandbox, daemon }) => {
    await submit(["block", "x"]);
    await sandbox.untilStarted(1);
    const closed = daemon.close({ graceMs: 60_000 });
    const { status, json } = await call("GET", "/ready");
    assertEquals([status, json["ready"]], [503, false]);
    sandbox.release("x");
    await closed;
  }));

/** 401 and 403 of every route are the guard's. */
function isGuard(answer: string): boolean {
  return /(401|403)$/.test(answer);
}

Deno.test("the API's document promises nothing that these tests do not see", () => {
  const seen = new Set([...CASES.map(([name]) => name), ...ELSEWHERE]);
  const promised = documentedAnswers().filter((answer) => !isGuard(answer));
  assertEquals(promised.filter((answer) => !seen.has(answer)), []);
});

Deno.test("the API on TCP answers 401 and 403 on every route", () =>
  withDaemon(async ({ daemon: { tcp } }) => {
    const call = checkedFetch(`http://127.0.0.1:${tcp!.port}`);
    const bearer = { authorization: `Bearer ${tcp!.token}` };
    for (const answer of documentedAnswers().filter(isGuard)) {
      const [method, template, status] = answer.split(" ") as [string, string, string];
      const path = template.replace("{hash}", EMPTY_HASH).replace("{id}", createJobId());
      assertEquals(templateOf(path), template);
      const headers = status === "401"
        ? { authorization: `Bearer ${"0".repeat(64)}` }
        : { ...bearer, origin: "https://evil.example" };
      assertEquals(`${(await call(method, path, { headers })).status}`, status, answer);
    }
    assertEquals((await call("GET", "/health")).status, 401);
    assertEquals((await call("GET", "/health", { headers: bearer })).status, 200);
  }, { config: { "api.tcp.listen": "127.0.0.1:0" } }));

Deno.test("the API on TCP answers pages of allowed origins, and no foreign Host", () =>
  withDaemon(async ({ daemon: { tcp } }) => {
    const call = checkedFetch(`http://127.0.0.1:${tcp!.port}`);
    const origin = "https://good.example";
    const preflight = await call("OPTIONS", "/v1/jobs", { headers: { origin } });
    assertEquals([preflight.status, preflight.headers.get("access-control-allow-origin")], [
      204,
      origin,
    ]);
    const authorization = `Bearer ${tcp!.token}`;
    const answer = await call("GET", "/version", { headers: { origin, authorization } });
    assertEquals([answer.status, answer.headers.get("access-control-allow-origin")], [200, origin]);

    using conn = await Deno.connect({ port: tcp!.port });
    const head = `GET /version HTTP/1.1\r\nHost: evil.example:${tcp!.port}\r\n` +
      `Authorization: ${authorization}\r\nConnection: close\r\n\r\n`;
    await conn.write(new TextEncoder().encode(head));
    const text = await new Response(conn.readable).text();
    assert(text.startsWith("HTTP/1.1 403"), text);
    assert(text.includes('Host \\"evil.example'), text);
  }, {
    config: {
      "api.tcp.listen": "127.0.0.1:0",
      "api.tcp.allowed_origins": ["https://good.example"],
    },
  }));

Deno.test("the API answers unknown routes 404 and wrong methods 405 with what is allowed", () =>
  withDaemon(async ({ call }) => {
    for (const path of ["/", "/v1", "/v2/jobs", "/v1/jobs/x/y/z", "/v1/modules"]) {
      const { status, json } = await call("GET", path);
      assertEquals([status, (json["error"] as { code: string }).code], [404, "not-found"]);
    }
    const wrong = await call("PATCH", "/v1/jobs");
    assertEquals([wrong.status, wrong.headers.get("allow")], [405, "GET, HEAD, POST"]);
    assertEquals((await call("POST", "/health")).status, 405);
  }));

Deno.test("the API tells refused clients when to come back", () =>
  withDaemon(async (fixture) => {
    const { headers, json } = await CASES.find(([name]) => name === "POST /v1/jobs 503")![1](
      fixture,
    );
    const error = json["error"] as Record<string, unknown>;
    assertEquals([error["code"], error["retryable"]], ["queue-full", true]);
    assertEquals(
      error["message"],
      "Cannot accept job: 4 jobs wait, node allows 4; asked 256 MB, 3584 MB free",
    );
    assert(Number(headers.get("retry-after")) >= 1);
  }, { config: SMALL }));
