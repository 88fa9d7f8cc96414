/**
 * Compares the claims of deterministic jobs with the published ones. CI runs this on both versions of Deno;
 * tests/packaging/deterministic_test.ts does the same with the binaries of both architectures.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { ephemeralIdentity, runJob } from "../../../mod.ts";
import { TIER_MASK_FLAG } from "../../../lib/sandbox/host/spawn/spawn_executor.ts";
import {
  inputsOf,
  manifestFor,
  moduleOrSkip,
  PROGRAMS,
  publishable,
  publishedClaim,
} from "../../fixtures/deterministic/programs.ts";
import { spawnedExecutor } from "../../fixtures/spawned_executor.ts";

/** Flags of V8 that select the compilers of a job. */
const COMPILERS = {
  "both compilers, as in every executor": TIER_MASK_FLAG,
  "the optimizing compiler only": "--no-liftoff",
  "the baseline compiler only": "--liftoff-only",
};

/** Memory of the executor's jobs, in bytes: that of the manifest and the file system. */
const MAX_MEMORY_BYTES = 1024 * 2 ** 20;

for (const program of PROGRAMS) {
  Deno.test(`runJob() makes the published claim: ${program.name}`, async (t) => {
    const expected = publishedClaim(program);
    assert(expected !== undefined, "run scripts/deterministic_vectors.ts");
    const module = await moduleOrSkip(program);
    if (module === undefined) return;
    const manifest = await manifestFor(program, module);
    const signer = await ephemeralIdentity();
    const inputs = inputsOf(program);
    for (const [compilers, flag] of Object.entries(COMPILERS)) {
      await t.step(compilers, async () => {
        await using executor = spawnedExecutor({ maxMemoryBytes: MAX_MEMORY_BYTES, flag });
        const { receipt, outcome } = await runJob(module, {
          manifest,
          ...(Object.keys(inputs).length === 0 ? {} : { inputs }),
          stdin: new TextEncoder().encode(program.stdin),
          signer,
          executor,
        });
        assertEquals(publishable(program, receipt!), expected, outcome.message);
      });
    }
  });
}
