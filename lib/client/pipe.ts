/**
 * Runs a piped job: its standard input and output stream through one connection (schemas/openapi.json, `POST /v1/pipe`).
 *
 * @module
 */
import { type JobJson, PIPE_PROTOCOL, PipeConn, PipeFrame } from "../api/mod.ts";
import {
  createManifest,
  createNonce,
  type Hash,
  Hasher,
  type JobEvent,
  type ManifestOptions,
  type OutputFiles,
  OutputFilesReader,
  type Receipt,
  verifyReceipt,
} from "../core/mod.ts";
import { PlasmError } from "../core/errors/mod.ts";
import { InputPrefetcher, type InputReader } from "../util/mod.ts";
import type { DaemonTransport } from "./daemon_transport.ts";

/** Maximum size of an input frame, in bytes: between two frames the sender checks whether to stop. */
const FRAME_BYTES = 1024 * 1024;

/** Source of standard input. */
export type PipeInput = ReadableStream<Uint8Array> | InputReader | Uint8Array;

/** Fields of a submission that the client needs to verify the receipt. */
export interface PipeSubmission {
  /** Fields of the manifest. */
  manifest: ManifestOptions;
  /** Nonce of the receipt. */
  nonce?: string;
}

/** Options of {@linkcode runPiped}. */
export interface RunPipedOptions {
  /** Standard input. @default {empty} */
  stdin?: PipeInput | undefined;
  /** The daemon's public key, in hex. */
  key: string;
  /** What the caller measures of the `files` events that it receives. @default {measured here} */
  files?: MeasuredFiles | undefined;
  /** Cancels the job. @default {never} */
  signal?: AbortSignal | undefined;
}

/** Output files that are measured elsewhere: hashing them twice would take a third of the client's time. */
export interface MeasuredFiles {
  /** Hash and size of each file of the events received so far. */
  readonly files: OutputFiles;
}

/** Streams by the kind of their frames. */
const STREAMS: ReadonlyMap<number, "stdout" | "stderr" | "files"> = new Map([
  [PipeFrame.Stdout, "stdout"],
  [PipeFrame.Stderr, "stderr"],
  [PipeFrame.Files, "files"],
]);

/** Payload of a result frame. */
interface PipeResult {
  job: JobJson;
  receipt: Receipt | null;
}

function parse<T>(payload: Uint8Array | undefined): T {
  if (payload === undefined) throw new Deno.errors.UnexpectedEof("the connection ended");
  try {
    return JSON.parse(new TextDecoder().decode(payload));
  } catch {
    throw new PlasmError("protocol", "Cannot read frame: it is not JSON");
  }
}

/** Runs a piped job; see `DaemonClient.pipe`. */
export async function* runPiped(
  transport: DaemonTransport,
  submission: PipeSubmission,
  options: RunPipedOptions,
): AsyncGenerator<JobEvent, void, void> {
  const { nonce = createNonce() } = submission;
  const manifest = createManifest(submission.manifest);
  const closed = new AbortController();
  const signal = AbortSignal.any([closed.signal, ...(options.signal ? [options.signal] : [])]);
  const { conn, headers, rest } = await transport.upgrade("/v1/pipe", {
    json: { ...submission, manifest, nonce },
    protocol: PIPE_PROTOCOL,
    signal,
  });
  const pipe = new PipeConn(conn, { before: rest });
  const sender = new StdinSender(pipe, options.stdin);
  const measured = { stdout: new Hasher(), stderr: new Hasher() };
  const own = options.files === undefined
    ? new OutputFilesReader(manifest.outputs ?? [])
    : undefined;
  const id = headers.get("location")?.split("/").at(-1) ?? "";
  try {
    yield { type: "queued", jobId: id };
    while (true) {
      const header = await transport.answered(pipe.next());
      if (header === undefined) throw new Deno.errors.UnexpectedEof("the connection ended");
      const { kind, length } = header;
      const type = STREAMS.get(kind);
      if (type !== undefined) {
        for (let left = length; left > 0;) {
          const data = await pipe.part();
          if (data === undefined) throw new Deno.errors.UnexpectedEof("the connection ended");
          left -= data.length;
          if (type === "files") await own?.measure(data);
          else await measured[type].update(data);
          yield { type, data: data.subarray() };
          data.release();
        }
      } else if (kind === PipeFrame.Started) {
        sender.start();
        yield { type: "started", at: Date.now() };
      } else if (kind === PipeFrame.StdinStop) {
        sender.stop();
      } else if (kind === PipeFrame.Failed) {
        throw PlasmError.fromJSON(parse<{ error: unknown }>(await pipe.payload()).error);
      } else if (kind === PipeFrame.Result) {
        const { job, receipt } = parse<PipeResult>(await pipe.payload());
        if (job.error !== null) throw PlasmError.fromJSON(job.error);
        const measure = async (hasher: Hasher): Promise<{ bytes: number; hash: string }> => ({
          bytes: hasher.bytes,
          hash: await hasher.digest(),
        });
        const verified = await verifyReceipt(receipt, {
          key: options.key,
          jobId: id,
          nonce,
          manifest,
          stdin: await sender.hash(),
          stdout: await measure(measured.stdout),
          stderr: await measure(measured.stderr),
          outputs: (options.files ?? own!).files,
        });
        const { status, exit_code: exitCode } = verified.claim;
        const outcome = {
          status,
          exitCode,
          message: job.message ?? undefined,
          leftBehind: job.left_behind ?? undefined,
          ...(job.backtrace === null ? {} : { backtrace: job.backtrace }),
        };
        return yield { type: "finished", outcome, receipt: verified };
      } else throw new PlasmError("protocol", `Cannot read frame: unknown kind ${kind}`);
    }
  } catch (error) {
    // An error of the input source takes precedence over its consequences.
    throw sender.fault ?? transport.lost(error, options.signal);
  } finally {
    closed.abort();
    sender.close();
    pipe.close();
  }
}

/** Sends the standard input of one job. */
export class StdinSender {
  readonly #pipe: PipeConn;
  readonly #source: PipeInput | undefined;
  readonly #hasher = new Hasher();
  /** Ends the wait for a pending read. */
  #wake: () => void = () => {};
  #isStopped = false;
  #sending: Promise<void> = Promise.resolve();
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  #fault: unknown;

  constructor(pipe: PipeConn, source: PipeInput | undefined) {
    this.#pipe = pipe;
    this.#source = source;
  }

  /** Error of the source. */
  get fault(): unknown {
    return this.#fault;
  }

  /** Starts sending, once the job has started. */
  start(): void {
    this.#sending = this.#send().catch(() => this.#pipe.close());
  }

  /** Ends the input, once the job reads no more. */
  stop(): void {
    this.#isStopped = true;
    this.#wake();
  }

  /** Hash of the bytes sent. */
  async hash(): Promise<Hash> {
    await this.#sending;
    return await this.#hasher.digest();
  }

  /** Releases the source. */
  close(): void {
    this.stop();
    this.#reader?.cancel().catch(() => {});
    this.#reader?.releaseLock();
  }

  async #send(): Promise<void> {
    if (this.#source instanceof ReadableStream) await this.#sendStream(this.#source);
    else if (this.#source instanceof Uint8Array) await this.#sendPiece(this.#source);
    else if (this.#source !== undefined) await this.#sendRead(this.#source);
    await this.#pipe.write(PipeFrame.StdinEnd);
  }

  async #sendStream(source: ReadableStream<Uint8Array>): Promise<void> {
    const reader = source.getReader();
    this.#reader = reader;
    while (!this.#isStopped) {
      const { value } = await this.#await(reader.read()) ?? {};
      if (value === undefined) return;
      await this.#sendPiece(value);
    }
  }

  async #sendRead(source: InputReader): Promise<void> {
    const ahead = new InputPrefetcher(source);
    while (!this.#isStopped) {
      const piece = await this.#await(ahead.take());
      if (piece === undefined) return;
      await this.#sendPiece(piece);
    }
  }

  /** Waits for a read. Resolves to `undefined` once the job reads no more. */
  async #await<T>(reading: Promise<T>): Promise<T | undefined> {
    const { promise, resolve } = Promise.withResolvers<T | undefined>();
    this.#wake = () => resolve(undefined);
    reading.then(resolve, (error) => {
      if (!this.#isStopped) this.#fault ??= error;
      this.#pipe.close();
    });
    return await promise;
  }

  async #sendPiece(piece: Uint8Array): Promise<void> {
    for (let at = 0; at < piece.length && !this.#isStopped; at += FRAME_BYTES) {
      const part = piece.length <= FRAME_BYTES ? piece : piece.subarray(at, at + FRAME_BYTES);
      const onPiece = (sent: Uint8Array) => this.#hasher.update(sent);
      await this.#pipe.write(PipeFrame.Stdin, part, { onPiece });
    }
  }
}
