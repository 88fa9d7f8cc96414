import { assertEquals } from "@std/assert";
import vectors from "../../tests/vectors/receipt.json" with { type: "json" };
import { differenceText, findClaimDifference } from "./claim_difference.ts";
import type { Claim } from "./types.gen.ts";

const CLAIM = vectors.receipt.claim as Claim;
const HASH = `sha256:${"ab".repeat(32)}`;

/** Returns the field in which a changed claim differs. */
function fieldOf(changes: Partial<Claim>): string | undefined {
  return findClaimDifference(CLAIM, { ...CLAIM, ...changes })?.field;
}

Deno.test("findClaimDifference() returns undefined when the order of fields is all that differs", () => {
  const reversed = Object.fromEntries(Object.entries(CLAIM).reverse()) as unknown as Claim;
  assertEquals(findClaimDifference(CLAIM, reversed), undefined);
});

Deno.test("findClaimDifference() names a difference in each field of the claim", () => {
  const other: { [K in keyof Claim]-?: [Claim[K] | undefined, string?] } = {
    version: ["0.3" as Claim["version"]],
    manifest_hash: [HASH],
    module_hash: [HASH],
    stdin_hash: [HASH],
    stdout: [{ ...CLAIM.stdout, bytes: CLAIM.stdout.bytes + 1 }, "stdout.bytes"],
    stderr: [{ ...CLAIM.stderr, hash: HASH }, "stderr.hash"],
    outputs: [{ "/new": CLAIM.stdout }, 'outputs["/new"]'],
    status: ["trapped"],
    exit_code: [99],
    fuel: [99],
    profile: [CLAIM.profile === "default" ? "deterministic" : "default"],
    nondeterminism: [[...CLAIM.nondeterminism, ...CLAIM.nondeterminism, "clock"]],
  };
  for (const [name, [value, field = name]] of Object.entries(other)) {
    assertEquals(fieldOf({ [name]: value }), field);
    const absent = findClaimDifference(CLAIM, { ...CLAIM, [name]: undefined });
    const isAbsent = CLAIM[name as keyof Claim] === undefined;
    assertEquals(absent?.field, isAbsent ? undefined : name);
  }
});

Deno.test("findClaimDifference() names the first of several differences", () => {
  assertEquals(fieldOf({ exit_code: 99, stderr: { hash: HASH, bytes: 0 } }), "exit_code");
  assertEquals(fieldOf({ stderr: { hash: HASH, bytes: 99 } }), "stderr.bytes");
});

Deno.test("differenceText() shows both values, and a field that is absent", () => {
  const { status } = CLAIM;
  const names = { first: "a.json", second: "b.json" };
  const changed = findClaimDifference(CLAIM, { ...CLAIM, status: "trapped" })!;
  assertEquals(
    differenceText(changed, names),
    `status is "${status}" in a.json, "trapped" in b.json`,
  );
  const added = findClaimDifference({ ...CLAIM, outputs: {} }, {
    ...CLAIM,
    outputs: { "/o": { hash: HASH, bytes: 1 } },
  })!;
  assertEquals(
    differenceText(added, names),
    `outputs["/o"] is absent in a.json, {"hash":"${HASH}","bytes":1} in b.json`,
  );
});
