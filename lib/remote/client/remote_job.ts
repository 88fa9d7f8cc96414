/**
 * Types of a remote job: content, candidates, options, attempts and results.
 *
 * @module
 */
import {
  type Hash,
  type JobEvent,
  type JobOutcome,
  type Manifest,
  type Receipt,
  type Runtime,
  sha256,
  type StackFrame,
} from "../../core/mod.ts";
import type { PlasmErrorJson } from "../../core/errors/mod.ts";
import type { PeerOutcome } from "../../p2p/mod.ts";
import { type ByteStream, checksumOf, CHUNK_BYTES, type MessageOf } from "../wire/mod.ts";

/** Content to send. */
export interface BlobSource {
  /** SHA-256 of all bytes. */
  readonly hash: Hash;
  /** In bytes. */
  readonly size: number;
  /** Reads `length` bytes from an offset; fewer only at the end. */
  read(offset: number, length: number): Uint8Array | Promise<Uint8Array>;
}

/** Creates content from bytes in memory. */
export async function bytesSource(bytes: Uint8Array): Promise<BlobSource> {
  return {
    hash: await sha256(bytes),
    size: bytes.length,
    read: (offset, length) => bytes.subarray(offset, offset + length),
  };
}

/** Reads content from an offset as chunk messages, one at a time. */
export async function* chunksOf(
  source: BlobSource,
  offset: number,
): AsyncGenerator<MessageOf<"chunk">, void, void> {
  for (let at = offset; at < source.size; at += CHUNK_BYTES) {
    const data = await source.read(at, Math.min(CHUNK_BYTES, source.size - at));
    const checksum = checksumOf(data);
    yield { type: "chunk", hash: source.hash, offset: at, data, checksum };
  }
}

/** Job to run on another node. */
export interface RemoteJob {
  /** Limits and inputs of the job. */
  manifest: Manifest;
  /** WebAssembly module. */
  module: BlobSource;
  /** Standard input. */
  stdin: BlobSource;
  /** Distinct non-empty content of the manifest's inputs. */
  inputs: readonly BlobSource[];
}

/** Node that may run a job. */
export interface RemoteCandidate {
  /** Peer id of the node. */
  peerId: string;
  /** Runtime in its signed capability document; its receipt must have the same. */
  runtime?: Runtime | undefined;
  /** CPU cores in the same document. */
  cores?: number | undefined;
}

/** Time limits of each phase, in milliseconds. */
export interface PhaseTimeouts {
  /** Opening a stream. @default {20000} */
  connect: number;
  /** From the offer to its answer. @default {30000} */
  offer: number;
  /** Both of them together, while another node may be tried. @default {2500} */
  answer: number;
  /** Longest pause of the transfer. @default {60000} */
  transfer: number;
  /** From `begin` to the start. @default {300000} */
  queue: number;
  /** From the start to the end, in addition to the manifest's own limit. @default {30000} */
  run: number;
  /** Silence after which a connection is treated as lost. @default {9000} */
  silence: number;
  /**
   * How long to retry after a lost connection. While the job may run on another node, three times within 2500 at
   * most, and not at all after silence.
   * @default {45000}
   */
  reattach: number;
}

/** Report of one attempt. */
export interface AttemptReport {
  /** Peer id of the node. */
  peerId: string;
  /** Id of the job on the node; absent if it was not accepted. */
  jobId?: string | undefined;
  /** Whether the job ran there, as far as is known. */
  ran: "no" | "maybe" | "yes";
  /** Start of the attempt, in milliseconds since the start of the run. */
  startedMs: number;
  /** End of the attempt, in milliseconds since the start of the run. */
  endedMs: number;
  /** Number of reconnects after a lost connection. */
  reconnects: number;
  /** Bytes of content sent. */
  sentBytes: number;
  /** Why the attempt failed; absent on success. */
  error?: PlasmErrorJson | undefined;
}

/** State that a restarted client needs to resume a job. Secret: it authorizes control of the job. */
export interface ResumeTicket {
  /** Peer id of the node. */
  peerId: string;
  /** Id of the job on the node. */
  jobId: string;
  /** Authorizes the client. */
  secret: string;
  /** The node's nonce, which identifies the acceptance. */
  nodeNonce: string;
  /** The client's nonce, for the receipt. */
  nonce: string;
  /** When the job was offered, in Unix milliseconds. */
  offeredAt: number;
}

/** Options of a function that opens streams for job requests. */
export interface DialJobOptions {
  /** Aborts the dial. */
  signal: AbortSignal;
  /**
   * Whether the caller repeats the request if the stream ends before the answer: it may then be a reused one.
   * @default {false}
   */
  isRepeatable?: boolean | undefined;
  /** Whether to connect anew, because the open connection does not answer. @default {false} */
  isFresh?: boolean | undefined;
}

/** Output streams of a job; `files` is the archive of its output files. */
export type OutputName = "stdout" | "stderr" | "files";

/** Receives standard output and standard error before they are verified. */
export type LiveOutput = (stream: "stdout" | "stderr", data: Uint8Array) => void | Promise<void>;

/** Options of {@linkcode runOnPeers}. */
export interface RunOnPeersOptions {
  /** Opens a stream to a node, see `jobDialer`. */
  dial: (peerId: string, options: DialJobOptions) => Promise<ByteStream>;
  /** Nodes to try, the best first. */
  candidates: AsyncIterable<RemoteCandidate> | Iterable<RemoteCandidate>;
  /**
   * Whether there is only one candidate. It may then begin the job with the offer, which saves a round trip.
   * Otherwise only the last attempt and idempotent jobs may: a node that disappears after such an offer may have
   * run the job.
   * @default {false}
   */
  isSole?: boolean | undefined;
  /** Cancels the job, on the node too. @default {never} */
  signal?: AbortSignal | undefined;
  /** The client's nonce, for the receipt: 64 hex digits. @default {a random one for each attempt} */
  nonce?: string | undefined;
  /** Maximum number of attempts. @default {3} */
  attempts?: number | undefined;
  /** Time limits of each phase. @default {see PhaseTimeouts} */
  timeouts?: Partial<PhaseTimeouts> | undefined;
  /** Limit of both output streams together, in bytes. @default {the manifest's, else 1 GiB} */
  maxOutputBytes?: number | undefined;
  /** Limit of the output files together, in bytes. @default {the manifest's, else 1 GiB} */
  maxFilesBytes?: number | undefined;
  /** Receives output before it is verified. @default {output is stored} */
  live?: LiveOutput | undefined;
  /** Receives the job's events, except output. Must not throw. @default {none} */
  onEvent?: ((event: JobEvent) => void) | undefined;
  /** Saves the resume ticket; `undefined` deletes it. @default {not saved} */
  saveTicket?: ((ticket: ResumeTicket | undefined) => void | Promise<void>) | undefined;
  /** Records the outcome for the node's reputation. @default {none} */
  recordOutcome?: ((peerId: string, outcome: PeerOutcome) => void) | undefined;
  /** First delay before a reconnect, in milliseconds; it doubles. @default {100} */
  retryMs?: number | undefined;
  /** First delay before another attempt, in milliseconds; it doubles. @default {250} */
  backoffMs?: number | undefined;
}

/** Verified output of a job. Dispose it to delete temporary files. */
export interface RemoteOutput extends Disposable {
  /** Reads one stream; standard output and error are empty if `live` received them. */
  read(stream: OutputName): AsyncGenerator<Uint8Array, void, void>;
}

/** Verified result. */
export interface RemoteResult {
  /** Peer id of the node that ran the job. */
  peerId: string;
  /** Verified against everything that was sent and received. */
  receipt: Receipt;
  /** Why the job was stopped, in the node's words; not signed. */
  message: string | null;
  /** The innermost calls of a job that trapped; undefined if the node did not report them. */
  backtrace: readonly StackFrame[] | undefined;
  /** Files that the job created and did not return, in the node's words; not signed. */
  leftBehind: JobOutcome["leftBehind"];
  /** Output of the job; dispose it. */
  output: RemoteOutput;
  /** All attempts; the last one succeeded. */
  attempts: AttemptReport[];
}
