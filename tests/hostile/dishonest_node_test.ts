import { assertEquals, assertRejects } from "@std/assert";
import { PlasmError } from "../../lib/core/errors/errors.ts";
import { ephemeralIdentity } from "../../lib/core/identity.ts";
import { FilesInMemory } from "../../lib/core/output_files.ts";
import { createJobId, createNonce } from "../../lib/core/ids.ts";
import { type ReceiptFields, signReceipt } from "../../lib/core/receipt.ts";
import type { Receipt } from "../../lib/core/types.gen.ts";
import { localRuntime } from "../../lib/sandbox/receipt_fields.ts";
import { withValue } from "../fixtures/receipt_mutations.ts";
import { makeJob, run, TestNode } from "../fixtures/remote/test_node.ts";
import { concat, encodeTarHeader, memberPadding, tarEnd } from "../../lib/util/mod.ts";
import { sha256 } from "../../lib/core/hash.ts";

const OTHER = `sha256:${"5".repeat(64)}`;
type Fields = Record<string, unknown>;

const LONG_AGO = "2001-01-01T00:00:00.000Z";
/** False values that a node can sign with its own key; the first field reveals the lie. */
const SIGNED: Record<string, (fields: ReceiptFields) => unknown>[] = [
  { "run.job_id": () => createJobId() },
  { "run.nonce": () => createNonce() },
  { "claim.manifest_hash": () => OTHER },
  { "claim.module_hash": () => OTHER },
  { "claim.stdin_hash": () => OTHER },
  { "claim.stdout.hash": () => OTHER },
  { "claim.stdout.bytes": () => 11 },
  { "claim.stderr.hash": () => OTHER },
  { "claim.stderr.bytes": () => 1 },
  { "claim.profile": () => "deterministic" },
  { "claim.fuel": () => 1 },
  { "claim.outputs.extra": () => ({ hash: OTHER, bytes: 1 }) },
  {
    "run.started_at": () => LONG_AGO,
    "run.finished_at": () => LONG_AGO,
    "run.usage.wall_time_ms": () => 0,
  },
  {
    "run.usage.wall_time_ms": () => 60_000,
    "run.started_at": ({ run }) => new Date(Date.parse(run.finished_at) - 60_000).toISOString(),
  },
  { "run.usage.cpu_time_ms": () => 10_000 },
  { "run.runtime.name": () => "other" },
  { "run.runtime.version": () => "9.9.9" },
  { "run.runtime.engine": () => "other" },
  { "run.runtime.arch": () => "m68k" },
];

/** Values of a receipt that are changed after it was signed; undefined removes a field. */
const FORGED: Record<string, (value: never) => unknown> = {
  "version": () => "0.1",
  "claim.version": () => "0.1",
  "claim.status": () => "trapped",
  "claim.exit_code": () => 1,
  "claim.nondeterminism": () => ["clock"],
  "run.claim_hash": () => OTHER,
  "run.usage.wall_time_ms": () => 7,
  "run.usage.memory_peak_bytes": () => 1,
  "run.finished_at": () => new Date().toISOString().replace(/.$/, "1Z"),
  "run.node.peer_id": (peerId: string) => `${peerId}1`,
  "run.node.public_key": () => "0".repeat(64),
  "run.node": () => undefined,
  "run": () => undefined,
  "claim": () => undefined,
  "signature": () => "0".repeat(128),
  "attestation": () => "0".repeat(128),
  "note": () => "trust me",
};

async function expectLie(node: TestNode): Promise<PlasmError> {
  const outcomes: boolean[] = [];
  const error = await assertRejects(
    () =>
      run({
        nodes: [node],
        candidates: [{ peerId: node.peerId, runtime: localRuntime(), cores: 1 }],
        recordOutcome: (_peer, { ok }) => outcomes.push(ok),
      }),
    PlasmError,
  );
  assertEquals({ code: error.code, exitCode: error.exitCode }, {
    code: "bad-receipt",
    exitCode: 76,
  }, error.message);
  // The node is recorded as bad, and the job, which may have run, is not retried on another.
  assertEquals(outcomes, [false]);
  assertEquals((error.details["attempts"] as unknown[]).length, 1);
  return error;
}

for (const lies of SIGNED) {
  const [field] = Object.keys(lies);
  Deno.test(`runOnPeers() detects a signed false ${field}`, async () => {
    await using node = await TestNode.create();
    node.host.alterReceipt = (fields) =>
      Object.entries(lies).reduce(
        (altered, [path, lie]) => withValue(altered, path.split("."), lie(fields)),
        fields,
      );
    assertEquals((await expectLie(node)).details["field"], field);
  });
}

for (const [field, forge] of Object.entries(FORGED)) {
  Deno.test(`runOnPeers() detects a receipt changed after signing: ${field}`, async () => {
    await using node = await TestNode.create();
    node.host.alterEvent = (event) => {
      if (event.type !== "finished") return event;
      const path = field.split(".");
      const value = path.reduce((owner: unknown, key) => (owner as Fields)[key], event.receipt);
      return { ...event, receipt: withValue(event.receipt, path, forge(value as never)) };
    };
    await expectLie(node);
  });
}

Deno.test("runOnPeers() detects a receipt signed by another node", async () => {
  await using node = await TestNode.create();
  const other = await ephemeralIdentity();
  let forged: Receipt | undefined;
  node.host.alterReceipt = (fields) => {
    void signReceipt(fields, other).then((receipt) => forged = receipt);
    return fields;
  };
  node.host.alterEvent = (event) =>
    event.type === "finished" ? { ...event, receipt: forged! } : event;
  assertEquals((await expectLie(node)).details["field"], "run.node.peer_id");
});

Deno.test("runOnPeers() detects output that does not match the receipt", async () => {
  await using node = await TestNode.create();
  node.host.alterEvent = (event) =>
    event.type === "stdout" ? { ...event, data: event.data.slice(1) } : event;
  assertEquals((await expectLie(node)).details["field"], "claim.stdout.hash");
});

Deno.test("runOnPeers() detects a result of another job of the same node", async () => {
  await using node = await TestNode.create();
  let first: Receipt | undefined;
  node.host.alterEvent = (event) => {
    if (event.type !== "finished") return event;
    first ??= event.receipt;
    return { ...event, receipt: first };
  };
  await run({ nodes: [node] });
  assertEquals((await expectLie(node)).details["field"], "run.job_id");
});

function archive(files: readonly [path: string, content: string][], end = tarEnd()): Uint8Array {
  const parts = files.flatMap(([path, content]) => {
    const data = new TextEncoder().encode(content);
    return [encodeTarHeader({ path, bytes: data.length }), data, memberPadding(data.length)];
  });
  return concat([...parts, end]);
}

const FILES: [string, string][] = [["out/a", "first"], ["out/b", "second"]];

/** Runs a job with outputs on a node that claims {@linkcode FILES} and sends an archive. */
async function runWithFiles(sent: Uint8Array): Promise<Map<string, string>> {
  await using node = await TestNode.create();
  node.host.archive = sent;
  const outputs: Receipt["claim"]["outputs"] = {};
  for (const [path, content] of FILES) {
    const data = new TextEncoder().encode(content);
    outputs[path] = { hash: await sha256(data), bytes: data.length };
  }
  node.host.alterReceipt = ({ claim, run }) => ({ claim: { ...claim, outputs }, run });
  const { archive } = await run({ nodes: [node], job: await makeJob({ outputs: ["out/"] }) });
  const files = new FilesInMemory(["out/"]);
  for (const data of archive) await files.add(data);
  const decoder = new TextDecoder();
  return new Map([...files.content].map(([path, data]) => [path, decoder.decode(data)]));
}

Deno.test("runOnPeers() returns output files that match the receipt", async () => {
  assertEquals(await runWithFiles(archive(FILES)), new Map(FILES));
});

const FALSE_FILES: Record<string, Uint8Array> = {
  "none": new Uint8Array(),
  "fewer": archive([FILES[0]!]),
  "more": archive([...FILES, ["out/c", "third"]]),
  "others": archive([["out/a", "first"], ["out/other", "second"]]),
  "files with other bytes": archive([["out/a", "first"], ["out/b", "secret"]]),
  "another order": archive(FILES.toReversed()),
  "an archive without its end": archive(FILES, new Uint8Array()),
  "bytes behind the archive": concat([archive(FILES), new Uint8Array(512)]),
  "files that were not asked for": archive([...FILES, ["z", "x"]]),
};

for (const [what, sent] of Object.entries(FALSE_FILES)) {
  Deno.test(`runOnPeers() detects a node that sends ${what}`, async () => {
    const error = await assertRejects(() => runWithFiles(sent), PlasmError);
    assertEquals(error.exitCode, 76, error.message);
  });
}
