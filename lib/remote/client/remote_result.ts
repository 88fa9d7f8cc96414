/**
 * Receives the events and output of a job, verifies its receipt and acknowledges the result.
 *
 * @module
 */
import {
  Hasher,
  type JobEvent,
  type JobOutcome,
  type Measured,
  OutputFilesReader,
  type Receipt,
  type ReceiptExpectations,
  verifyReceipt,
} from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import { writeAll } from "../../util/mod.ts";
import { checkEventBody, type EventBody, type FrameChannel, type MessageOf } from "../wire/mod.ts";
import { statedError } from "./handshake.ts";
import type {
  LiveOutput,
  OutputName,
  PhaseTimeouts,
  RemoteCandidate,
  RemoteJob,
  RemoteOutput,
} from "./remote_job.ts";

/** Output of a stream that is stored in memory, in bytes; the rest goes to a file. */
const MEMORY_BYTES = 2 ** 20;

/** Buffer for reading the file, in bytes. */
const READ_BYTES = 64 * 1024;

/** Options of {@linkcode ReceivedOutput}. */
export interface ReceivedOutputOptions {
  /** Limit of standard output and standard error together, in bytes. */
  maxBytes: number;
  /** Outputs of the manifest. @default {none} */
  outputs?: readonly string[] | undefined;
  /** Limit of the archive of output files, in bytes. @default {0} */
  maxArchiveBytes?: number | undefined;
  /** Receives standard output and error as they arrive, instead of storing them. @default {all is stored} */
  live?: LiveOutput | undefined;
  /** Output of a stream that is stored in memory, in bytes. @default {1 MiB} */
  memoryBytes?: number | undefined;
}

/** Stored output of one stream. */
class StoredOutput {
  hasher = new Hasher();
  /** Bytes received so far. */
  bytes = 0;
  #parts: Uint8Array[] = [];
  #inMemory = 0;
  #file: Deno.FsFile | undefined;

  async add(data: Uint8Array, memoryBytes: number): Promise<void> {
    if (this.#file === undefined && this.#inMemory + data.length <= memoryBytes) {
      this.#parts.push(data.slice());
      this.#inMemory += data.length;
      return;
    }
    this.#file ??= await openUnlinkedFile();
    await writeAll(this.#file, data);
  }

  async *read(): AsyncGenerator<Uint8Array, void, void> {
    yield* this.#parts;
    if (this.#file === undefined) return;
    await this.#file.seek(0, Deno.SeekMode.Start);
    while (true) {
      const buffer = new Uint8Array(READ_BYTES);
      const count = await this.#file.read(buffer);
      if (count === null) return;
      yield buffer.subarray(0, count);
    }
  }

  close(): void {
    this.#file?.close();
    this.#file = undefined;
    this.#parts = [];
    this.#inMemory = 0;
  }
}

/** Opens a temporary file without a name: the system frees it however the process ends. */
async function openUnlinkedFile(): Promise<Deno.FsFile> {
  try {
    const path = await Deno.makeTempFile({ prefix: "plasm-output-" });
    const file = await Deno.open(path, { read: true, write: true });
    await Deno.remove(path);
    return file;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new PlasmError("state", `Cannot store output in a temporary file: ${reason}`, {
      cause: error,
    });
  }
}

/** Output of one attempt: hashed as it arrives, and stored until it is verified. */
export class ReceivedOutput implements RemoteOutput {
  readonly #options: ReceivedOutputOptions;
  #stored = { stdout: new StoredOutput(), stderr: new StoredOutput(), files: new StoredOutput() };
  #files: OutputFilesReader;

  constructor(options: ReceivedOutputOptions) {
    this.#options = options;
    this.#files = new OutputFilesReader(options.outputs ?? []);
  }

  /**
   * Adds a piece. Bytes received before, over a connection that was lost, are skipped.
   *
   * @throws {PlasmError} `protocol` if bytes before it are missing or the limit is exceeded
   */
  async add(
    stream: OutputName,
    { offset, data }: { offset: number; data: Uint8Array },
  ): Promise<void> {
    const stored = this.#stored[stream];
    const skip = stored.bytes - offset;
    if (skip < 0) {
      throw new PlasmError(
        "protocol",
        `Cannot use output: ${stream} continues at ${offset}, received ${stored.bytes} bytes`,
      );
    }
    const fresh = data.subarray(skip);
    if (fresh.length === 0) return;
    this.#checkLimit(stream, fresh.length);
    stored.bytes += fresh.length;
    const { live, memoryBytes = MEMORY_BYTES } = this.#options;
    if (stream === "files") await this.#files.measure(fresh);
    else await stored.hasher.update(fresh);
    if (live === undefined || stream === "files") await stored.add(fresh, memoryBytes);
    else await live(stream, fresh);
  }

  #checkLimit(stream: OutputName, added: number): void {
    const { stdout, stderr, files } = this.#stored;
    const { maxBytes, maxArchiveBytes = 0 } = this.#options;
    const [bytes, limit] = stream === "files"
      ? [files.bytes, maxArchiveBytes]
      : [stdout.bytes + stderr.bytes, maxBytes];
    if (bytes + added <= limit) return;
    throw new PlasmError(
      "protocol",
      `Cannot use output: node sent more than ${limit} bytes, the job's limit`,
      { details: { max_bytes: limit } },
    );
  }

  /** Returns hash and length of both streams and of each file. Nothing can be added afterwards. */
  async measure(): Promise<Required<Pick<ReceiptExpectations, "stdout" | "stderr" | "outputs">>> {
    const measure = async ({ hasher }: StoredOutput): Promise<Measured> => ({
      bytes: hasher.bytes,
      hash: await hasher.digest(),
    });
    const { stdout, stderr } = this.#stored;
    return {
      stdout: await measure(stdout),
      stderr: await measure(stderr),
      outputs: this.#files.files,
    };
  }

  /** Reads the stored output of a stream. */
  read(stream: OutputName): AsyncGenerator<Uint8Array, void, void> {
    return this.#stored[stream].read();
  }

  /** Discards everything, because the job runs again. */
  reset(): void {
    this[Symbol.dispose]();
    this.#stored = {
      stdout: new StoredOutput(),
      stderr: new StoredOutput(),
      files: new StoredOutput(),
    };
    this.#files = new OutputFilesReader(this.#options.outputs ?? []);
  }

  /** Closes the temporary files. */
  [Symbol.dispose](): void {
    for (const stored of Object.values(this.#stored)) stored.close();
  }
}

/** Progress of a run across connections. Times are of the monotonic clock. */
export interface RunStage {
  /** Last event that was received completely. */
  lastId: number;
  /** When the wait for the job began. */
  begunAt?: number;
  /** When the job started. */
  startedAt?: number;
}

/** The node's report of a finished job, not verified. */
export interface UnverifiedResult {
  /** Receipt, not verified. */
  receipt: Record<string, unknown>;
  /** Why the job was stopped. */
  message: string | null;
  /** Offsets in the module of the innermost calls of a job that trapped. */
  stack: readonly number[];
  /** Files that the job created and did not return. */
  leftBehind: JobOutcome["leftBehind"];
}

/** Options of {@linkcode receiveEvents}. */
export interface ReceiveEventsOptions {
  /** The node's next message. */
  incoming: Promise<MessageOf<"event" | "alive" | "reject">>;
  /** Progress so far; updated. */
  stage: RunStage;
  /** Receives the output. */
  output: ReceivedOutput;
  /** Time limits of each phase. */
  timeouts: PhaseTimeouts;
  /** The manifest's own limit, in milliseconds. */
  runLimitMs: number;
  /** Called when it becomes known whether the job ran. */
  onRan: (ran: "no" | "yes") => void;
  /** Id of the job on the node. */
  jobId: string;
  /** Receives events, without the peer id. */
  onEvent: (event: JobEvent) => void;
  /** Called when a phase exceeds its time limit. */
  cancel: (reason: PlasmError) => void;
}

/**
 * Receives events up to the last.
 *
 * @throws {Disconnected} if the connection is lost or silent
 * @throws {PlasmError} why the job has no result
 */
export async function receiveEvents(
  channel: FrameChannel,
  options: ReceiveEventsOptions,
): Promise<UnverifiedResult> {
  const { stage, onRan } = options;
  stage.begunAt ??= performance.now();
  let incoming = options.incoming;
  while (true) {
    const message = await next(channel, incoming, options);
    if (message.type === "reject") {
      // Without any event before it, the node has not started the job.
      if (stage.lastId === 0 && stage.startedAt === undefined) onRan("no");
      throw statedError(message.error);
    }
    if (message.type === "event") {
      const report = await handleEvent(checkEventBody(message.body), options);
      if (report !== undefined) return report;
      if (message.id < stage.lastId) {
        throw new PlasmError(
          "protocol",
          `Cannot accept event: its id ${message.id} is lower than ${stage.lastId}`,
        );
      }
      stage.lastId = message.id;
    }
    incoming = channel.read(["event", "alive", "reject"]);
  }
}

/** Waits for the next message, limits the silence, and cancels the job when its phase exceeds its time limit. */
async function next<T>(
  channel: FrameChannel,
  incoming: Promise<T>,
  options: ReceiveEventsOptions,
): Promise<T> {
  const { timeouts, stage, runLimitMs, cancel } = options;
  const [phase, since, ms] = stage.startedAt === undefined
    ? ["queue", stage.begunAt!, timeouts.queue] as const
    : ["run", stage.startedAt, runLimitMs + timeouts.run] as const;
  const timer = setTimeout(() => {
    const text = phase === "queue"
      ? `Job did not start within ${ms} ms`
      : `Job did not finish within ${ms} ms, its own limit plus ${timeouts.run} ms`;
    cancel(new PlasmError("peer-timeout", text, { details: { phase, waited_ms: ms } }));
  }, Math.max(0, since + ms - performance.now()));
  try {
    return await channel.unlessSilent(incoming, { ms: timeouts.silence });
  } finally {
    clearTimeout(timer);
  }
}

async function handleEvent(
  body: EventBody,
  { jobId, stage, output, onRan, onEvent }: ReceiveEventsOptions,
): Promise<UnverifiedResult | undefined> {
  switch (body.event) {
    case "queued":
      onEvent({ type: "queued", jobId, position: body.position });
      return;
    case "started":
      stage.startedAt = performance.now();
      onRan("yes");
      onEvent({ type: "started", at: Date.now() });
      return;
    case "stdout":
    case "stderr":
    case "files":
      await output.add(body.event, body);
      return;
    case "interrupted":
      if (!body.rerun) {
        throw new PlasmError("interrupted", "The node stopped while the job ran", {
          details: { phase: "run" },
        });
      }
      delete stage.startedAt;
      output.reset();
      onEvent({ type: "interrupted" });
      return;
    case "failed":
      throw statedError(body.error);
    case "finished":
      return {
        receipt: body.receipt,
        message: body.message,
        stack: body.stack,
        leftBehind: body.left_behind ?? undefined,
      };
  }
}

/** Tolerance for durations measured by the node, in milliseconds: both sides round, and clock rates differ. */
const DURATION_SLACK_MS = 1000;

/** What the client knows about the run that a receipt describes. */
export interface ResultFacts {
  /** Job that was sent. */
  job: RemoteJob;
  /** Node that ran the job. */
  candidate: RemoteCandidate;
  /** Id of the job on the node. */
  jobId: string;
  /** The client's nonce. */
  nonce: string;
  /** Output that was received. */
  output: ReceivedOutput;
  /** When the job was offered, by the client's clock. */
  offeredAt: number;
  /** Time from allowing the job to run to receiving its end. @default {unknown: the client was restarted} */
  elapsedMs?: number | undefined;
}

/**
 * Verifies a receipt against everything that was sent and received, and checks that its durations are plausible.
 *
 * @throws {PlasmError} `bad-receipt`; `details.field` names the first wrong field
 */
export async function verifyResult(receipt: unknown, facts: ResultFacts): Promise<Receipt> {
  const { job, candidate, jobId, nonce, output, offeredAt, elapsedMs } = facts;
  const verified = await verifyReceipt(receipt, {
    peerId: candidate.peerId,
    jobId,
    nonce,
    manifest: job.manifest,
    module: job.module.hash,
    stdin: job.stdin.hash,
    ...await output.measure(),
    window: { from: offeredAt, to: Date.now() },
  });
  checkRuntime(verified, candidate);
  checkUsage(verified, { elapsedMs, cores: candidate.cores });
  return verified;
}

/** Compares the runtime with the node's capability document. */
function checkRuntime(
  { run: { runtime } }: Receipt,
  { runtime: announced }: RemoteCandidate,
): void {
  if (announced === undefined) return;
  for (const field of ["name", "version", "engine", "arch"] as const) {
    if (runtime[field] === announced[field]) continue;
    throw mismatch(
      `run.runtime.${field}`,
      `is ${runtime[field]}, the node's capability has ${announced[field]}`,
    );
  }
}

function checkUsage(
  { run: { usage } }: Receipt,
  { elapsedMs, cores }: { elapsedMs: number | undefined; cores: number | undefined },
): void {
  if (elapsedMs !== undefined && usage.wall_time_ms > elapsedMs + DURATION_SLACK_MS) {
    throw mismatch(
      "run.usage.wall_time_ms",
      `is ${usage.wall_time_ms}, only ${Math.round(elapsedMs)} ms elapsed`,
    );
  }
  if (cores === undefined) return;
  const maxMs = (usage.wall_time_ms + DURATION_SLACK_MS) * cores;
  if (usage.cpu_time_ms > maxMs) {
    throw mismatch(
      "run.usage.cpu_time_ms",
      `is ${usage.cpu_time_ms}, ${cores} cores can use ${maxMs} in that time`,
    );
  }
}

function mismatch(field: string, reason: string): PlasmError {
  return new PlasmError("bad-receipt", `Cannot trust receipt: ${field} ${reason}`, {
    details: { field },
  });
}

/** Time limit for sending the acknowledgement, in milliseconds. */
const ACKNOWLEDGE_MS = 3000;

/** Options of {@linkcode acknowledgeResult}. */
export interface AcknowledgeResultOptions {
  /** How long the node waits for the next request on the stream, in milliseconds. @default {0} */
  reuseMs?: number;
}

/**
 * Acknowledges the result, so that the node deletes the job, and releases or closes the stream. Never fails: a node
 * deletes results that are not acknowledged after some time.
 */
export async function acknowledgeResult(
  channel: FrameChannel,
  jobId: string,
  { reuseMs = 0 }: AcknowledgeResultOptions = {},
): Promise<void> {
  try {
    const limit = { ms: ACKNOWLEDGE_MS };
    await channel.limit(channel.write({ type: "taken", job_id: jobId }), limit);
    if (reuseMs > 0 && channel.release(reuseMs)) return;
    await channel.limit(channel.close(), limit);
  } catch {
    channel.abort(new Error("Not acknowledged in time"));
  }
}
