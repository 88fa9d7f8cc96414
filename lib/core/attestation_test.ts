import { assertEquals } from "@std/assert";
import vectors from "../../tests/vectors/receipt.json" with { type: "json" };
import { toHex } from "../util/mod.ts";
import {
  attestedBytes,
  PAYLOAD_TYPE,
  PREDICATE_TYPE,
  STATEMENT_TYPE,
  statementBytes,
  statementOf,
} from "./attestation.ts";
import { checkClaim, claimHash } from "./claim.ts";

const CLAIM = checkClaim(vectors.receipt.claim);

Deno.test("statementOf() names both streams, then the outputs in the order of canonical JSON", () => {
  const { predicate, subject, ...types } = statementOf(CLAIM);
  assertEquals(types, { _type: STATEMENT_TYPE, predicateType: PREDICATE_TYPE });
  assertEquals(predicate, CLAIM);
  const names = ["stdout", "stderr", "10", "9", "out/größe \u{1f600}.txt"];
  assertEquals(subject.map(({ name }) => name), names);
  for (const { name, digest } of subject) {
    const { hash } = name === "stdout" || name === "stderr" ? CLAIM[name] : CLAIM.outputs[name]!;
    assertEquals(`sha256:${digest.sha256}`, hash);
  }
});

Deno.test("statementBytes() and attestedBytes() match the published bytes", () => {
  const statement = statementBytes(CLAIM);
  assertEquals(new TextDecoder().decode(statement), vectors.statement);
  assertEquals(toHex(attestedBytes(statement)), vectors.attested_bytes);
});

Deno.test("attestedBytes() is DSSE's pre-authentication encoding", () => {
  const bytes = attestedBytes(new TextEncoder().encode("größe"));
  assertEquals(new TextDecoder().decode(bytes), `DSSEv1 28 ${PAYLOAD_TYPE} 7 größe`);
});

Deno.test("claimHash() matches the published hash", async () => {
  assertEquals(await claimHash(CLAIM), vectors.claim_hash);
});
