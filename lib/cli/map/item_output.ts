/**
 * Receives the output of one attempt of `plasm map`: in memory, or in files if it is large or stored.
 *
 * @module
 */
import { createEnvelope, missingOutputs, type Receipt } from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import type { MapOutput, PlacedJob } from "../../map/mod.ts";
import { concat } from "../../util/mod.ts";
import { fileErrorReason } from "../host_files.ts";
import { OutputStaging, type OutputTarget } from "../output_files/mod.ts";
import { ITEM_FILES, orStateError, type ResultsDirectory } from "./results_directory.ts";

/** Output of a stream that is held in memory, in bytes. */
const MEMORY_BYTES = 32 * 1024;

/** Size of a read, in bytes. */
const READ_BYTES = 64 * 1024;

/** Options of {@linkcode ItemOutput}. */
export interface ItemOutputOptions {
  /** The job. */
  job: PlacedJob;
  /** Where results are stored. @default {nowhere} */
  results: ResultsDirectory | undefined;
  /** Where output files are written, with the directory of the result if there is one. */
  targets: (dir: string | undefined) => OutputTarget[];
}

/** Output of one attempt. */
export class ItemOutput implements MapOutput {
  readonly #results: ResultsDirectory | undefined;
  readonly #declared: readonly string[];
  readonly #manifest: PlacedJob["manifest"];
  readonly #staging: OutputStaging;
  /** Directory of the result until it is committed. */
  #partial: string | undefined;
  #streams: { stdout: OutputStream; stderr: OutputStream };

  constructor({ job: { manifest }, results, targets }: ItemOutputOptions) {
    this.#results = results;
    this.#manifest = manifest;
    this.#declared = manifest.outputs ?? [];
    this.#partial = results?.createPartial();
    const outputs = this.#partial && `${this.#partial}/${ITEM_FILES.outputs}`;
    if (outputs !== undefined && this.#declared.length > 0) {
      orStateError(outputs, () => Deno.mkdirSync(outputs));
    }
    this.#staging = new OutputStaging({ targets: targets(outputs) });
    const path = (name: "stdout" | "stderr") =>
      this.#partial && `${this.#partial}/${ITEM_FILES[name]}`;
    this.#streams = {
      stdout: new OutputStream(path("stdout")),
      stderr: new OutputStream(path("stderr")),
    };
  }

  add(stream: "stdout" | "stderr", data: Uint8Array): void {
    this.#streams[stream].add(data);
  }

  async addFiles(data: Uint8Array): Promise<void> {
    await this.#staging.add(data);
  }

  reset(): void {
    this.#streams.stdout.reset();
    this.#streams.stderr.reset();
    this.#staging.reset();
  }

  /** Declared outputs that the job does not have. */
  get missing(): string[] {
    return this.#declared.length === 0 ? [] : missingOutputs(this.#declared, this.#staging.files);
  }

  /**
   * Writes the output files to their names, and makes this the result of an item.
   *
   * @throws {PlasmError} `conflict`, `bad-input` if a file cannot have its name; `state`
   */
  async commit(
    { index, item, receipt, receipts }: {
      index: number;
      item: string;
      receipt: Receipt | undefined;
      receipts: readonly Receipt[] | undefined;
    },
  ): Promise<void> {
    const results = this.#results;
    const partial = receipt === undefined ? undefined : this.#partial;
    if (this.#declared.length > 0) {
      results?.announce(index);
      // No target is standard output.
      await this.#staging.commit({ write: () => Promise.resolve() });
    }
    this.#staging[Symbol.dispose]();
    if (results === undefined || partial === undefined) return;
    const envelope = receipts && await createEnvelope(receipts);
    orStateError(partial, () => {
      for (const stream of Object.values(this.#streams)) stream.store();
      const write = (name: string, text: string): void =>
        Deno.writeTextFileSync(`${partial}/${name}`, text);
      write(ITEM_FILES.item, item);
      write(ITEM_FILES.manifest, `${JSON.stringify(this.#manifest)}\n`);
      write(ITEM_FILES.receipt, `${JSON.stringify(receipt)}\n`);
      if (envelope !== undefined) write(ITEM_FILES.envelope, `${JSON.stringify(envelope)}\n`);
    });
    results.commit(partial, index);
    this.#partial = undefined;
  }

  /** Reads a stream from the start. */
  read(stream: "stdout" | "stderr"): Generator<Uint8Array, void, void> {
    return this.#streams[stream].read();
  }

  [Symbol.dispose](): void {
    this.#staging[Symbol.dispose]();
    for (const stream of Object.values(this.#streams)) stream.close();
    if (this.#partial === undefined) return;
    try {
      Deno.removeSync(this.#partial, { recursive: true });
    } catch {
      // Removed with the directory of partial results.
    }
    this.#partial = undefined;
  }
}

/** Output of one stream: in memory, and in a file from a size on. */
class OutputStream {
  /** Name of the file; undefined for one without a name. */
  readonly #path: string | undefined;
  #parts: Uint8Array[] = [];
  #bytes = 0;
  #file: Deno.FsFile | undefined;

  constructor(path: string | undefined) {
    this.#path = path;
  }

  add(data: Uint8Array): void {
    if (this.#file === undefined && this.#bytes + data.length <= MEMORY_BYTES) {
      this.#parts.push(data.slice());
      this.#bytes += data.length;
      return;
    }
    try {
      this.#open();
      writeWhole(this.#file!, data);
    } catch (cause) {
      const reason = fileErrorReason(cause);
      throw new PlasmError("state", `Cannot store output: ${reason}`, {
        hint: "Free space on the disk; a run with --results can be resumed",
        cause,
      });
    }
  }

  /** Writes everything to the file. What is in memory can be read from there without it. */
  store(): void {
    if (this.#path === undefined || this.#file !== undefined) return;
    Deno.writeFileSync(this.#path, concat(this.#parts));
  }

  *read(): Generator<Uint8Array, void, void> {
    yield* this.#parts;
    if (this.#file === undefined) return;
    // The file begins with what is in memory.
    this.#file.seekSync(this.#bytes, Deno.SeekMode.Start);
    while (true) {
      const buffer = new Uint8Array(READ_BYTES);
      const count = this.#file.readSync(buffer);
      if (count === null) return;
      yield buffer.subarray(0, count);
    }
  }

  reset(): void {
    this.#parts = [];
    this.#bytes = 0;
    this.#file?.truncateSync(0);
    this.#file?.seekSync(0, Deno.SeekMode.Start);
  }

  close(): void {
    this.#file?.close();
    this.#file = undefined;
    this.#parts = [];
    this.#bytes = 0;
  }

  /** Creates the file with what is in memory. */
  #open(): void {
    if (this.#file !== undefined) return;
    const path = this.#path ?? Deno.makeTempFileSync({ prefix: "plasm-output-" });
    this.#file = Deno.openSync(path, { read: true, write: true, create: true });
    // Without a name the system frees it, however the process ends.
    if (this.#path === undefined) Deno.removeSync(path);
    for (const part of this.#parts) writeWhole(this.#file, part);
  }
}

function writeWhole(file: Deno.FsFile, data: Uint8Array): void {
  for (let at = 0; at < data.length;) at += file.writeSync(data.subarray(at));
}
