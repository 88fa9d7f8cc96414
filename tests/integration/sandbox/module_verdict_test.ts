/**
 * Compares the verdict on modules that differ from a valid one in a single place: loading must accept exactly those
 * that the engine accepts as submitted, whatever the rewriting adds, drops or lowers.
 *
 * `PLASM_MUTANTS` is the number of mutants that are tested of each module: 1000000 tests nearly all of them.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { PlasmError } from "../../../lib/core/errors/mod.ts";
import { inspectModule } from "../../../lib/wasm/mod.ts";
import { reorderFunctions } from "../../../lib/wasm/reorder/mod.ts";
import { HOSTILE_MODULES } from "../../fixtures/hostile/modules.ts";
import { mutationsOf } from "../../fixtures/module_mutants.ts";
import { verdictModules } from "../../fixtures/verdict_modules.ts";

const LIMITS = {
  moduleBytes: 65_536,
  memoryBytes: 64 * 1_048_576,
  tableEntries: 10_000_000,
};

/** Mutants that are tested of each module. */
const SAMPLE = Number(Deno.env.get("PLASM_MUTANTS") ?? 12_000);

/** Mutants that are tested of each hostile module, and the size up to which these are used. */
const HOSTILE_SAMPLE = SAMPLE / 24;
const HOSTILE_BYTES = 1_024;

/** What loading does with a module, in the steps of the host and of `compileModule()` in the child. */
interface Verdict {
  /** `policy`: well-formed as far as it was read, but not a command that can run within the limits. */
  verdict: "accepted" | "malformed" | "policy";
  /** Whether the engine saw another order of functions. */
  reordered: boolean;
}

function verdictOf(bytes: Uint8Array<ArrayBuffer>): Verdict {
  let inspected: Uint8Array<ArrayBuffer>;
  try {
    inspected = inspectModule(bytes, LIMITS).bytes;
  } catch (error) {
    if (!(error instanceof PlasmError)) throw error;
    // Errors about a part of the module name it, but a limit of ours is policy.
    const malformed = "part" in error.details && !error.message.includes("(limit ");
    return { verdict: malformed ? "malformed" : "policy", reordered: false };
  }
  const reordered = reorderFunctions(inspected).bytes;
  const accepted = WebAssembly.validate(reordered) || WebAssembly.validate(inspected);
  return { verdict: accepted ? "accepted" : "malformed", reordered: reordered !== inspected };
}

/** Compares the verdicts on a module's mutants and returns how many were tested. */
function compareVerdicts(
  name: string,
  module: Uint8Array<ArrayBuffer>,
  sample: number,
): Record<string, number> {
  const counts = { mutants: 0, valid: 0, invalid: 0, reordered: 0, policy: 0, differing: 0 };
  let count = 0;
  for (const _ of mutationsOf(module)) count++;
  // A stride that is prime to the number of values of a byte meets each of them.
  const stride = Math.ceil(count / sample) | 1;
  const differing: string[] = [];
  let at = 0;
  for (const mutate of mutationsOf(module)) {
    if (at++ % stride !== 0) continue;
    const mutant = mutate();
    const { verdict, reordered } = verdictOf(mutant);
    const valid = WebAssembly.validate(mutant);
    counts.mutants++;
    counts[valid ? "valid" : "invalid"]++;
    if (reordered) counts.reordered++;
    if (verdict === "policy") counts.policy++;
    else if (valid !== (verdict === "accepted")) {
      counts.differing++;
      differing.push(
        `${name}, mutation ${at - 1}: ${verdict}, but valid is ${valid}: ${mutant.toHex()}`,
      );
    }
  }
  assertEquals(differing, []);
  return counts;
}

Deno.test("loading a module accepts a mutant only when the engine accepts it as submitted", async () => {
  const total: Record<string, number> = {};
  const add = (counts: Record<string, number>): void => {
    for (const [key, count] of Object.entries(counts)) total[key] = (total[key] ?? 0) + count;
  };
  for (const [name, module] of await verdictModules()) {
    assert(WebAssembly.validate(module), name);
    assertEquals(verdictOf(module).verdict, "accepted", name);
    add(compareVerdicts(name, module, SAMPLE));
  }
  for (const { name, bytes, limits } of HOSTILE_MODULES) {
    if (limits?.moduleBytes !== undefined) continue;
    const module = await bytes();
    if (module.length <= HOSTILE_BYTES) add(compareVerdicts(name, module, HOSTILE_SAMPLE));
  }
  const text = Object.entries(total).map(([key, count]) => `${count} ${key}`).join(", ");
  console.log(`Verdicts: ${text}`);
  // Most mutants are invalid; enough of both kinds must have been compared.
  assert(Math.min(total.valid!, total.reordered!) > total.mutants! / 10, text);
});
