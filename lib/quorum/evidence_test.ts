import { assertEquals, assertRejects } from "@std/assert";
import { PlasmError } from "../core/errors/mod.ts";
import { ephemeralIdentity, type Identity } from "../core/mod.ts";
import { OTHER_HASH, receiptOf } from "../../tests/fixtures/claims.ts";
import { arbitrate, createEvidence, verifyEvidence } from "./evidence.ts";

async function refusal(receipts: readonly unknown[]): Promise<unknown> {
  const error = await assertRejects(() => createEvidence(receipts), PlasmError);
  assertEquals(error.code, "bad-receipt");
  return error.details["field"];
}

Deno.test("verifyEvidence() shows which claims contradict each other, and who signed them", async () => {
  const [a, b, c] = [
    await ephemeralIdentity(),
    await ephemeralIdentity(),
    await ephemeralIdentity(),
  ];
  const receipts = [
    await receiptOf({ by: a }),
    await receiptOf({ by: b }),
    await receiptOf({ by: c, stdout: OTHER_HASH }),
  ];
  const verified = await verifyEvidence(JSON.parse(JSON.stringify(await createEvidence(receipts))));
  assertEquals(verified.contradictions.length, 1);
  assertEquals(verified.contradictions[0]!.difference.field, "stdout.hash");
  assertEquals(verified.selfContradicting, []);
});

Deno.test("two contradicting receipts of one node prove that it is false", async () => {
  const [a, b] = [await ephemeralIdentity(), await ephemeralIdentity()];
  const evidence = await createEvidence([
    await receiptOf({ by: a }),
    await receiptOf({ by: b }),
    await receiptOf({ by: a, stdout: OTHER_HASH }),
  ]);
  const { selfContradicting, contradictions } = await verifyEvidence(evidence);
  assertEquals(selfContradicting, [a.peerId]);
  assertEquals(contradictions.length, 2);
});

Deno.test("what honest nodes can differ in is no evidence", async () => {
  const [a, b] = [await ephemeralIdentity(), await ephemeralIdentity()];
  const honest = await receiptOf({ by: a });
  assertEquals(await refusal([honest, await receiptOf({ by: b })]), "receipts");
  const timeout = { status: "timeout", exit_code: null } as const;
  assertEquals(await refusal([honest, await receiptOf({ by: b, claim: timeout })]), "receipts");
  const free = { profile: "default", nondeterminism: ["clock"] } as const;
  const clock = (by: Identity, stdout?: string) =>
    receiptOf({ by, claim: { ...free, nondeterminism: ["clock"] }, ...stdout ? { stdout } : {} });
  assertEquals(await refusal([await clock(a), await clock(b, OTHER_HASH)]), "receipts");
  // In the default profile the bits of NaN depend on the architecture.
  const plain = { profile: "default" } as const;
  const here = await receiptOf({ by: a, claim: plain });
  const there = { by: b, claim: plain, stdout: OTHER_HASH };
  assertEquals(
    await refusal([here, await receiptOf({ ...there, runtime: { arch: "riscv64" } })]),
    "receipts",
  );
  await createEvidence([here, await receiptOf(there)]);
});

Deno.test("evidence is refused if a receipt is changed, of another job or of another version", async () => {
  const [a, b] = [await ephemeralIdentity(), await ephemeralIdentity()];
  const honest = await receiptOf({ by: a });
  const lie = await receiptOf({ by: b, stdout: OTHER_HASH });
  assertEquals(await refusal([honest, { ...lie, signature: honest.signature }]), "signature");
  const other = await receiptOf({ by: b, stdout: OTHER_HASH, claim: { stdin_hash: OTHER_HASH } });
  assertEquals(await refusal([honest, other]), "receipts[1].claim.stdin_hash");
  assertEquals(await refusal([honest, { ...lie, version: "0.1" }]), "version");
  assertEquals(await refusal([honest]), "receipts");
  assertEquals(await refusal(Array(33).fill(honest)), "receipts");
});

Deno.test("arbitrate() separates confirmed, false and undecided receipts", async () => {
  const [a, b, c] = [
    await ephemeralIdentity(),
    await ephemeralIdentity(),
    await ephemeralIdentity(),
  ];
  const honest = await receiptOf({ by: a });
  const lie = await receiptOf({ by: b, stdout: OTHER_HASH });
  const late = await receiptOf({ by: b, claim: { status: "timeout", exit_code: null } });
  const verdict = arbitrate([honest, lie, late], await receiptOf({ by: c }));
  assertEquals(verdict.confirmed, [honest]);
  assertEquals(verdict.false, [lie]);
  assertEquals(verdict.undecided, [late]);
});
