import { assertEquals, assertStringIncludes } from "@std/assert";
import { bootstrapResult, clockResult, reachableResult } from "./doctor_network.ts";

const NODE = {
  address: "/dns4/a/tcp/1",
  peerId: null,
  connected: true,
  latencyMs: 1,
  error: null,
};

Deno.test("bootstrapResult() tells all, some and none apart and names the silent", () => {
  assertEquals(bootstrapResult([]).result, "ok");
  assertEquals(bootstrapResult([NODE]), { result: "ok", found: "1 of 1 answer" });
  const silent = { ...NODE, address: "/dns4/b/tcp/1", connected: false, error: "refused" };
  const some = bootstrapResult([NODE, silent]);
  assertEquals(some.result, "warn");
  assertStringIncludes(some.found, "1 of 2 answer; silent: /dns4/b/tcp/1 (refused)");
  assertEquals(bootstrapResult([silent]).result, "fail");
});

Deno.test("reachableResult() names the path, or what to do", () => {
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

Deno.test("clockResult() blames this clock for documents from the future", () => {
  assertEquals(clockResult(0, 0).result, "warn");
  assertEquals(clockResult(3, 0).result, "ok");
  assertEquals(clockResult(3, 4_000).result, "ok");
  const behind = clockResult(3, 90_000);
  assertEquals(behind.result, "fail");
  assertStringIncludes(behind.found, "at least 90 s behind");
});
