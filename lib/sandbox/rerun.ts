/**
 * Verifies a receipt by running its job again and comparing the claims.
 *
 * @module
 */
import { PlasmError } from "../core/errors/mod.ts";
import {
  compareRuns,
  ephemeralIdentity,
  isUnfinished,
  type JobInputs,
  type Manifest,
  OutputFilesReader,
  type Receipt,
  type ReceiptExpectations,
  type RerunResult,
  type Signer,
  verifyReceipt,
} from "../core/mod.ts";
import type { JobExecutor } from "./job_types.ts";
import type { Ceilings } from "./limits.ts";
import { streamJob } from "./run_job.ts";

/** Options of {@linkcode rerun}. */
export interface RerunOptions {
  /** The manifest that the receipt names. */
  manifest: Manifest;
  /** The module. */
  module: Uint8Array;
  /** Standard input. @default {empty} */
  stdin?: Uint8Array | undefined;
  /** Files of the job by guest path. @default {none} */
  inputs?: JobInputs | undefined;
  /** Standard output of the receipt's run; names the first byte that differs. @default {only its hash is compared} */
  stdout?: Uint8Array | undefined;
  /** Standard error of the receipt's run; names the first byte that differs. @default {only its hash is compared} */
  stderr?: Uint8Array | undefined;
  /** Output files of the receipt's run by guest path; names the first byte that differs. @default {only their hashes are compared} */
  outputs?: ReadonlyMap<string, Uint8Array> | undefined;
  /** Signs the receipt of the new run. @default {a new key} */
  signer?: Signer | undefined;
  /** Maximum resources of the new run. @default {DEFAULT_CEILINGS} */
  ceilings?: Partial<Ceilings> | undefined;
  /** Runs the job. @default {an executor for this job only} */
  executor?: JobExecutor | undefined;
  /**
   * Runs the job elsewhere, for example with `runRemoteJob`, and resolves to its verified receipt and its output.
   * @default {in the sandbox of this machine}
   */
  run?:
    | (() => Promise<{
      receipt: Receipt;
      stdout: AsyncIterable<Uint8Array> | Uint8Array;
      stderr: AsyncIterable<Uint8Array> | Uint8Array;
      outputs?: ReadonlyMap<string, Uint8Array>;
    }>)
    | undefined;
  /** Stops the job; the call then throws `interrupted`. @default {never} */
  signal?: AbortSignal | undefined;
}

/**
 * Verifies a receipt by running its job again. The outcome is `reproduced` if the new run has the same claim. Else it is
 * `not-reproducible` if the job depends on more than its inputs, which `sources` names, and `different` if nothing
 * explains the difference: then one of the two claims is false.
 *
 * In the default profile the bits of NaN depend on the processor, so an honest claim of another architecture may be
 * `different`.
 *
 * @throws {PlasmError} `bad-receipt` if the receipt is not valid, or is not one of this job; as `streamJob`
 *
 * @example
 * ```ts
 * import { ephemeralIdentity, rerun, runJob } from "@plasm/plasm";
 * import { assertEquals } from "@std/assert";
 *
 * const module = await Deno.readFile("examples/hello/hello.wasm");
 * const stdin = new TextEncoder().encode("Hello, World");
 * const signer = await ephemeralIdentity();
 * const { receipt, manifest } = await runJob(module, { stdin, signer });
 * const { outcome } = await rerun(receipt!, { manifest, module, stdin });
 * assertEquals(outcome, "reproduced");
 * ```
 */
export async function rerun(receipt: Receipt, options: RerunOptions): Promise<RerunResult> {
  const { manifest, module, stdin = new Uint8Array(), stdout, stderr, outputs } = options;
  const expected: ReceiptExpectations = { manifest, module, stdin };
  if (stdout !== undefined) expected.stdout = stdout;
  if (stderr !== undefined) expected.stderr = stderr;
  if (outputs !== undefined) expected.outputs = Object.fromEntries(outputs);
  const { claim } = await verifyReceipt(receipt, expected);
  if (isUnfinished(claim.status)) {
    return {
      outcome: "not-reproducible",
      difference: undefined,
      sources: [claim.status],
      byte: undefined,
      receipt: undefined,
    };
  }
  const finder = new DifferenceFinder(options);
  const again =
    await (options.run === undefined
      ? runHere(options, finder)
      : runElsewhere(options.run, finder));
  const verdict = compareRuns(claim, again.claim);
  return { ...verdict, byte: finder.find(verdict.difference?.path ?? []), receipt: again };
}

async function runHere(options: RerunOptions, finder: DifferenceFinder): Promise<Receipt> {
  const { module, manifest, stdin, inputs, ceilings, executor, signal } = options;
  const signer = options.signer ?? await ephemeralIdentity();
  const files = new OutputFilesReader(manifest.outputs ?? []);
  for await (
    const event of streamJob(module, {
      manifest,
      stdin,
      inputs,
      ceilings,
      executor,
      signal,
      signer,
    })
  ) {
    if (event.type === "stdout" || event.type === "stderr") {
      finder.update([event.type], event.data);
    } else if (event.type === "files") {
      for await (const { path, data } of files.read(event.data)) {
        finder.update(["outputs", path], data);
      }
    } else if (event.type === "finished" && event.receipt !== undefined) return event.receipt;
  }
  throw new PlasmError("internal", "Job ended without a receipt");
}

async function runElsewhere(
  run: NonNullable<RerunOptions["run"]>,
  finder: DifferenceFinder,
): Promise<Receipt> {
  const { receipt, stdout, stderr, outputs = new Map<string, Uint8Array>() } = await run();
  for (const [stream, output] of Object.entries({ stdout, stderr })) {
    if (output instanceof Uint8Array) finder.update([stream], output);
    else for await (const chunk of output) finder.update([stream], chunk);
  }
  for (const [path, data] of outputs) finder.update(["outputs", path], data);
  return receipt;
}

/** Known content and how far a new run's content is equal. */
interface Comparison {
  known: Uint8Array;
  bytes: number;
  /** First position that differs; undefined so far. */
  found: number | undefined;
}

/** Compares the output of a new run with known output. */
class DifferenceFinder {
  /** Comparisons by the path of the content's field in the claim. */
  readonly #comparisons = new Map<string, Comparison>();

  constructor({ stdout, stderr, outputs = new Map() }: Known) {
    const known = [
      [["stdout"], stdout],
      [["stderr"], stderr],
      ...[...outputs].map(([path, data]) => [["outputs", path], data]),
    ] as [string[], Uint8Array | undefined][];
    for (const [path, content] of known) {
      if (content === undefined) continue;
      this.#comparisons.set(keyOf(path), { known: content, bytes: 0, found: undefined });
    }
  }

  /** Adds the next part of a content. */
  update(path: readonly string[], chunk: Uint8Array): void {
    const comparison = this.#comparisons.get(keyOf(path));
    if (comparison === undefined) return;
    const { known, bytes } = comparison;
    if (comparison.found === undefined) {
      const at = chunk.findIndex((byte, i) => byte !== known[bytes + i]);
      if (at >= 0) comparison.found = bytes + at;
    }
    comparison.bytes += chunk.length;
  }

  /**
   * Returns the first position in which the content of a claim's field differs, which is the end of the new content
   * if it is only shorter; undefined if it is not known.
   */
  find(field: readonly string[]): number | undefined {
    const comparison = this.#comparisons.get(keyOf(field.slice(0, -1)));
    if (comparison === undefined) return undefined;
    const { known, bytes, found } = comparison;
    return found ?? (bytes < known.length ? bytes : undefined);
  }
}

type Known = Pick<RerunOptions, "stdout" | "stderr" | "outputs">;

function keyOf(path: readonly string[]): string {
  return JSON.stringify(path);
}
