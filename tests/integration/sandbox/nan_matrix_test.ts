/**
 * Runs every float operation on every kind of NaN, seen in every way, with and without the deterministic profile.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { instrument } from "../../../lib/wasm/instrument/mod.ts";
import { Executor } from "../../../lib/sandbox/executors.ts";
import { runSandbox } from "../../../lib/sandbox/run_job.ts";
import {
  describeNanMatrix,
  expectedNanMatrix,
  nanMatrix,
} from "../../fixtures/deterministic/nan_matrix.ts";
import { sandboxJob } from "../../fixtures/sandbox_jobs.ts";

/** What the first difference shows; undefined if there is none. */
function firstDifference(output: Uint8Array, expected: Uint8Array): string | undefined {
  assertEquals(output.length, expected.length);
  const at = output.findIndex((byte, index) => byte !== expected[index]);
  return at < 0 ? undefined : describeNanMatrix(at);
}

/** Runs the program in this process, whose compiler differs from the executors'. */
function runHere(bytes: Uint8Array<ArrayBuffer>): Uint8Array {
  const output: Uint8Array[] = [];
  const fd_write = (_fd: number, vectors: number): number => {
    const { buffer } = instance.exports.memory as WebAssembly.Memory;
    const view = new DataView(buffer);
    const [start, length] = [view.getUint32(vectors, true), view.getUint32(vectors + 4, true)];
    output.push(new Uint8Array(buffer, start, length).slice());
    return 0;
  };
  const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), {
    wasi_snapshot_preview1: { fd_write },
  });
  (instance.exports._start as () => void)();
  return new Uint8Array(output.flatMap((part) => [...part]));
}

Deno.test("instrument() gives every NaN of the matrix its canonical or its moved bits", async () => {
  const bytes = await nanMatrix();
  const expected = expectedNanMatrix();
  const instrumented = instrument(bytes, { canonicalizeNaN: true }).bytes;
  assertEquals(firstDifference(runHere(instrumented), expected), undefined);
  // The machine's own NaNs differ.
  assert(firstDifference(runHere(bytes), expected) !== undefined);
});

Deno.test("runSandbox() writes the NaN matrix as specified in the deterministic profile", async () => {
  await using executor = new Executor();
  const job = sandboxJob(await nanMatrix(), { wallTimeMs: 60_000 });
  const outputs: Uint8Array[] = [];
  const deterministic = { seed: new Uint8Array(32), epochMs: 0 };
  for (const profile of [{ deterministic }, {}]) {
    const parts: number[] = [];
    for await (const event of runSandbox({ ...job, ...profile }, { executor })) {
      if (event.type === "stdout") { for (const byte of event.data) parts.push(byte); }
      if (event.type === "finished") assertEquals(event.outcome.status, "exited");
    }
    outputs.push(Uint8Array.from(parts));
  }
  const expected = expectedNanMatrix();
  assertEquals(firstDifference(outputs[0]!, expected), undefined);
  assert(firstDifference(outputs[1]!, expected) !== undefined);
});
