import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import vectors from "../../tests/vectors/receipt.json" with { type: "json" };
import { toHex } from "../util/mod.ts";
import { PlasmError } from "./errors/mod.ts";
import { identityFromSecretKey } from "./identity.ts";
import {
  findTimeProblem,
  hasValidSignature,
  MAX_RECEIPT_BYTES,
  parseReceipt,
  receiptTimes,
  signedBytes,
  signReceipt,
  WALL_TIME_TOLERANCE_MS,
} from "./receipt.ts";
import type { Receipt } from "./types.gen.ts";

const RECEIPT = parseReceipt(JSON.stringify(vectors.receipt));
const NODE = await identityFromSecretKey(Uint8Array.from({ length: 32 }, (_, i) => i + 1));

Deno.test("signReceipt() signs the domain and the canonical JSON without the signature", async () => {
  const { version: _v, node: _n, signature: _s, ...fields } = RECEIPT;
  assertEquals(await signReceipt(fields, NODE), RECEIPT);
  const text = new TextDecoder().decode(signedBytes(RECEIPT));
  assertEquals(text, `plasm-receipt-v0.1\n${vectors.canonical}`);
  assertEquals(toHex(signedBytes(RECEIPT)), vectors.signed_bytes);
});

Deno.test("signReceipt() throws when no verifier would accept the receipt", async () => {
  const cases: [Record<string, unknown>, string][] = [
    [{ exit_code: null }, "exit_code"],
    [{ status: "trapped" }, "exit_code"],
    [{ stdout_bytes: -1 }, "stdout_bytes"],
    [{ finished_at: "2026-01-02T03:04:05.000Z" }, "finished_at"],
    [{ usage: { ...RECEIPT.usage, cpu_time_ms: 2 ** 53 - 1, extra: 1 } }, "usage.extra"],
  ];
  for (const [change, field] of cases) {
    const error = await assertRejects(
      () => signReceipt({ ...RECEIPT, ...change }, NODE),
      PlasmError,
    );
    assertEquals([error.code, error.details.field], ["internal", field]);
    assertEquals(error.message.startsWith("Cannot sign receipt: "), true);
  }
});

Deno.test("hasValidSignature() returns true only for the key that the receipt names", async () => {
  assertEquals(await hasValidSignature(RECEIPT), true);
  assertEquals(await hasValidSignature({ ...RECEIPT, exit_code: 1 }), false);
  const other = await identityFromSecretKey(new Uint8Array(32));
  const node = { ...RECEIPT.node, public_key: other.publicKey };
  assertEquals(await hasValidSignature({ ...RECEIPT, node }), false);
});

Deno.test("parseReceipt() throws when the input violates the schema", () => {
  for (const text of ["", "{", "[]", "null", "{}", '{"version":"0.1","version":"0.1"}']) {
    assertEquals(assertThrows(() => parseReceipt(text), PlasmError).code, "bad-receipt");
  }
  const padded = JSON.stringify(RECEIPT) + " ".repeat(MAX_RECEIPT_BYTES);
  assertThrows(() => parseReceipt(padded), PlasmError, `at most ${MAX_RECEIPT_BYTES} bytes`);
});

function receiptWith(started_at: string, finished_at: string, wall_time_ms: number): Receipt {
  return { ...RECEIPT, started_at, finished_at, usage: { ...RECEIPT.usage, wall_time_ms } };
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
    assertEquals(problem?.field, "usage.wall_time_ms");
  }
  assertEquals(findTimeProblem(receiptWith(start, start, 0)), undefined);
});

Deno.test("findTimeProblem() names the field when a time is impossible", () => {
  const start = "2026-01-01T00:00:00.000Z";
  const field = (from: string, to: string): string | undefined =>
    findTimeProblem(receiptWith(from, to, 0))?.field;
  assertEquals(field("2026-02-29T00:00:00.000Z", start), "started_at");
  assertEquals(field(start, "2026-04-31T00:00:00.000Z"), "finished_at");
  assertEquals(field(start, "soon"), "finished_at");
  assertEquals(field(start, "2025-12-31T23:59:59.999Z"), "finished_at");
});
