import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { PlasmError } from "./errors/errors.ts";
import { identityFromSecretKey } from "./identity.ts";
import vectors from "../../tests/vectors/receipt.json" with { type: "json" };
import { toHex } from "../util/hex.ts";
import {
  hasValidSignature,
  MAX_RECEIPT_BYTES,
  parseReceipt,
  signedBytes,
  signReceipt,
} from "./receipt.ts";

const RECEIPT = parseReceipt(JSON.stringify(vectors.receipt));
const NODE = await identityFromSecretKey(Uint8Array.from({ length: 32 }, (_, i) => i + 1));

Deno.test("signReceipt() signs the domain and the canonical form without signature", async () => {
  const { version: _v, node: _n, signature: _s, ...fields } = RECEIPT;
  assertEquals(await signReceipt(fields, NODE), RECEIPT);
  const text = new TextDecoder().decode(signedBytes(RECEIPT));
  assertEquals(text, `plasm-receipt-v0.1\n${vectors.canonical}`);
  assertEquals(toHex(signedBytes(RECEIPT)), vectors.signed_bytes);
});

Deno.test("signReceipt() signs nothing that no one would accept", async () => {
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

Deno.test("hasValidSignature() is true for the key that the receipt names only", async () => {
  assertEquals(await hasValidSignature(RECEIPT), true);
  assertEquals(await hasValidSignature({ ...RECEIPT, exit_code: 1 }), false);
  const other = await identityFromSecretKey(new Uint8Array(32));
  const node = { ...RECEIPT.node, public_key: other.publicKey };
  assertEquals(await hasValidSignature({ ...RECEIPT, node }), false);
});

Deno.test("parseReceipt() refuses what has not the form of a receipt", () => {
  for (const text of ["", "{", "[]", "null", "{}", '{"version":"0.1","version":"0.1"}']) {
    assertEquals(assertThrows(() => parseReceipt(text), PlasmError).code, "bad-receipt");
  }
  const padded = JSON.stringify(RECEIPT) + " ".repeat(MAX_RECEIPT_BYTES);
  assertThrows(() => parseReceipt(padded), PlasmError, `at most ${MAX_RECEIPT_BYTES} bytes`);
});
