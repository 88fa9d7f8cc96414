/**
 * Measures each stage of a small job separately, as the daemon performs it.
 * @module
 */

import { JobStore } from "../../lib/daemon/store/store.ts";
import { ephemeralIdentity } from "../../lib/core/identity.ts";
import { EMPTY_HASH, loadNativeHash, sha256 } from "../../lib/core/hash.ts";
import { createJobId, createNonce } from "../../lib/core/ids.ts";
import { createManifest, manifestHash } from "../../lib/core/manifest.ts";
import { signReceipt } from "../../lib/core/mod.ts";
import { Executor } from "../../lib/sandbox/host/executor.ts";
import type { SandboxOutcome } from "../../lib/sandbox/job_types.ts";
import { receiptFields } from "../../lib/sandbox/receipt_fields.ts";
import { DEFAULT_CEILINGS, limitsOf } from "../../lib/sandbox/limits.ts";
import { runSandbox } from "../../lib/sandbox/run_job.ts";
import { type BenchRow, median } from "./row.ts";

/** Repetitions per stage. */
const ROUNDS = 500;

/** Options of {@linkcode stages}. */
export interface StagesOptions {
  /** Standard input of the job. */
  stdin: Uint8Array;
  /** Directory on the file system of the daemon's store. */
  dir: string;
  /** Total time of a job in ms. */
  totalMs: number;
}

/** Measures the stages. */
export async function* stages(
  module: Uint8Array,
  { stdin, dir, totalMs }: StagesOptions,
): AsyncGenerator<BenchRow> {
  await loadNativeHash();
  const signer = await ephemeralIdentity();
  const module_hash = await sha256(module);
  const manifest = createManifest({ module_hash });
  const limits = limitsOf(manifest.resources, DEFAULT_CEILINGS);
  await Deno.mkdir(`${dir}/stages`);
  using store = new JobStore(`${dir}/stages`, { cacheBytes: 1e6 });
  await using executor = new Executor({ socketDir: dir });
  await executor.ready();
  const startedAt = Date.now();
  const usage = { wallTimeMs: 1, cpuTimeMs: 1, memoryPeakBytes: 131_072 };
  const outcome: SandboxOutcome = {
    ...{ status: "exited", exitCode: 0, usage, nondeterminism: [] },
    ...{ startedAt, finishedAt: startedAt + 1 },
  };
  const stdin_hash = await sha256(stdin);
  const sign = () =>
    signReceipt(
      receiptFields(outcome, {
        jobId: createJobId(),
        nonce: createNonce(),
        manifest,
        manifestHash: EMPTY_HASH,
        stdinHash: stdin_hash,
        stdout: { bytes: stdin.length, hash: stdin_hash },
        stderr: { bytes: 0, hash: EMPTY_HASH },
        outputs: {},
      }),
      signer,
    );
  const receipt = await sign();
  const hashed = await manifestHash(manifest);
  const save = async (durable: boolean) => {
    const durability = durable ? "fsync" : "buffered";
    const accepting = store.accept({
      id: createJobId(),
      submitter: "local",
      manifest,
      manifestHash: hashed,
      nonce: receipt.run.nonce,
      moduleHash: module_hash,
      stdinHash: stdin_hash,
      stdin,
      priority: "normal",
      idempotent: false,
      ceilings: DEFAULT_CEILINGS,
      createdAt: startedAt,
    }, { blobs: [], position: 0, durability });
    const record = await accepting;
    const starting = store.start(record, startedAt);
    if (durable) await starting;
    await store.finish(
      record,
      { state: "finished", status: "exited", exitCode: 0, receipt, finishedAt: startedAt + 1 },
      { type: "finished", at: startedAt + 1, outcome: { status: "exited", exitCode: 0 } },
      [{ stream: "stdout", offset: 0, data: stdin }],
    );
    await starting;
  };
  const job = { module, args: [], env: {}, stdin, inputs: [], limits };
  const run = async (moduleKey?: string) => {
    for await (const _ of runSandbox({ ...job, moduleKey }, { executor }));
  };
  const parts: [string, () => unknown][] = [
    ["manifest: check and hash", () => manifestHash(createManifest({ module_hash }))],
    ["module: hash, avoided by the store's cache", () => sha256(module)],
    ["executor: socket, worker and guest", () => run(module_hash)],
    ["executor: sent and compiled anew", () => run()],
    ["receipt: check and sign", sign],
    ["store: write-behind, one row, shared commit", () => save(false)],
    ["store: durable, two commits and fsyncs", () => save(true)],
  ];
  for (const [what, work] of parts) {
    const times: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const begin = performance.now();
      await work();
      times.push(performance.now() - begin);
    }
    const value = median(times);
    yield {
      what: `  ${what}`,
      measured: `${value.toFixed(3)} ms`,
      against: `a whole job ${totalMs.toFixed(2)} ms`,
      ratio: value / totalMs,
    };
  }
}
