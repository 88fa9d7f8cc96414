/**
 * Types of a remote job: content, candidates, options, progress, attempts and results.
 *
 * @module
 */
import { type Hash, type Manifest, type Receipt, type Runtime, sha256 } from "../../core/mod.ts";
import { type ByteStream, checksumOf, CHUNK_BYTES, type MessageOf } from "../wire/mod.ts";
import type { PlasmErrorJson } from "../../core/errors/mod.ts";
import type { OutputName, ReceivedOutput } from "./received_output.ts";

/** Content to send. */
export interface BlobSource {
  readonly hash: Hash;
  /** In bytes. */
  readonly size: number;
  /** Bytes from an offset on: `length` of them, fewer only at the end. */
  read(offset: number, length: number): Uint8Array | Promise<Uint8Array>;
}

/** Content in memory. */
export async function bytesSource(bytes: Uint8Array): Promise<BlobSource> {
  return {
    hash: await sha256(bytes),
    size: bytes.length,
    read: (offset, length) => bytes.subarray(offset, offset + length),
  };
}

/** Content as chunks, from an offset on; read one at a time. */
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

/** A job to run on another node. */
export interface RemoteJob {
  manifest: Manifest;
  module: BlobSource;
  stdin: BlobSource;
  /** Each content that the manifest's inputs name, once; none of no bytes. */
  inputs: readonly BlobSource[];
}

/** A node that may run it. */
export interface RemoteCandidate {
  peerId: string;
  /** What it says it is, as in its signed capability; its receipt must say the same. */
  runtime?: Runtime | undefined;
  /** Its processor cores, by the same document. */
  cores?: number | undefined;
}

/** How a run goes on, for people. */
export type RemoteProgress =
  & { peerId: string }
  & (
    | { phase: "connecting" | "offering" | "running" | "verifying" }
    | { phase: "accepted"; jobId: string }
    /** Bytes sent of those that must be. */
    | { phase: "sending"; sent: number; total: number }
    /** Jobs before it. */
    | { phase: "queued"; position: number }
    | { phase: "reconnecting"; reason: string }
    | { phase: "failed"; error: PlasmErrorJson }
  );

/** How long each phase may take, in milliseconds. */
export interface PhaseTimeouts {
  /** @default {20000} */
  connect: number;
  /** From the offer to its answer. @default {30000} */
  offer: number;
  /** Longest pause of the transfer. @default {60000} */
  transfer: number;
  /** From `begin` to the start. @default {300000} */
  queue: number;
  /** From the start to the end, beyond the manifest's own limit. @default {30000} */
  run: number;
  /** Silence after which a connection counts as lost. @default {32000} */
  silence: number;
  /** How long a lost connection is tried anew. @default {45000} */
  reattach: number;
}

/** What one attempt came to. */
export interface AttemptReport {
  peerId: string;
  jobId?: string | undefined;
  /** Whether the job ran there, as far as is known. */
  ran: "no" | "maybe" | "yes";
  /** Milliseconds since the run was asked for. */
  startedMs: number;
  endedMs: number;
  /** How often the connection was lost and found again. */
  reconnects: number;
  /** Bytes of content that were sent. */
  sentBytes: number;
  /** Why it was not enough; absent on success. */
  error?: PlasmErrorJson | undefined;
}

/** What lets a restarted client go on: keep it secret. */
export interface ResumeTicket {
  peerId: string;
  jobId: string;
  secret: string;
  nodeNonce: string;
  nonce: string;
  /** When it was offered, in Unix milliseconds. */
  offeredAt: number;
}

/** Options of what opens connections for jobs. */
export interface DialJobOptions {
  /** Ends the wait. */
  signal: AbortSignal;
  /**
   * Whether it may be one that was used before, and that the node may have given up meanwhile: what is said then
   * is lost, and must be said again. @default {false}
   */
  allowReused?: boolean;
}

/** Options of {@linkcode runOnPeers}. */
export interface RunOnPeersOptions {
  /** Opens a connection to a node, as by `PlasmNetwork.dialProtocol`. */
  dial: (peerId: string, options: DialJobOptions) => Promise<ByteStream>;
  /** Nodes to try, the best first. */
  candidates: AsyncIterable<RemoteCandidate> | Iterable<RemoteCandidate>;
  /**
   * Whether the candidates are one node: it may then begin as soon as it has all, without another round trip.
   * Where others could be tried it may not, but for the last attempt and jobs that may run twice: a node that
   * vanished with such an offer may have run it. @default {false}
   */
  isSole?: boolean | undefined;
  /** Cancels the job, on the node too. @default {never} */
  signal?: AbortSignal | undefined;
  /** The client's nonce, for the receipt: 64 hex digits. @default {a random one for each attempt} */
  nonce?: string | undefined;
  /** Nodes tried at most. @default {3} */
  attempts?: number | undefined;
  /** @default {see PhaseTimeouts} */
  timeouts?: Partial<PhaseTimeouts> | undefined;
  /** Output of both streams at most, in bytes. @default {the manifest's, else 1 GiB} */
  maxOutputBytes?: number | undefined;
  /** Takes output before it is verified. @default {it is held} */
  live?: ((stream: OutputName, data: Uint8Array) => void | Promise<void>) | undefined;
  /** Receives progress. Must not throw. @default {none} */
  onProgress?: ((progress: RemoteProgress) => void) | undefined;
  /** Keeps what a restarted client needs; undefined when it is of no more use. @default {nowhere} */
  saveTicket?: ((ticket: ResumeTicket | undefined) => void | Promise<void>) | undefined;
  /** Records the outcome for the node's reputation. @default {none} */
  noteOutcome?: ((peerId: string, outcome: { ok: boolean }) => void) | undefined;
  /** First wait before a lost connection is tried again, in milliseconds; it doubles. @default {100} */
  retryMs?: number | undefined;
  /** First wait before another attempt, in milliseconds; it doubles. @default {250} */
  backoffMs?: number | undefined;
}

/** A verified result. */
export interface RemoteResult {
  peerId: string;
  /** Verified against all that was sent and received. */
  receipt: Receipt;
  /** What stopped the job, in the node's words; not signed. */
  message: string | null;
  /** What was received; dispose it. */
  output: ReceivedOutput;
  /** All attempts; the last succeeded. */
  attempts: AttemptReport[];
}
