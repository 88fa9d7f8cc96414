/**
 * Runs a program that calls the functions of WASI 0.2 as wasmtime's and jco's own test programs do: scenarios that check
 * themselves, and ways to end.
 * @module
 */
import { assertEquals } from "@std/assert";
import { Executor } from "../../../lib/sandbox/host/executor.ts";
import type { SandboxJob } from "../../../lib/sandbox/job_types.ts";
import { collect, sandboxJob } from "../../fixtures/sandbox_jobs.ts";

const PROGRAM = await Deno.readFile(
  new URL("../../fixtures/components/preview2.wasm", import.meta.url),
);

const job = (fields: Partial<SandboxJob>): SandboxJob => ({
  ...sandboxJob(PROGRAM),
  moduleKey: `preview2 ${fields.deterministic !== undefined}`,
  argv0: "program",
  ...fields,
});

Deno.test("a component gets what WASI 0.2 promises, in both profiles", async () => {
  await using executor = new Executor();
  const deterministic = { seed: new Uint8Array(32), epochMs: 0 };
  for (const profile of [{}, { deterministic }]) {
    const { outcome, stdout, stderr } = await collect(executor.run(job({
      ...profile,
      args: ["größe"],
      env: { B: "", A: "1" },
      stdin: new TextEncoder().encode("input rest"),
    })));
    assertEquals(
      { exitCode: outcome.exitCode, stdout, stderr },
      { exitCode: 0, stdout: "rest ok12 of 12\n", stderr: "to stderr" },
    );
    assertEquals(
      outcome.nondeterminism.join(" "),
      "deterministic" in profile ? "" : "clock poll random",
    );
  }
});

/** Exit code or message by the way in which the program ends. */
const ENDS: Record<string, number | string> = {
  "exit-ok": 0,
  "exit-error": 1,
  "return-error": 1,
  "poll-nothing": "it polls an empty list",
  "use-dropped": "2 is not a handle of input-stream",
  "drop-twice": "2 is not a handle of pollable",
  "wrong-type": "2 is not a handle of pollable",
  "bad-pointer": "64 bytes at 4294967288 are outside its memory of 393216 bytes",
  "bad-string": "a string is not well-formed",
};

Deno.test("a component that misuses a handle or its memory traps with its calls", async (t) => {
  await using executor = new Executor();
  for (const [way, end] of Object.entries(ENDS)) {
    await t.step(way, async () => {
      const { outcome } = await collect(executor.run(job({ args: [way] })));
      if (typeof end === "number") {
        assertEquals([outcome.status, outcome.exitCode], ["exited", end]);
      } else {
        assertEquals(outcome.message, `Job trapped: component error: ${end}`);
        // The innermost call is in the first or second core module, the outermost is run() in the first.
        assertEquals(outcome.trace?.at(-1)?.module, 0);
      }
    });
  }
});
