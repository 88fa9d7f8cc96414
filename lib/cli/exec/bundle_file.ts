/**
 * Writes the bundle of `plasm exec --bundle`: the receipt and everything that is needed to run the job again.
 *
 * @module
 */
import { FilesInMemory, type Manifest, type Receipt, writeBundle } from "../../core/mod.ts";
import { concat } from "../../util/mod.ts";
import type { RemoteOutput } from "../../remote/client/mod.ts";
import type { ParsedArgs } from "../command.ts";
import { readWholeStdin, replaceFile } from "../host_files.ts";
import type { CliIo } from "../io.ts";
import type { ExecJob } from "./exec_job.ts";

/** Maximum size of a stream, and of all output files, in a bundle, in bytes; the receipt has the hashes of larger ones. */
const MAX_STREAM_BYTES = 64 * 2 ** 20;

/** Bundle of one run, which collects output until the receipt is known. */
export class BundleFile {
  readonly #path: string;
  readonly #streams = { stdout: new CappedOutput(), stderr: new CappedOutput() };
  readonly #archive = new CappedOutput();

  /** Writes to a path, which `checkTarget` has accepted. */
  constructor(path: string) {
    this.#path = path;
  }

  /** The bundle of a command line; undefined without `--bundle`. */
  static of(args: ParsedArgs): BundleFile | undefined {
    const path = args.string("bundle");
    return path === undefined ? undefined : new BundleFile(path);
  }

  /** Adds output. */
  add(stream: "stdout" | "stderr", data: Uint8Array): void {
    this.#streams[stream].add(data);
  }

  /** Adds a part of the archive of output files, as a `files` event has it. */
  addFiles(data: Uint8Array): void {
    this.#archive.add(data);
  }

  /** Discards the output, because the job runs again. */
  discard(): void {
    for (const output of [...Object.values(this.#streams), this.#archive]) output.clear();
  }

  /**
   * Adds verified output and writes the bundle.
   *
   * @throws {PlasmError} as {@linkcode BundleFile.write}
   */
  async writeVerified(
    run: BundledRun,
    { output, io }: { output: RemoteOutput; io: Pick<CliIo, "signal"> },
  ): Promise<void> {
    for (const stream of ["stdout", "stderr"] as const) {
      for await (const data of output.read(stream)) this.add(stream, data);
    }
    for await (const data of output.read("files")) this.addFiles(data);
    await this.write(run, io);
  }

  /**
   * Writes the bundle.
   *
   * @throws {PlasmError} `state`, `interrupted`; `bad-receipt` if the receipt is not one of this job
   */
  async write(run: BundledRun, { signal }: Pick<CliIo, "signal">): Promise<void> {
    const { job: { module, inputs }, ...rest } = run;
    const { stdout, stderr } = this.#streams;
    const files = new FilesInMemory(run.manifest.outputs ?? []);
    const archive = this.#archive.bytes();
    if (archive !== undefined) await files.add(archive);
    const isComplete = Object.keys(run.receipt.claim.outputs).length === files.content.size;
    const chunks = writeBundle({
      ...rest,
      module,
      inputs,
      stdout: stdout.bytes(),
      stderr: stderr.bytes(),
      outputs: isComplete ? files.content : undefined,
    });
    await replaceFile(this.#path, chunks, { kind: "bundle", signal });
  }
}

/** What a bundle includes besides output. */
export interface BundledRun {
  /** The job. */
  job: Pick<ExecJob, "module" | "inputs">;
  /** The manifest that the receipt names. */
  manifest: Manifest;
  /** The receipt. */
  receipt: Receipt;
  /** Standard input; undefined if it is empty. */
  stdin: Uint8Array | undefined;
}

/** Standard input of a local run: for a bundle it is read to its end before the job starts. */
export async function stdinFor(
  bundle: BundleFile | undefined,
  io: CliIo,
): Promise<ReadableStream<Uint8Array> | Uint8Array | undefined> {
  return bundle === undefined ? io.stdin : await readWholeStdin(io);
}

/** Output of limited size. */
class CappedOutput {
  #parts: Uint8Array[] = [];
  #bytes = 0;

  add(data: Uint8Array): void {
    this.#bytes += data.length;
    if (this.#bytes <= MAX_STREAM_BYTES) this.#parts.push(data.slice());
    else this.#parts = [];
  }

  clear(): void {
    this.#parts = [];
    this.#bytes = 0;
  }

  /** All of it; undefined if it is too large. */
  bytes(): Uint8Array | undefined {
    return this.#bytes <= MAX_STREAM_BYTES ? concat(this.#parts) : undefined;
  }
}
