/**
 * Downloads the output files of a daemon's job, verifies them against its receipt and writes them.
 *
 * @module
 */
import type { DaemonClient } from "../../client/mod.ts";
import { type Receipt, verifyReceipt } from "../../core/mod.ts";
import type { CliIo } from "../io.ts";
import { OutputStaging, type WrittenOutputs } from "./output_staging.ts";
import type { OutputTarget } from "./output_target.ts";

/** Options of {@linkcode OutputDownload}. */
export interface OutputDownloadOptions {
  /** Where the outputs are written. */
  targets: readonly OutputTarget[];
  /** The inputs of the manifest: what a shared directory already has. @default {none} */
  inputs?: Readonly<Record<string, string>> | undefined;
  /** Streams of the command. */
  io: CliIo;
}

/** Options of {@linkcode fetchOutputs}. */
export interface FetchOutputsOptions extends OutputDownloadOptions {
  /** The verified receipt of the job. */
  receipt: Receipt;
  /** Receives the archive. @default {none} */
  onData?: ((data: Uint8Array) => void) | undefined;
}

/**
 * Writes the output files of a finished job.
 *
 * @returns `undefined` if there are no targets
 * @throws {PlasmError} `bad-receipt` or `protocol` if the files are not those of the receipt: nothing is written
 */
export async function fetchOutputs(
  client: DaemonClient,
  id: string,
  options: FetchOutputsOptions,
): Promise<WrittenOutputs | undefined> {
  const { receipt, onData } = options;
  const download = new OutputDownload(client, id, options);
  try {
    return await download.commit(receipt, { onData });
  } finally {
    download[Symbol.dispose]();
  }
}

/** Downloads a job's output files, while it writes them if {@linkcode OutputDownload.start} is called. */
export class OutputDownload implements Disposable {
  readonly #client: DaemonClient;
  readonly #id: string;
  readonly #options: OutputDownloadOptions;
  readonly #staging: OutputStaging;
  /** The download of a running job; resolves to whether it may be complete, and never rejects. */
  #live: Promise<boolean> | undefined;
  #stop = new AbortController();
  #hasEnded = false;

  /** Sends no request. */
  constructor(client: DaemonClient, id: string, options: OutputDownloadOptions) {
    this.#client = client;
    this.#id = id;
    this.#options = options;
    this.#staging = new OutputStaging(options);
  }

  /** Begins to download, or begins again because the job runs again. */
  async start(): Promise<void> {
    if (this.#options.targets.length === 0) return;
    await this.#stopLive();
    this.#stop = new AbortController();
    this.#live = this.#follow().then(() => true, () => false);
  }

  /** Reads until the archive is complete, or ends after the job has. */
  async #follow(): Promise<void> {
    const signal = AbortSignal.any([this.#stop.signal, this.#options.io.signal]);
    for (let offset = 0, isLast = false; !isLast;) {
      isLast = this.#hasEnded;
      const options = { follow: true, offset, signal };
      for await (const data of this.#client.outputArchiveParts(this.#id, options)) {
        await this.#staging.add(data);
        offset += data.length;
      }
      if (this.#staging.isComplete) return;
    }
  }

  async #stopLive(): Promise<void> {
    if (this.#live === undefined) return;
    this.#stop.abort();
    await this.#live;
    this.#live = undefined;
    this.#staging.reset();
  }

  /**
   * Writes the files of the finished job.
   *
   * @returns `undefined` if there are no targets
   * @throws {PlasmError} `bad-receipt` or `protocol` if the files are not those of the receipt: nothing is written
   */
  async commit(
    receipt: Receipt,
    { onData }: Pick<FetchOutputsOptions, "onData"> = {},
  ): Promise<WrittenOutputs | undefined> {
    const { targets, io } = this.#options;
    if (targets.length === 0) return undefined;
    this.#hasEnded = true;
    if (Object.keys(receipt.claim.outputs).length === 0) await this.#stopLive();
    else if (!(await this.#live && this.#staging.isComplete)) {
      // Not started, or the connection was lost.
      await this.#stopLive();
      const { signal } = io;
      for await (const data of this.#client.outputArchiveParts(this.#id, { signal })) {
        onData?.(data.slice());
        await this.#staging.add(data);
      }
    }
    await verifyReceipt(receipt, { outputs: this.#staging.files });
    return await this.#staging.commit(io);
  }

  /** Stops the download and removes what was not written. */
  [Symbol.dispose](): void {
    this.#stop.abort();
    this.#staging[Symbol.dispose]();
  }
}
