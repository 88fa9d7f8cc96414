/**
 * The parts of a small job around its guest, each by itself, as the daemon does it.
 * @module
 */

import { JobStore } from "../../lib/daemon/store/store.ts";
import { ephemeralIdentity } from "../../lib/core/identity.ts";
import { EMPTY_HASH, loadNativeHash, sha256 } from "../../lib/core/hash.ts";
import { createJobId, createNonce } from "../../lib/core/ids.ts";
import { createManifest, manifestHash } from "../../lib/core/manifest.ts";
import { signReceipt } from "../../lib/core/receipt.ts";
import { Executor } from "../../lib/sandbox/host/executor.ts";
import { receiptOutcome } from "../../lib/sandbox/run_job.ts";
import { DEFAULT_CEILINGS, limitsOf } from "../../lib/sandbox/limits.ts";
import { runSandbox } from "../../lib/sandbox/run_job.ts";
import { localRuntime } from "../../lib/sandbox/run_job.ts";
import { type BenchRow, median } from "./row.ts";

/** Rounds of each part. */
const ROUNDS = 500;

/** Options of {@linkcode stages}. */
export interface StagesOptions {
  /** Standard input of the job. */
  stdin: Uint8Array;
  /** Directory on the disk that the daemon's store is on. */
  dir: string;
  /** What a job takes in all, in ms. */
  totalMs: number;
}

/** Measures the parts. */
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
  const outcome = { status: "exited", exitCode: 0, usage, startedAt } as const;
  const stdin_hash = await sha256(stdin);
  const sign = () =>
    signReceipt({
      job_id: createJobId(),
      nonce: createNonce(),
      manifest_hash: EMPTY_HASH,
      module_hash,
      stdin_hash,
      stdout_bytes: stdin.length,
      stdout_hash: stdin_hash,
      stderr_bytes: 0,
      stderr_hash: EMPTY_HASH,
      ...receiptOutcome({ ...outcome, finishedAt: startedAt + 1 }),
      runtime: localRuntime(),
    }, signer);
  const receipt = await sign();
  const hashed = await manifestHash(manifest);
  const save = async (durable: boolean) => {
    const durability = durable ? "fsync" : "buffered";
    const { record, saved } = store.accept({
      id: createJobId(),
      submitter: "local",
      manifest,
      manifestHash: hashed,
      nonce: receipt.nonce,
      moduleHash: module_hash,
      stdinHash: stdin_hash,
      stdin,
      priority: "normal",
      idempotent: false,
      ceilings: DEFAULT_CEILINGS,
      createdAt: startedAt,
    }, { blobs: [], position: 0, durability });
    const starting = store.start(record, startedAt, { durability });
    if (durable) await Promise.all([saved, starting]);
    await store.finish(
      record,
      { state: "finished", status: "exited", exitCode: 0, receipt, finishedAt: startedAt + 1 },
      { type: "finished", at: startedAt + 1, status: "exited", exitCode: 0, message: null },
      [{ stream: "stdout", offset: 0, data: stdin }],
    );
    await Promise.all([saved, starting]);
  };
  const job = { module, args: [], env: {}, stdin, inputs: [], limits };
  const run = async (moduleKey?: string) => {
    for await (const _ of runSandbox({ ...job, moduleKey }, { executor }));
  };
  const parts: [string, () => unknown][] = [
    ["manifest: check and hash", () => manifestHash(createManifest({ module_hash }))],
    ["module: hash, saved by the store's memory", () => sha256(module)],
    ["executor: socket, worker and guest", () => run(module_hash)],
    ["executor: sent and compiled anew", () => run()],
    ["receipt: check and sign", sign],
    ["store: held back, one row, many a commit", () => save(false)],
    ["store: told to be kept, two commits and fsyncs", () => save(true)],
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
