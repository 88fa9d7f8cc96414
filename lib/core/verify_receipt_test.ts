import { assertEquals, assertRejects } from "@std/assert";
import {
  addedFields,
  changedFields,
  droppedFields,
  type ReceiptMutation,
  retypedFields,
} from "../../tests/fixtures/receipt_mutations.ts";
import vectors from "../../tests/vectors/receipt.json" with { type: "json" };
import { PlasmError } from "./errors/mod.ts";
import { identityFromSecretKey } from "./identity.ts";
import { sha256 } from "./hash.ts";
import { fromHex } from "../util/bytes.ts";
import { checkManifest } from "./manifest.ts";
import { parseReceipt, signReceipt } from "./receipt.ts";
import { type ReceiptExpectations, verifyReceipt } from "./verify_receipt.ts";

interface VectorExpectations {
  key?: string;
  peer_id?: string;
  job_id?: string;
  nonce?: string;
  manifest?: unknown;
  module?: string;
  stdin?: string;
  stdout?: string;
  stderr?: string;
  outputs?: { [path: string]: string | undefined };
}

function expectations(vector: VectorExpectations): ReceiptExpectations {
  const { key, peer_id, job_id, nonce, manifest, module, stdin, stdout, stderr } = vector;
  const outputs = Object.entries(vector.outputs ?? {}) as [string, string][];
  return {
    ...key === undefined ? {} : { key },
    ...peer_id === undefined ? {} : { peerId: peer_id },
    ...job_id === undefined ? {} : { jobId: job_id },
    ...nonce === undefined ? {} : { nonce },
    ...manifest === undefined ? {} : { manifest: checkManifest(manifest) },
    ...module === undefined ? {} : { module: fromHex(module) },
    ...stdin === undefined ? {} : { stdin: fromHex(stdin) },
    ...stdout === undefined ? {} : { stdout: fromHex(stdout) },
    ...stderr === undefined ? {} : { stderr: fromHex(stderr) },
    ...vector.outputs === undefined
      ? {}
      : { outputs: Object.fromEntries(outputs.map(([path, hex]) => [path, fromHex(hex)])) },
  };
}

const RECEIPT = parseReceipt(JSON.stringify(vectors.receipt));
const EXPECTED = expectations(vectors.expected);
const OTHER = `sha256:${"0".repeat(64)}`;

async function fieldRefused(receipt: unknown, expected: ReceiptExpectations): Promise<unknown> {
  const error = await assertRejects(() => verifyReceipt(receipt, expected), PlasmError);
  assertEquals(error.code, "bad-receipt");
  assertEquals(error.message.startsWith("Cannot trust receipt: "), true, error.message);
  return error.details.field;
}

async function assertAllRefused(mutations: ReceiptMutation[]): Promise<void> {
  for (const { name, field, receipt } of mutations) {
    assertEquals(await fieldRefused(receipt, EXPECTED), field, name);
    // A change is detected without any expectation.
    assertEquals(await fieldRefused(receipt, {}), field, name);
  }
}

Deno.test("verifyReceipt() accepts the published receipt and returns it", async () => {
  assertEquals(await verifyReceipt(RECEIPT, EXPECTED), RECEIPT);
  assertEquals(await verifyReceipt(RECEIPT), RECEIPT);
});

Deno.test("verifyReceipt() accepts the published valid receipts", async () => {
  for (const { name, json, expected } of vectors.accepted) {
    const receipt = await verifyReceipt(JSON.parse(json), expectations(expected));
    assertEquals(receipt as unknown, JSON.parse(json), name);
  }
});

Deno.test("verifyReceipt() names the field of each published mutation", async () => {
  for (const vector of vectors.refused) {
    const expected: VectorExpectations = { ...vectors.expected, ...vector.expected };
    const error = await assertRejects(
      async () => await verifyReceipt(parseReceipt(vector.json), expectations(expected)),
      PlasmError,
      undefined,
      vector.name,
    );
    assertEquals(error.code, "bad-receipt", vector.name);
    if (vector.field !== "") assertEquals(error.details.field, vector.field, vector.name);
  }
});

Deno.test("verifyReceipt() throws when any field is changed", async () => {
  await assertAllRefused(changedFields(RECEIPT));
});

Deno.test("verifyReceipt() throws when any field is missing", async () => {
  await assertAllRefused(droppedFields(RECEIPT));
});

Deno.test("verifyReceipt() throws when any field has another type", async () => {
  const values = [true, [], {}, 0.5, -1, 1e300, "", "\ud800", undefined, 1n, NaN];
  for (const { name, receipt } of retypedFields(RECEIPT, values)) {
    const error = await assertRejects(() => verifyReceipt(receipt, EXPECTED), PlasmError);
    assertEquals(error.code, "bad-receipt", name);
  }
  await assertAllRefused(retypedFields(RECEIPT, [true, 0.5]));
});

Deno.test("verifyReceipt() throws when any object has an additional field", async () => {
  await assertAllRefused(addedFields(RECEIPT));
});

Deno.test("verifyReceipt() throws when any byte of the canonical JSON is flipped", async () => {
  const bytes = new TextEncoder().encode(vectors.canonical);
  let parsed = 0;
  for (let i = 0; i < bytes.length; i++) {
    for (const bit of [0, 1 + i % 7]) {
      const flipped = bytes.slice();
      flipped[i]! ^= 1 << bit;
      const json = new TextDecoder().decode(flipped);
      // The signature covers the canonical JSON and is a field of the document.
      const { signature, attestation } = RECEIPT;
      const signatures = `,"signature":"${signature}","attestation":"${attestation}"}`;
      const signed = json.replace(/}$/, signatures);
      const error = await assertRejects(
        async () => await verifyReceipt(parseReceipt(signed)),
        PlasmError,
        undefined,
        `byte ${i} bit ${bit}: ${json}`,
      );
      assertEquals(error.code, "bad-receipt");
      if (error.details.field === "signature") parsed++;
    }
  }
  // Many mutations have a valid form and are detected by the signature.
  assertEquals(parsed > 300, true);
});

Deno.test("verifyReceipt() throws when an expectation differs", async () => {
  const text = new TextEncoder().encode("other");
  const manifest = EXPECTED.manifest!;
  const cases: [ReceiptExpectations, string][] = [
    [{ key: "0".repeat(64) }, "run.node.public_key"],
    [{ key: "" }, "run.node.public_key"],
    [{ peerId: "12D3KooW" }, "run.node.peer_id"],
    [{ peerId: "" }, "run.node.peer_id"],
    [{ jobId: "job_x" }, "run.job_id"],
    [{ nonce: "" }, "run.nonce"],
    [{ nonce: RECEIPT.run.nonce.toUpperCase() }, "run.nonce"],
    [{ manifest: { ...manifest, idempotent: true } }, "claim.manifest_hash"],
    [{ module: text }, "claim.module_hash"],
    [{ module: OTHER }, "claim.module_hash"],
    [{ stdin: text }, "claim.stdin_hash"],
    [{ stdin: OTHER }, "claim.stdin_hash"],
    [{ stdout: text }, "claim.stdout.hash"],
    [{ stdout: { hash: OTHER, bytes: 12 } }, "claim.stdout.hash"],
    [{ stdout: { hash: RECEIPT.claim.stdout.hash, bytes: 13 } }, "claim.stdout.bytes"],
    [{ stderr: text }, "claim.stderr.hash"],
    [{ outputs: {} }, 'claim.outputs["10"]'],
    [{ outputs: { ...EXPECTED.outputs, more: text } }, "claim.outputs.more"],
    [{ outputs: { ...EXPECTED.outputs, "9": text } }, 'claim.outputs["9"].hash'],
    [{ manifest: { ...manifest, outputs: [] } }, "claim.manifest_hash"],
    [{ stderr: { hash: RECEIPT.claim.stderr.hash, bytes: NaN } }, "claim.stderr.bytes"],
  ];
  for (const [expected, field] of cases) {
    assertEquals(await fieldRefused(RECEIPT, expected), field);
    assertEquals(await fieldRefused(RECEIPT, { ...EXPECTED, ...expected }), field);
  }
});

Deno.test("verifyReceipt() derives the peer id from the key", async () => {
  const lies = vectors.refused.filter(({ name }) => name.endsWith("peer id of another key"));
  assertEquals(lies.length, 1);
  for (const { json } of lies) {
    assertEquals(await fieldRefused(JSON.parse(json), {}), "run.node.peer_id");
    assertEquals(
      await fieldRefused(JSON.parse(json), { key: vectors.public_key }),
      "run.node.peer_id",
    );
  }
});

Deno.test("verifyReceipt() binds module and stdin when only the manifest is given", async () => {
  const node = await identityFromSecretKey(fromHex(vectors.secret_key));
  const manifest = EXPECTED.manifest!;
  const { claim_hash: _h, node: _n, ...run } = RECEIPT.run;
  for (const field of ["module_hash", "stdin_hash"] as const) {
    const receipt = await signReceipt({ claim: { ...RECEIPT.claim, [field]: OTHER }, run }, node);
    await verifyReceipt(receipt);
    assertEquals(await fieldRefused(receipt, { manifest }), `claim.${field}`);
  }
});

Deno.test("verifyReceipt() names both values when they differ", async () => {
  const stdout = new TextEncoder().encode("other");
  const error = await assertRejects(() => verifyReceipt(RECEIPT, { stdout }), PlasmError);
  assertEquals(
    error.message,
    `Cannot trust receipt: claim.stdout.hash is ${RECEIPT.claim.stdout.hash}, received bytes hash to ` +
      await sha256(stdout),
  );
});

Deno.test("verifyReceipt() throws when a time is outside the window", async () => {
  const from = Date.parse(RECEIPT.run.started_at);
  const to = Date.parse(RECEIPT.run.finished_at);
  const hour = 3_600_000;
  await verifyReceipt(RECEIPT, { window: { from, to, toleranceMs: 0 } });
  await verifyReceipt(RECEIPT, { window: { from: from + 60_000, to: to - 60_000 } });
  const refused = async (window: ReceiptExpectations["window"]): Promise<unknown> =>
    await fieldRefused(RECEIPT, { window: window! });
  assertEquals(await refused({ from: from + 1, to, toleranceMs: 0 }), "run.started_at");
  assertEquals(await refused({ from, to: to - 1, toleranceMs: 0 }), "run.finished_at");
  assertEquals(await refused({ from: from + hour, to: to + hour }), "run.started_at");
  assertEquals(await refused({ from: from - hour, to: to - hour }), "run.started_at");
  assertEquals(await refused({ from: NaN, to }), "run.started_at");
});

Deno.test("verifyReceipt() throws when an expectation is unknown or undefined", async () => {
  for (const expected of [{ nonce: undefined }, { peerid: "12D3KooW" }, { "module_hash": OTHER }]) {
    const error = await assertRejects(
      () => verifyReceipt(RECEIPT, expected as ReceiptExpectations),
      PlasmError,
    );
    assertEquals(error.code, "usage");
  }
});

Deno.test("verifyReceipt() returns a copy of the receipt", async () => {
  const receipt = structuredClone(RECEIPT);
  const pending = verifyReceipt(receipt);
  receipt.claim.exit_code = 7;
  assertEquals((await pending).claim.exit_code, 0);
});
