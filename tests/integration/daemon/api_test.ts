import { assert, assertEquals } from "@std/assert";
import document from "../../../schemas/openapi.json" with { type: "json" };
import { EMPTY_HASH, sha256 } from "../../../lib/core/hash.ts";
import { PlasmError } from "../../../lib/core/errors/mod.ts";
import { createJobId } from "../../../lib/core/ids.ts";
import { type Fixture, MODULE, MODULE_HASH, testDaemon } from "../../fixtures/daemon/harness.ts";
import { fakeNetwork } from "../../fixtures/daemon/fake_network.ts";
import { rawCall, type RawCallOptions } from "../../fixtures/daemon/raw_call.ts";
import {
  type ApiResponse,
  checkedFetch,
  documentedAnswers,
  isValid,
  templateOf,
} from "../../fixtures/daemon/openapi_check.ts";

const OTHER_HASH = `sha256:${"a".repeat(64)}`;
const OCTETS = { "content-type": "application/octet-stream" };

/** Body that never ends. */
function stalled(): ReadableStream<Uint8Array> {
  return new ReadableStream({ start: (controller) => controller.enqueue(new Uint8Array(3)) });
}

type Case = (fixture: Fixture) => Promise<ApiResponse>;

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
    [`PUT ${route} 422 above the limit`, put(MODULE_HASH, new Uint8Array(5000))],
    [`PUT ${route} 415`, put(MODULE_HASH, "x", { "content-type": "text/html" })],
    [`PUT ${route} 422`, put(OTHER_HASH, MODULE)],
    [`PUT ${route} 503`, async ({ call, submit }) => {
      // A queued job pins an input that fills the cache.
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

/** Serves a few bytes, or never answers; `reached` counts requests. */
function moduleServer({ answers }: { answers: boolean }) {
  const reached = Promise.withResolvers<void>();
  let requests = 0;
  const stopping = new AbortController();
  const never = new Promise<Response>((_, reject) =>
    stopping.signal.addEventListener("abort", () => reject(new Error("Stopped")))
  );
  never.catch(() => {});
  const server = Deno.serve({
    hostname: "127.0.0.1",
    port: 0,
    onListen: () => {},
    onError: () => new Response(null, { status: 500 }),
  }, () => {
    if (++requests === 2) reached.resolve();
    return answers ? new Response("x") : never;
  });
  return {
    url: `http://127.0.0.1:${server.addr.port}/x`,
    reached: reached.promise,
    async [Symbol.asyncDispose]() {
      stopping.abort();
      await server.shutdown();
    },
  };
}

/** Requests to download a module. */
function fetchCases(): [string, Case][] {
  const route = "POST /v1/modules";
  const path = "/v1/modules";
  return [
    [`${route} 200`, async (fixture) => {
      await fixture.submit(["echo"]);
      return await fixture.call("POST", path, { json: { reference: MODULE_HASH } });
    }],
    [`${route} 400`, post(path, { reference: "./file.wasm" })],
    [`${route} 403`, post(path, { reference: "https://example.org/x.wasm" })],
    [`${route} 404`, post(path, { reference: OTHER_HASH })],
    [
      `${route} 408`,
      ({ call }) =>
        call("POST", path, { body: stalled(), headers: { "content-type": "application/json" } }),
    ],
    [`${route} 413`, post(path, { reference: "x".repeat(80_000) })],
    [
      `${route} 415`,
      ({ call }) => call("POST", path, { body: "{}", headers: { "content-type": "text/plain" } }),
    ],
    [`${route} 422`, async ({ call }) => {
      await using server = moduleServer({ answers: true });
      const reference = `${server.url}#${OTHER_HASH.replace(":", "=")}`;
      return await call("POST", path, { json: { reference } });
    }],
    [`${route} 502`, post(path, { reference: "http://127.0.0.1:1/x.wasm" })],
    [`${route} 503`, async ({ call }) => {
      const running: Promise<unknown>[] = [];
      try {
        await using server = moduleServer({ answers: false });
        const get = () => call("POST", path, { json: { reference: server.url } });
        running.push(get(), get());
        await server.reached;
        return await get();
      } finally {
        await Promise.all(running);
      }
    }],
  ];
}

const MANIFEST = { module_hash: MODULE_HASH, args: ["echo"] };

/** Submission for another node, which the test's daemon has no network for. */
const REMOTE = { manifest: MANIFEST, target: {} };

/** Submissions that every submitting route rejects. */
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

/** Reloads a configuration under which no stream may be open. */
async function allowNoStreams(fixture: Fixture): Promise<void> {
  fixture.config = { ...fixture.config, api: { ...fixture.config.api, max_streams: 0 } };
  await fixture.daemon.reload();
}

function pipe(options: RawCallOptions): Case {
  return ({ config }) => rawCall(config.socket!, ["POST", "/v1/pipe"], options);
}

/** Uploads the module, then pipes. */
function pipeKnown(options: RawCallOptions): Case {
  return async (fixture) => {
    await fixture.submit(["echo"]);
    return await pipe(options)(fixture);
  };
}

/** Rejected submissions with their expected errors. */
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
      // No upgrade, whether or not it is the first request of its connection.
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
    await allowNoStreams(fixture);
    return await pipeKnown({ json: { manifest: MANIFEST } })(fixture);
  }],
];

const CASES: [string, Case][] = [
  ...fetchCases(),
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
    const { job_id: jobId, nonce } = receipt!["run"] as Record<string, unknown>;
    assertEquals({ state: job!["state"], stdout: stdout as unknown, stderr: stderr as unknown }, {
      state: "finished",
      stdout: "aGk=",
      stderr: "",
    });
    assertEquals({ jobId, nonce }, {
      jobId: job!["id"],
      nonce: "0".repeat(64),
    });
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
  ["GET /v1/jobs/{id}/events 503", async (fixture) => {
    await allowNoStreams(fixture);
    const { call, submit } = fixture;
    return await call("GET", `/v1/jobs/${await submit(["echo"])}/events`);
  }],
  ["GET /v1/changes 200", async ({ call }) => {
    const changes = await call("GET", "/v1/changes?follow=false");
    assertEquals(changes.events.map(({ jobs, more }) => ({ jobs, more })), [
      { jobs: [], more: false },
    ]);
    return changes;
  }],
  ["GET /v1/changes 503", async (fixture) => {
    await allowNoStreams(fixture);
    return await fixture.call("GET", "/v1/changes");
  }],
  ...["stdout", "stderr"].flatMap((stream): [string, Case][] => [
    [`GET /v1/jobs/{id}/${stream} 200`, ofJob("GET", `/${stream}`)],
    [`GET /v1/jobs/{id}/${stream} 400`, ofJob("GET", `/${stream}?offset=-1`)],
    [`GET /v1/jobs/{id}/${stream} 404`, ofNone("GET", `/${stream}`)],
  ]),
  ...["outputs", "outputs.tar", "outputs/{path}"].flatMap((route): [string, Case][] => {
    const path = route.replace("{path}", "out%2Fa.txt");
    const found: Case = async ({ call, submit, over }) => {
      const id = await submit(["files"], { manifest: { args: ["files"], outputs: ["out/"] } });
      await over(id);
      return await call("GET", `/v1/jobs/${id}/${path}`);
    };
    return [
      [`GET /v1/jobs/{id}/${route} 200`, found],
      [`GET /v1/jobs/{id}/${route} 404`, ofNone("GET", `/${path}`)],
      [`GET /v1/jobs/{id}/${route} 409`, ofJob("GET", `/${path}`, ["block", "x"])],
    ];
  }),
  ["GET /v1/jobs/{id}/outputs.tar 400", ofJob("GET", "/outputs.tar?follow=true&offset=x")],
  ["GET /v1/jobs/{id}/receipts 200", ofJob("GET", "/receipts")],
  ["GET /v1/jobs/{id}/receipts 404", ofJob("GET", "/receipts", ["refuse"])],
  ["GET /v1/jobs/{id}/receipts 409", ofJob("GET", "/receipts", ["block", "x"])],
  ["GET /v1/jobs/{id}/receipt 200", ofJob("GET", "/receipt")],
  ["GET /v1/jobs/{id}/receipt 404", ofJob("GET", "/receipt", ["refuse"])],
  ["GET /v1/jobs/{id}/receipt 409", ofJob("GET", "/receipt", ["block", "x"])],
  ["GET /v1/node 200", ({ call }) => call("GET", "/v1/node")],
  ["GET /v1/config 200", ({ call }) => call("GET", "/v1/config")],
  ["POST /v1/reload 200", ({ call }) => call("POST", "/v1/reload")],
  ["GET /openapi.json 200", ({ call }) => call("GET", "/openapi.json")],
  ["POST /v1/jobs 409", ({ call }) => call("POST", "/v1/jobs", { json: REMOTE })],
  ["POST /v1/run 409", ({ call }) => call("POST", "/v1/run", { json: REMOTE })],
  ["GET /v1/peers 409", ({ call }) => call("GET", "/v1/peers")],
  ["GET /v1/nodes 409", ({ call }) => call("GET", "/v1/nodes")],
  ["GET /v1/evidence 409", ({ call }) => call("GET", "/v1/evidence")],
  ["GET /v1/evidence/{name} 409", ({ call }) => call("GET", "/v1/evidence/a")],
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
  ["POST /v1/discover 409", ({ call }) => call("POST", "/v1/discover", { json: {} })],
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
  "modules.hosts": ["127.0.0.1"],
  "api.request_bytes": 65536,
  "api.idle_timeout_seconds": 0.05,
};

for (const [name, run] of CASES) {
  Deno.test(`the API responds to ${name}`, async () => {
    await using fixture = await testDaemon({ config: SMALL });
    const { status } = await run(fixture);
    assertEquals(`${status}`, name.split(" ")[2]);
  });
}

const ELSEWHERE = [
  "GET /v1/peers 200",
  "GET /v1/nodes 200",
  "GET /v1/evidence 200",
  "GET /v1/evidence/{name} 200",
  "GET /v1/evidence/{name} 404",
  "POST /v1/discover 200",
  "GET /ready 503",
  "POST /v1/reload 409",
  "POST /v1/reload 500",
];

Deno.test("POST /v1/reload applies live keys and names those that need a restart", async () => {
  await using fixture = await testDaemon();
  const { call, config } = fixture;
  const jobs = { ...config.jobs, queue_max: 3, warm_executors: 2 };
  fixture.config = { ...config, jobs };
  const { json } = await call("POST", "/v1/reload");
  assertEquals(json, { applied: ["jobs.queue_max"], needs_restart: ["jobs.warm_executors"] });
  const { json: node } = await call("GET", "/v1/node");
  assertEquals((node["load"] as { queue_max: number }).queue_max, 3);
});

Deno.test("POST /v1/reload responds with 500 and changes nothing when the configuration is invalid", async () => {
  const invalid = new PlasmError("bad-config", "Cannot use file: unknown key", { hint: "Remove" });
  await using fixture = await testDaemon({ load: () => Promise.reject(invalid) });
  const { status, json } = await fixture.call("POST", "/v1/reload");
  assertEquals({ status, error: json["error"] }, { status: 500, error: invalid.toJSON() });
  assertEquals((await fixture.call("GET", "/ready")).status, 200);
});

Deno.test("POST /v1/reload responds with 409 when the daemon reads no configuration", async () => {
  await using fixture = await testDaemon({ load: undefined });
  assertEquals((await fixture.call("POST", "/v1/reload")).status, 409);
});

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

const RECORD = {
  peer_id: "a",
  succeeded: 2,
  failed: 1,
  refused: 0,
  avoided_until: null,
  latency_ms: 1.5,
  reproduced: 0,
  false: 1,
  banned_until: "2026-01-02T00:00:00.000Z",
};
const EVIDENCE = { name: "20260101T000000000Z-0123456789ab.json", at: PEER.opened_at, bytes: 2 };

Deno.test("the API responds with what a network reports when one is joined", async () => {
  await using fixture = await testDaemon({
    network: () =>
      Promise.resolve(fakeNetwork({
        peers: () => [PEER],
        peerCount: () => 1,
        records: () => [RECORD],
        evidence: () => Promise.resolve([EVIDENCE]),
        readEvidence: (name) =>
          Promise.resolve(name === EVIDENCE.name ? { version: "0.2" } : undefined),
        discover: async function* (query) {
          yield await Promise.resolve({ ...NODE, capability: query as Record<string, string> });
        },
        status: () => ({ reachable: true }),
      })),
  });
  const { call } = fixture;
  assertEquals((await call("GET", "/v1/peers")).json, { peers: [PEER] });
  assertEquals((await call("GET", "/v1/nodes")).json, { nodes: [RECORD] });
  assertEquals((await call("GET", "/v1/evidence")).json, { evidence: [EVIDENCE] });
  assertEquals((await call("GET", `/v1/evidence/${EVIDENCE.name}`)).json, { version: "0.2" });
  assertEquals((await call("GET", "/v1/evidence/..%2Fidentity.key")).status, 404);
  const { json } = await call("POST", "/v1/discover", { json: { arch: "x86_64" } });
  assertEquals(json, { nodes: [{ ...NODE, capability: { arch: "x86_64" } }] });
  const node = (await call("GET", "/v1/node")).json;
  assertEquals(node["network"], { reachable: true });
  assertEquals((node["load"] as { peers: number }).peers, 1);
});

Deno.test("the API responds to GET /ready with 503 when the node is stopping", async () => {
  await using fixture = await testDaemon();
  const { call, submit, sandbox, daemon } = fixture;
  await submit(["block", "x"]);
  await sandbox.untilStarted(1);
  const closed = daemon.close({ graceMs: 60_000 });
  const { status, json } = await call("GET", "/ready");
  assertEquals({ status, ready: json["ready"] }, { status: 503, ready: false });
  sandbox.release("x");
  await closed;
});

Deno.test("GET /openapi.json returns schemas/openapi.json, which references no other document", async () => {
  await using fixture = await testDaemon();
  const { json } = await fixture.call("GET", "/openapi.json");
  assertEquals(json, document as unknown);
  const refs = [...JSON.stringify(json).matchAll(/"\$ref":"([^"]*)"/g)].map(([, ref]) => ref!);
  assertEquals(refs.filter((ref) => !ref.startsWith("#/components/")), []);
  for (const ref of refs) {
    const found = ref.slice(2).split("/").reduce<unknown>(
      (part, name) => (part as Record<string, unknown> | undefined)?.[name],
      json,
    );
    assert(found !== undefined, ref);
  }
});

/** Bodies that are no submission. */
const NO_SUBMISSIONS: Record<string, unknown> = {
  "an array": [],
  "no manifest": {},
  "an unknown field": { manifest: MANIFEST, priority: "high" },
  "a manifest without module_hash": { manifest: {} },
  "a malformed hash": { manifest: { module_hash: "sha256:AB" } },
  "an unknown field of the manifest": { manifest: { ...MANIFEST, timeout: 5 } },
  "another version": { manifest: { ...MANIFEST, version: "9" } },
  "a number as argument": { manifest: { ...MANIFEST, args: [1] } },
  "NUL in an argument": { manifest: { ...MANIFEST, args: ["\0"] } },
  "an invalid name of a variable": { manifest: { ...MANIFEST, env: { "A=B": "" } } },
  "an input outside": { manifest: { ...MANIFEST, inputs: { "../a": EMPTY_HASH } } },
  "an unknown priority": { manifest: { ...MANIFEST, priority: "urgent" } },
  "an unknown resource": { manifest: { ...MANIFEST, resources: { gpu: 1 } } },
  "a fraction": { manifest: { ...MANIFEST, resources: { memory_mb: 1.5 } } },
  "no memory": { manifest: { ...MANIFEST, resources: { memory_mb: 0 } } },
  "a capability in upper case": { manifest: { ...MANIFEST, capabilities: ["GPU"] } },
  "a short nonce": { manifest: MANIFEST, nonce: "ab" },
  "standard input that is not base64": { manifest: MANIFEST, stdin: "*" },
  "a submitter with a space": { manifest: MANIFEST, submitter: "a b" },
  "an unknown field of the target": { manifest: MANIFEST, target: { node: "a" } },
  "no attempts": { manifest: MANIFEST, target: { attempts: 0 } },
};

for (const [name, json] of Object.entries(NO_SUBMISSIONS)) {
  Deno.test(`the document refuses what the API refuses: ${name}`, async () => {
    await using fixture = await testDaemon();
    const { status } = await fixture.call("POST", "/v1/jobs", { json });
    assert(status === 400 || status === 422, `${status}`);
    assertEquals(isValid("Submission", json), false);
  });
}

/** The TCP guard sends the 401 and 403 of every route. */
function isGuard(answer: string): boolean {
  return /(401|403)$/.test(answer);
}

Deno.test("schemas/openapi.json lists only responses that these tests receive", () => {
  const seen = new Set([...CASES.map(([name]) => name), ...ELSEWHERE]);
  const promised = documentedAnswers().filter((answer) => !isGuard(answer));
  assertEquals(promised.filter((answer) => !seen.has(answer)), []);
});

Deno.test("the API on TCP responds with 401 or 403 on every route when a request is not authorized", async () => {
  await using fixture = await testDaemon({ config: { "api.tcp.listen": "127.0.0.1:0" } });
  const { daemon: { tcp } } = fixture;
  const call = checkedFetch(`http://127.0.0.1:${tcp!.port}`);
  const bearer = { authorization: `Bearer ${tcp!.token}` };
  for (const answer of documentedAnswers().filter(isGuard)) {
    const [method, template, status] = answer.split(" ") as [string, string, string];
    const path = template.replace("{hash}", EMPTY_HASH).replace("{id}", createJobId())
      .replace("{path}", "out%2Fa.txt");
    assertEquals(templateOf(path), template);
    const headers = status === "401"
      ? { authorization: `Bearer ${"0".repeat(64)}` }
      : { ...bearer, origin: "https://evil.example" };
    assertEquals(`${(await call(method, path, { headers })).status}`, status, answer);
  }
  assertEquals((await call("GET", "/health")).status, 401);
  assertEquals((await call("GET", "/health", { headers: bearer })).status, 200);
});

Deno.test("api.metrics.listen serves the metrics, with usage by submitter, and nothing else", async () => {
  await using fixture = await testDaemon({ config: { "api.metrics.listen": "127.0.0.1:0" } });
  const { daemon, submit, over, call } = fixture;
  await over(await submit(["echo"], { submitter: "alice" }));
  const { port, token } = daemon.metrics!;
  const get = async (path: string, init: RequestInit = {}): Promise<[number, string]> => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, init);
    return [response.status, await response.text()];
  };
  const headers = { authorization: `Bearer ${token}` };
  const [status, text] = await get("/metrics", { headers });
  assertEquals(status, 200);
  assert(text.includes('plasm_submitter_jobs_total{submitter="local:alice"} 1\n'), text);
  assert(text.includes('plasm_submitter_cpu_seconds_total{submitter="local:alice"}'), text);
  assertEquals((await get("/metrics"))[0], 401);
  assertEquals((await get("/metrics", { headers: { authorization: "Bearer x" } }))[0], 401);
  assertEquals((await get("/metrics", { headers, method: "POST" }))[0], 405);
  for (const path of ["/v1/jobs", "/v1/node", "/health"]) {
    assertEquals((await get(path, { headers }))[0], 404);
  }
  const file = `${fixture.dir}/state/metrics.token`;
  assertEquals((await Deno.stat(file)).mode! & 0o777, 0o600);
  assertEquals((await Deno.readTextFile(file)).trim(), token);
  const usage = (await call("GET", "/v1/node")).json["usage"] as Record<string, unknown>[];
  assertEquals(usage.map(({ submitter, jobs }) => [submitter, jobs]), [["local:alice", 1]]);
});

Deno.test("the API on TCP accepts allowed origins and rejects a foreign Host", async () => {
  await using fixture = await testDaemon({
    config: {
      "api.tcp.listen": "127.0.0.1:0",
      "api.tcp.allowed_origins": ["https://good.example"],
    },
  });
  const { daemon: { tcp } } = fixture;
  const call = checkedFetch(`http://127.0.0.1:${tcp!.port}`);
  const origin = "https://good.example";
  const preflight = await call("OPTIONS", "/v1/jobs", { headers: { origin } });
  assertEquals({
    status: preflight.status,
    allowOrigin: preflight.headers.get("access-control-allow-origin"),
  }, { status: 204, allowOrigin: origin });
  const authorization = `Bearer ${tcp!.token}`;
  const answer = await call("GET", "/version", { headers: { origin, authorization } });
  assertEquals({
    status: answer.status,
    allowOrigin: answer.headers.get("access-control-allow-origin"),
  }, { status: 200, allowOrigin: origin });

  using conn = await Deno.connect({ port: tcp!.port });
  const head = `GET /version HTTP/1.1\r\nHost: evil.example:${tcp!.port}\r\n` +
    `Authorization: ${authorization}\r\nConnection: close\r\n\r\n`;
  await conn.write(new TextEncoder().encode(head));
  const text = await new Response(conn.readable).text();
  assert(text.startsWith("HTTP/1.1 403"), text);
  assert(text.includes('Host \\"evil.example'), text);
});

Deno.test("the API responds with 404 to unknown routes and with 405 and the allowed methods to others", async () => {
  await using fixture = await testDaemon();
  const { call } = fixture;
  for (const path of ["/", "/v1", "/v2/jobs", "/v1/jobs/x/y/z", "/v1/inputs"]) {
    const { status, json } = await call("GET", path);
    assertEquals({ status, code: (json["error"] as { code: string }).code }, {
      status: 404,
      code: "not-found",
    });
  }
  const wrong = await call("PATCH", "/v1/jobs");
  assertEquals({ status: wrong.status, allow: wrong.headers.get("allow") }, {
    status: 405,
    allow: "GET, HEAD, POST",
  });
  assertEquals((await call("POST", "/health")).status, 405);
});

Deno.test("the API sends Retry-After when the queue is full", async () => {
  await using fixture = await testDaemon({ config: SMALL });
  const { headers, json } = await CASES.find(([name]) => name === "POST /v1/jobs 503")![1](
    fixture,
  );
  const error = json["error"] as Record<string, unknown>;
  assertEquals({ code: error["code"], retryable: error["retryable"] }, {
    code: "queue-full",
    retryable: true,
  });
  assertEquals(
    error["message"],
    "Cannot accept job: 4 jobs are queued, node allows 4; asked 256 MB, 3584 MB free",
  );
  assert(Number(headers.get("retry-after")) >= 1);
});
