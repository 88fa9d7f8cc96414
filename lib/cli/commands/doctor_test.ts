import { assertEquals, assertStringIncludes } from "@std/assert";
import wabt from "wabt";
import { configEntries, configOf } from "../../config/mod.ts";
import type { ConfigInEffectJson, JobJson } from "../../api/mod.ts";
import {
  bootstrapResult,
  clockResult,
  jobsResult,
  queueResult,
  reachableResult,
  settingsResult,
  SMALLEST_MODULE,
} from "./doctor.ts";

const FILE = "/etc/plasm/config.jsonc";

Deno.test("settingsResult() names keys of the file that the daemon does not use yet", () => {
  const settings: ConfigInEffectJson = {
    file: FILE,
    state_dir: "/var/lib/plasm",
    socket: "/run/plasm/plasm.sock",
    config: configEntries(configOf({ "jobs.queue_max": 7, "jobs.concurrency": 3 })),
    sources: { "jobs.queue_max": FILE, "jobs.concurrency": "flag" },
  };
  const same = settingsResult(settings, configOf({ "jobs.queue_max": 7 }));
  assertEquals(same, {
    result: "ok",
    found: `the daemon uses ${FILE}, keys that are not defaults: 2`,
  });
  const { result, found, hint } = settingsResult(settings, configOf({ "jobs.queue_max": 9 }));
  assertEquals(result, "warn");
  assertStringIncludes(found, "does not use it yet: jobs.queue_max");
  assertStringIncludes(hint ?? "", "plasm reload");
  assertEquals(settingsResult(settings, undefined).result, "ok");
  assertEquals(settingsResult(undefined, configOf({})).found, "no daemon to ask");
});

Deno.test("queueResult() says why queued jobs wait", () => {
  const load = { queued: 0, running: 2, concurrency: 2, queue_max: 9, memory_mb: 64 };
  const busy = { ...load, memory_budget_mb: 64, executors: 2, peers: 0 };
  assertEquals(queueResult(busy).result, "ok");
  assertStringIncludes(queueResult({ ...busy, queued: 1 }).hint ?? "", "jobs.concurrency");
  const full = queueResult({ ...busy, queued: 1, running: 1 });
  assertStringIncludes(full.hint ?? "", "jobs.memory_budget_mb");
  assertStringIncludes(full.found, "1 of 9 queued, 1 of 2 running, 64 of 64 MB in use");
});

Deno.test("jobsResult() names the last job that did not exit on its own", () => {
  const job = (fields: Partial<JobJson>): JobJson =>
    ({
      id: "job_a",
      state: "finished",
      status: "exited",
      error: null,
      message: null,
      ...fields,
    }) as JobJson;
  assertEquals(jobsResult([job({}), job({ state: "queued", status: null })]).result, "ok");
  const { result, found, hint } = jobsResult([
    job({}),
    job({ id: "job_b", status: "timeout", message: "asked 1 s" }),
    job({ id: "job_c", state: "interrupted", status: null }),
  ]);
  assertEquals({ result, hint }, { result: "warn", hint: "Run plasm status job_b" });
  assertEquals(found, "2 of the latest 3 jobs did not exit on their own; last job_b: asked 1 s");
});

Deno.test("SMALLEST_MODULE exports what its text form exports", async () => {
  const { parseWat } = await wabt();
  const text = '(module (memory (export "memory") 1) (func (export "_start")))';
  const module = parseWat("least.wat", text);
  const { exports, bytes } = {
    bytes: new Uint8Array(module.toBinary({}).buffer),
    exports: WebAssembly.Module.exports(new WebAssembly.Module(SMALLEST_MODULE as BufferSource)),
  };
  module.destroy();
  const byName = (list: WebAssembly.ModuleExportDescriptor[]): string[] =>
    list.map(({ name, kind }) => `${kind} ${name}`).sort();
  assertEquals(byName(exports), ["function _start", "memory memory"]);
  assertEquals(
    byName(exports),
    byName(WebAssembly.Module.exports(new WebAssembly.Module(bytes as BufferSource))),
  );
});

const NODE = {
  address: "/dns4/a/tcp/1",
  peerId: null,
  connected: true,
  latencyMs: 1,
  error: null,
};

Deno.test("bootstrapResult() distinguishes all, some and none connected, and names the missing", () => {
  assertEquals(bootstrapResult([]).result, "ok");
  assertEquals(bootstrapResult([NODE]), { result: "ok", found: "1 of 1 connected" });
  const missing = { ...NODE, address: "/dns4/b/tcp/1", connected: false, error: "refused" };
  const some = bootstrapResult([NODE, missing]);
  assertEquals(some.result, "warn");
  assertStringIncludes(some.found, "1 of 2 connected; not connected: /dns4/b/tcp/1 (refused)");
  assertEquals(bootstrapResult([missing]).result, "fail");
});

Deno.test("reachableResult() returns the addresses, or a hint if other nodes cannot reach the node", () => {
  const addresses = ["/ip4/203.0.113.1/tcp/1"];
  assertEquals(reachableResult({ status: "public", by: "upnp", addresses }), {
    result: "ok",
    found: "public, by upnp: /ip4/203.0.113.1/tcp/1",
  });
  assertEquals(reachableResult({ status: "relayed", by: "relay", addresses }).result, "ok");
  assertEquals(reachableResult({ status: "unknown", by: null, addresses: [] }).result, "warn");
  const hidden = reachableResult({ status: "private", by: null, addresses: [] });
  assertEquals(hidden.result, "warn");
  assertStringIncludes(hidden.hint ?? "", "network.listen");
});

Deno.test("clockResult() fails when documents are from the future", () => {
  assertEquals(clockResult(0, 0).result, "warn");
  assertEquals(clockResult(3, 0).result, "ok");
  assertEquals(clockResult(3, 4_000).result, "ok");
  const behind = clockResult(3, 90_000);
  assertEquals(behind.result, "fail");
  assertStringIncludes(behind.found, "at least 90 s behind");
});
