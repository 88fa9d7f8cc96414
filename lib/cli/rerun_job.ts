/**
 * Runs the job of a receipt again, for `plasm verify --rerun`, and formats the verdict.
 *
 * @module
 */
import {
  type Bundle,
  EMPTY_HASH,
  FilesInMemory,
  type Hash,
  type JobInputs,
  loadOrCreateIdentity,
  type Manifest,
  manifestHash,
  type Receipt,
  type RerunResult,
  stateDir,
} from "../core/mod.ts";
import { ERROR_CODES, PlasmError } from "../core/errors/mod.ts";
import { rerun } from "../sandbox/mod.ts";
import type { ParsedArgs } from "./command.ts";
import { checkTarget, readCappedFile, writeReceipt } from "./host_files.ts";
import type { CliIo } from "./io.ts";

/** Exit status of a job that depends on more than its inputs; see docs/operations.md. */
export const NOT_REPRODUCIBLE_STATUS = 79;

/** Maximum size of standard input and of known output, in bytes: that of a bundle and of a local job. */
const MAX_STREAM_BYTES = 128 * 2 ** 20;

/** Everything that a new run needs. */
interface RerunJob {
  manifest: Manifest;
  module: Uint8Array;
  inputs: JobInputs;
  stdin: Uint8Array;
  stdout: Uint8Array | undefined;
  stderr: Uint8Array | undefined;
  outputs?: ReadonlyMap<string, Uint8Array> | undefined;
}

/** The receipt, and the bundle that it came from. */
export interface RerunSubject {
  receipt: Receipt;
  bundle: Bundle | undefined;
}

/**
 * Runs a job again, on this machine or with `--remote` on another node, and writes the new receipt to `--receipt`.
 *
 * @throws {PlasmError} as `rerun`; `usage` if a file is missing; the errors of `plasm exec`
 */
export async function rerunJob(
  { receipt, bundle }: RerunSubject,
  { args, io }: { args: ParsedArgs; io: CliIo },
): Promise<RerunResult> {
  const receiptPath = args.string("receipt");
  if (receiptPath !== undefined) await checkTarget(receiptPath, "receipt");
  const job = bundle === undefined
    ? await jobOfFiles(receipt, args, io)
    : jobOfBundle(receipt, bundle);
  const { signal } = io;
  const isRemote = args.flag("remote");
  const result = isRemote ? await rerunRemotely(receipt, job, { args, io }) : await rerun(receipt, {
    ...job,
    signal,
    signer: receiptPath === undefined
      ? undefined
      : await loadOrCreateIdentity(stateDir((name) => io.env(name))),
  });
  if (receiptPath !== undefined && result.receipt !== undefined) {
    await writeReceipt(receiptPath, result.receipt, { signal });
  }
  return result;
}

async function rerunRemotely(
  receipt: Receipt,
  job: RerunJob,
  context: { args: ParsedArgs; io: CliIo },
): Promise<RerunResult> {
  const { runRemotely } = await import("./exec/mod.ts");
  return await runRemotely(job, {
    ...context,
    use: async ({ receipt: again, output }) => {
      const files = new FilesInMemory(job.manifest.outputs ?? []);
      for await (const data of output.read("files")) await files.add(data);
      const run = {
        receipt: again,
        stdout: output.read("stdout"),
        stderr: output.read("stderr"),
        outputs: files.content,
      };
      return await rerun(receipt, { ...job, run: () => Promise.resolve(run) });
    },
  });
}

function jobOfBundle({ claim }: Receipt, { manifest, contents }: Bundle): RerunJob {
  const content = (hash: Hash): Uint8Array | undefined =>
    hash === EMPTY_HASH ? new Uint8Array() : contents.get(hash);
  // verifyBundle() has checked that module, standard input and inputs are there.
  const inputs = Object.entries(manifest.inputs ?? {}).map(([path, hash]) =>
    [path, content(hash)!] as const
  );
  const outputs = Object.entries(claim.outputs).map(([path, { hash }]) =>
    [path, content(hash)] as const
  );
  return {
    manifest,
    module: content(claim.module_hash)!,
    stdin: content(claim.stdin_hash)!,
    inputs: Object.fromEntries(inputs),
    stdout: content(claim.stdout.hash),
    stderr: content(claim.stderr.hash),
    outputs: outputs.every(([, data]) => data !== undefined)
      ? new Map(outputs as [string, Uint8Array][])
      : undefined,
  };
}

async function jobOfFiles(
  { claim }: Receipt,
  args: ParsedArgs,
  io: CliIo,
): Promise<RerunJob> {
  const module = args.string("module");
  if (module === undefined) {
    throw new PlasmError("usage", "Cannot run again: the module is not known", {
      hint: "Use --module FILE, or a bundle, which plasm exec --bundle writes",
    });
  }
  if (claim.stdin_hash !== EMPTY_HASH && args.string("stdin") === undefined) {
    throw new PlasmError("usage", "Cannot run again: the job had standard input", {
      hint: "Use --stdin FILE, or a bundle, which plasm exec --bundle writes",
    });
  }
  const { readCheckedJob } = await import("./exec/mod.ts");
  const job = await readCheckedJob(args.withPositionals([module]), io, {
    writesOutputs: false,
  });
  const hash = await manifestHash(job.manifest);
  if (hash !== claim.manifest_hash) {
    throw new PlasmError(
      "bad-manifest",
      `Cannot run again: the manifest of these options hashes to ${hash}, the receipt names ${claim.manifest_hash}`,
      {
        hint: "Use the options and inputs of the run, or --manifest FILE, or a bundle",
        details: { field: "manifest_hash" },
      },
    );
  }
  const read = async (name: "stdin" | "stdout" | "stderr"): Promise<Uint8Array | undefined> => {
    const path = args.string(name);
    return path === undefined ? undefined : await readCappedFile(path, {
      maxBytes: MAX_STREAM_BYTES,
      code: "bad-input",
      what: name,
      signal: io.signal,
    });
  };
  return {
    ...job,
    stdin: await read("stdin") ?? new Uint8Array(),
    stdout: await read("stdout"),
    stderr: await read("stderr"),
  };
}

/** Exit status of a verdict. */
export function exitStatusOfRerun({ outcome }: RerunResult): number {
  if (outcome === "reproduced") return 0;
  return outcome === "different" ? ERROR_CODES["bad-receipt"].exit : NOT_REPRODUCIBLE_STATUS;
}

/** JSON form of a verdict. */
export function rerunJson(result: RerunResult): Record<string, unknown> {
  const { outcome, difference, byte, sources, receipt } = result;
  return {
    outcome,
    sources,
    ...difference === undefined ? {} : {
      difference: {
        field: difference.field,
        receipt: difference.first ?? null,
        rerun: difference.second ?? null,
        ...byte === undefined ? {} : { byte },
      },
    },
    ...receipt === undefined ? {} : { receipt },
  };
}
