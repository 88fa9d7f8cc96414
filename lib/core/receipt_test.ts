import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { withValue } from "../../tests/fixtures/receipt_mutations.ts";
import vectors from "../../tests/vectors/receipt.json" with { type: "json" };
import { toHex } from "../util/mod.ts";
import { PlasmError } from "./errors/mod.ts";
import { identityFromSecretKey } from "./identity.ts";
import {
  findSignatureProblem,
  findTimeProblem,
  MAX_RECEIPT_BYTES,
  parseReceipt,
  type ReceiptFields,
  receiptTimes,
  signedBytes,
  signReceipt,
  WALL_TIME_TOLERANCE_MS,
} from "./receipt.ts";
import type { Receipt } from "./types.gen.ts";

const RECEIPT = parseReceipt(JSON.stringify(vectors.receipt));
const FIELDS: ReceiptFields = { claim: RECEIPT.claim, run: runFields() };
const NODE = await identityFromSecretKey(Uint8Array.from({ length: 32 }, (_, i) => i + 1));

Deno.test("signReceipt() signs the domain and the canonical JSON without the signatures", async () => {
  assertEquals(await signReceipt(FIELDS, NODE), RECEIPT);
  const text = new TextDecoder().decode(signedBytes(RECEIPT));
  assertEquals(text, `plasm-receipt-v0.2\n${vectors.canonical}`);
  assertEquals(toHex(signedBytes(RECEIPT)), vectors.signed_bytes);
});

function runFields(): ReceiptFields["run"] {
  const { claim_hash: _h, node: _n, ...fields } = RECEIPT.run;
  return fields;
}

Deno.test("signReceipt() throws when no verifier would accept the receipt", async () => {
  const cases: [string, unknown, string?][] = [
    ["claim.exit_code", null],
    ["claim.status", "trapped", "claim.exit_code"],
    ["claim.stdout.bytes", -1],
    ["claim.nondeterminism", ["random", "clock"]],
    ["run.finished_at", "2026-01-02T03:04:05.000Z"],
    ["run.usage.extra", 1],
  ];
  for (const [path, value, field = path] of cases) {
    const error = await assertRejects(
      () => signReceipt(withValue(FIELDS, path.split("."), value), NODE),
      PlasmError,
    );
    assertEquals({ code: error.code, field: error.details.field }, { code: "internal", field });
    assertEquals(error.message.startsWith("Cannot sign receipt: "), true);
  }
});

Deno.test("signReceipt() refuses a receipt that no verifier would read", async () => {
  const content = { hash: RECEIPT.claim.stdout.hash, bytes: 1 };
  const outputs = Object.fromEntries(
    Array.from({ length: 12_000 }, (_, n) => [`${n}/${"x".repeat(250)}`, content]),
  );
  const error = await assertRejects(
    () => signReceipt({ ...FIELDS, claim: { ...FIELDS.claim, outputs } }, NODE),
    PlasmError,
  );
  assertEquals(error.code, "over-limit");
});

Deno.test("findSignatureProblem() returns nothing only for the key that the receipt names", async () => {
  const fieldOf = async (path: string, value: unknown): Promise<string | undefined> =>
    (await findSignatureProblem(withValue(RECEIPT, path.split("."), value)))?.field;
  assertEquals(await findSignatureProblem(RECEIPT), undefined);
  assertEquals(await fieldOf("claim.exit_code", 1), "signature");
  const other = await identityFromSecretKey(new Uint8Array(32));
  assertEquals(await fieldOf("run.node.public_key", other.publicKey), "signature");
  assertEquals(await fieldOf("attestation", RECEIPT.signature), "attestation");
});

Deno.test("parseReceipt() throws when the input violates the schema", () => {
  for (const text of ["", "{", "[]", "null", "{}", '{"version":"0.2","version":"0.2"}']) {
    assertEquals(assertThrows(() => parseReceipt(text), PlasmError).code, "bad-receipt");
  }
  const padded = JSON.stringify(RECEIPT) + " ".repeat(MAX_RECEIPT_BYTES);
  assertThrows(() => parseReceipt(padded), PlasmError, `at most ${MAX_RECEIPT_BYTES} bytes`);
});

function receiptWith(started_at: string, finished_at: string, wall_time_ms: number): Receipt {
  const usage = { ...RECEIPT.run.usage, wall_time_ms };
  return { ...RECEIPT, run: { ...RECEIPT.run, started_at, finished_at, usage } };
}

Deno.test("receiptTimes() returns consistent times", () => {
  assertEquals(receiptTimes({ startedAt: 1_700_000_000_000.4, wallTimeMs: 1234.6 }), {
    started_at: "2023-11-14T22:13:20.000Z",
    finished_at: "2023-11-14T22:13:21.235Z",
    wall_time_ms: 1235,
  });
  assertEquals(receiptTimes({ startedAt: 0, wallTimeMs: -1 }).wall_time_ms, 0);
});

Deno.test("findTimeProblem() accepts a duration within the tolerance", () => {
  const start = "2026-01-01T00:00:00.000Z";
  const end = "2026-01-01T00:00:10.000Z";
  const tolerance = WALL_TIME_TOLERANCE_MS;
  for (const difference of [0, tolerance, -tolerance]) {
    assertEquals(findTimeProblem(receiptWith(start, end, 10_000 + difference)), undefined);
  }
  for (const difference of [tolerance + 1, -tolerance - 1]) {
    const problem = findTimeProblem(receiptWith(start, end, 10_000 + difference));
    assertEquals(problem?.field, "run.usage.wall_time_ms");
  }
  assertEquals(findTimeProblem(receiptWith(start, start, 0)), undefined);
});

Deno.test("findTimeProblem() names the field when a time is impossible", () => {
  const start = "2026-01-01T00:00:00.000Z";
  const field = (from: string, to: string): string | undefined =>
    findTimeProblem(receiptWith(from, to, 0))?.field;
  assertEquals(field("2026-02-29T00:00:00.000Z", start), "run.started_at");
  assertEquals(field(start, "2026-04-31T00:00:00.000Z"), "run.finished_at");
  assertEquals(field(start, "soon"), "run.finished_at");
  assertEquals(field(start, "2025-12-31T23:59:59.999Z"), "run.finished_at");
});
