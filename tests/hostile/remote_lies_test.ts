import { assertEquals, assertRejects } from "@std/assert";
import { PlasmError } from "../../lib/core/errors/errors.ts";
import { ephemeralIdentity } from "../../lib/core/identity.ts";
import { createJobId, createNonce } from "../../lib/core/ids.ts";
import { type ReceiptFields, signReceipt } from "../../lib/core/receipt.ts";
import type { Receipt } from "../../lib/core/types.gen.ts";
import { localRuntime } from "../../lib/sandbox/run_job.ts";
import { run, TestNode } from "../fixtures/remote/bench.ts";

const OTHER = `sha256:${"5".repeat(64)}`;
const LONG_AGO = "2001-01-01T00:00:00.000Z";
/** A day's work, and times to go with it. */
const DAY = { wall_time_ms: 86_400_000, cpu_time_ms: 0, memory_peak_bytes: 1 };

/** What a node may sign with its own key, and the field that gives it away. */
const SIGNED: Record<string, (fields: ReceiptFields) => Partial<ReceiptFields>> = {
  "job_id": () => ({ job_id: createJobId() }),
  "nonce": () => ({ nonce: createNonce() }),
  "manifest_hash": () => ({ manifest_hash: OTHER }),
  "module_hash": () => ({ module_hash: OTHER }),
  "stdin_hash": () => ({ stdin_hash: OTHER }),
  "stdout_hash": () => ({ stdout_hash: OTHER }),
  "stdout_bytes": () => ({ stdout_bytes: 11 }),
  "stderr_hash": () => ({ stderr_hash: OTHER }),
  "stderr_bytes": () => ({ stderr_bytes: 1 }),
  "started_at": () => ({
    started_at: LONG_AGO,
    finished_at: LONG_AGO,
    usage: { ...DAY, wall_time_ms: 0 },
  }),
  "usage.wall_time_ms": ({ finished_at }) => ({
    usage: { ...DAY, wall_time_ms: 60_000 },
    started_at: new Date(Date.parse(finished_at) - 60_000).toISOString(),
  }),
  "usage.cpu_time_ms": ({ usage }) => ({ usage: { ...usage, cpu_time_ms: 10_000 } }),
  "runtime.name": ({ runtime }) => ({ runtime: { ...runtime, name: "other" } }),
  "runtime.version": ({ runtime }) => ({ runtime: { ...runtime, version: "9.9.9" } }),
  "runtime.engine": ({ runtime }) => ({ runtime: { ...runtime, engine: "other" } }),
  "runtime.arch": ({ runtime }) => ({ runtime: { ...runtime, arch: "m68k" } }),
};

/** Changes of each field of a receipt after it was signed. */
const FORGED: Record<string, (receipt: Receipt) => unknown> = {
  "version": (receipt) => ({ ...receipt, version: "0.2" }),
  "status": (receipt) => ({ ...receipt, status: "trapped", exit_code: null }),
  "exit_code": (receipt) => ({ ...receipt, exit_code: 1 }),
  "usage.wall_time_ms": ({ usage, ...rest }) => ({ ...rest, usage: { ...usage, wall_time_ms: 7 } }),
  "usage.memory_peak_bytes": ({ usage, ...rest }) => ({
    ...rest,
    usage: { ...usage, memory_peak_bytes: 1 },
  }),
  "finished_at": (receipt) => ({
    ...receipt,
    finished_at: new Date().toISOString().replace(/.$/, "1Z"),
  }),
  "node.peer_id": ({ node, ...rest }) => ({
    ...rest,
    node: { ...node, peer_id: node.peer_id + "1" },
  }),
  "node.public_key": ({ node, ...rest }) => ({
    ...rest,
    node: { ...node, public_key: "0".repeat(64) },
  }),
  "signature": (receipt) => ({ ...receipt, signature: "0".repeat(128) }),
  "an unknown field": (receipt) => ({ ...receipt, note: "trust me" }),
  "no signature": ({ signature: _, ...rest }) => rest,
  "no node": ({ node: _, ...rest }) => rest,
};

async function expectLie(node: TestNode): Promise<PlasmError> {
  const outcomes: boolean[] = [];
  const error = await assertRejects(
    () =>
      run({
        nodes: [node],
        candidates: [{ peerId: node.peerId, runtime: localRuntime(), cores: 1 }],
        noteOutcome: (_peer, { ok }) => outcomes.push(ok),
      }),
    PlasmError,
  );
  assertEquals([error.code, error.exitCode], ["bad-receipt", 76], error.message);
  // The node is remembered as bad, and the job, which may have run, is not run elsewhere.
  assertEquals(outcomes, [false]);
  assertEquals((error.details["attempts"] as unknown[]).length, 1);
  return error;
}

for (const [field, lie] of Object.entries(SIGNED)) {
  Deno.test(`runOnPeers() catches a node that signs a wrong ${field}`, async () => {
    await using node = await TestNode.create();
    node.host.lie = (fields) => ({ ...fields, ...lie(fields) });
    assertEquals((await expectLie(node)).details["field"], field);
  });
}

for (const [field, forge] of Object.entries(FORGED)) {
  Deno.test(`runOnPeers() catches a receipt changed after it was signed: ${field}`, async () => {
    await using node = await TestNode.create();
    node.host.twist = (event) =>
      event.type === "finished" ? { ...event, receipt: forge(event.receipt) as Receipt } : event;
    await expectLie(node);
  });
}

Deno.test("runOnPeers() catches a receipt that another node signed", async () => {
  await using node = await TestNode.create();
  const other = await ephemeralIdentity();
  let forged: Receipt | undefined;
  node.host.lie = (fields) => {
    void signReceipt(fields, other).then((receipt) => forged = receipt);
    return fields;
  };
  node.host.twist = (event) => event.type === "finished" ? { ...event, receipt: forged! } : event;
  assertEquals((await expectLie(node)).details["field"], "node.peer_id");
});

Deno.test("runOnPeers() catches output that is not what the receipt speaks of", async () => {
  await using node = await TestNode.create();
  node.host.twist = (event) =>
    event.type === "stdout" ? { ...event, data: event.data.slice(1) } : event;
  assertEquals((await expectLie(node)).details["field"], "stdout_hash");
});

Deno.test("runOnPeers() catches a result of another job of the same node", async () => {
  await using node = await TestNode.create();
  let first: Receipt | undefined;
  node.host.twist = (event) => {
    if (event.type !== "finished") return event;
    first ??= event.receipt;
    return { ...event, receipt: first };
  };
  await run({ nodes: [node] });
  assertEquals((await expectLie(node)).details["field"], "job_id");
});
