import { assertEquals } from "@std/assert";
import vectors from "../../tests/vectors/receipt.json" with { type: "json" };
import { compareRuns } from "./rerun_verdict.ts";
import type { Claim } from "./types.gen.ts";

const CLAIM: Claim = { ...vectors.receipt.claim as Claim, nondeterminism: [] };
const OTHER = { hash: `sha256:${"ab".repeat(32)}`, bytes: 1 };

Deno.test("compareRuns() returns reproduced when the claims are equal, whatever the job used", () => {
  for (const claim of [CLAIM, { ...CLAIM, nondeterminism: ["clock" as const] }]) {
    const { outcome, difference } = compareRuns(claim, structuredClone(claim));
    assertEquals({ outcome, difference }, { outcome: "reproduced", difference: undefined });
  }
});

Deno.test("compareRuns() returns different when nothing explains another output", () => {
  const { outcome, difference, sources } = compareRuns(CLAIM, { ...CLAIM, stdout: OTHER });
  assertEquals({ outcome, sources }, { outcome: "different", sources: [] });
  assertEquals(difference?.field, "stdout.bytes");
});

Deno.test("compareRuns() returns not-reproducible with the sources that both runs used", () => {
  const claim: Claim = { ...CLAIM, nondeterminism: ["random"] };
  const rerun: Claim = { ...CLAIM, nondeterminism: ["clock", "random"], stdout: OTHER };
  const { outcome, sources } = compareRuns(claim, rerun);
  assertEquals({ outcome, sources }, { outcome: "not-reproducible", sources: ["clock", "random"] });
});

Deno.test("compareRuns() returns different when only one claim names a source, which no honest run can", () => {
  const claim: Claim = { ...CLAIM, nondeterminism: ["clock"], stdout: OTHER };
  for (const [first, second] of [[claim, CLAIM], [CLAIM, claim]] as const) {
    const { outcome, sources } = compareRuns(first, second);
    assertEquals({ outcome, sources }, { outcome: "different", sources: [] });
  }
});

Deno.test("compareRuns() returns not-reproducible with a status that depends on the node", () => {
  for (const status of ["timeout", "memory", "output", "trapped"] as const) {
    const limited: Claim = { ...CLAIM, status, exit_code: null };
    for (const [first, second] of [[limited, CLAIM], [CLAIM, limited]] as const) {
      const { outcome, sources } = compareRuns(first, second);
      assertEquals({ outcome, sources }, { outcome: "not-reproducible", sources: [status] });
    }
  }
});

Deno.test("compareRuns() returns different with a trap in the deterministic profile", () => {
  const claim: Claim = { ...CLAIM, profile: "deterministic" };
  const trapped: Claim = { ...claim, status: "trapped", exit_code: null };
  assertEquals(compareRuns(trapped, claim).outcome, "different");
  const limited: Claim = { ...trapped, status: "memory" };
  assertEquals(compareRuns(limited, claim).outcome, "not-reproducible");
});

Deno.test("compareRuns() returns different when the fuel or the exit code differs", () => {
  for (const change of [{ fuel: 5 }, { exit_code: 99 }, { status: "fuel", exit_code: null }]) {
    const { outcome } = compareRuns(CLAIM, { ...CLAIM, ...change as Partial<Claim> });
    assertEquals(outcome, "different");
  }
});
