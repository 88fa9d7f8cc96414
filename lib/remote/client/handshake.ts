/**
 * Sends the requests of a client to a node: dials, offers a job, attaches to an accepted one and sends its content.
 *
 * @module
 */
import { manifestHash } from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import { abortable, deadline } from "../../util/async/mod.ts";
import {
  BLOB_BYTES,
  type BlobRef,
  Disconnected,
  DOCUMENT_VERSION,
  FrameChannel,
  MAX_INPUTS,
  type MessageOf,
  type Need,
  OFFER_VALID_MS,
  OFFERED_STDIN_BYTES,
  Stated,
} from "../wire/mod.ts";
import {
  chunksOf,
  type RemoteJob,
  type ResumeTicket,
  type RunOnPeersOptions,
} from "./remote_job.ts";

/** Options of {@linkcode dialNode}. */
export interface DialNodeOptions extends Pick<RunOnPeersOptions, "dial" | "signal"> {
  /** Whether the request is safe to repeat on another stream. @default {false} */
  isRepeatable?: boolean;
  /** Whether to connect anew, because the open connection does not answer. @default {false} */
  isFresh?: boolean;
  /** Time limit, in milliseconds. */
  timeoutMs: number;
}

/**
 * Opens a stream to a node.
 *
 * @throws {PlasmError} `peer-timeout`, and errors of `dial`
 */
export async function dialNode(peerId: string, options: DialNodeOptions): Promise<FrameChannel> {
  const { dial, signal, timeoutMs, isRepeatable, isFresh } = options;
  const limit = AbortSignal.timeout(timeoutMs);
  try {
    const both = signal === undefined ? limit : AbortSignal.any([signal, limit]);
    const dialing = dial(peerId, { signal: both, isRepeatable, isFresh });
    // Do not leak a stream that is opened in spite of the signal.
    dialing.then((late) => both.aborted && late.abort(new Error("Too late")), () => {});
    return new FrameChannel(await abortable(dialing, { signal: both }));
  } catch (error) {
    signal?.throwIfAborted();
    if (!limit.aborted) throw error;
    const text = `Cannot reach peer ${peerId}: no connection within ${timeoutMs} ms`;
    throw new PlasmError("peer-timeout", text, {
      details: { phase: "connect", waited_ms: timeoutMs },
      cause: error,
    });
  }
}

/** Inputs that an offer cannot list if it carries standard input. */
const STDIN_INPUTS = OFFERED_STDIN_BYTES / BLOB_BYTES;

/** Standard input to send with the offer, if it is small enough. */
async function smallStdin({ stdin, inputs }: RemoteJob): Promise<Uint8Array | null> {
  const { size } = stdin;
  if (size === 0 || size > OFFERED_STDIN_BYTES) return null;
  return inputs.length + STDIN_INPUTS <= MAX_INPUTS ? await stdin.read(0, size) : null;
}

/** Options of {@linkcode makeOffer}. */
export interface MakeOfferOptions {
  /** The client's nonce, for the receipt. */
  nonce: string;
  /** Unix milliseconds. */
  now: number;
  /** Whether the job may run before the client knows that it was accepted. @default {false} */
  mayBegin?: boolean | undefined;
}

/** Creates the offer of a job. A node may begin only jobs of which it can lack nothing but the module. */
export async function makeOffer(
  job: RemoteJob,
  { nonce, now, mayBegin = false }: MakeOfferOptions,
): Promise<MessageOf<"offer">> {
  const { manifest, module, stdin, inputs } = job;
  const stdinData = await smallStdin(job);
  const ref = ({ hash, size }: BlobRef): BlobRef => ({ hash, size });
  return {
    type: "offer",
    version: DOCUMENT_VERSION,
    manifest: { ...manifest },
    manifest_hash: await manifestHash(manifest),
    nonce,
    module: ref(module),
    stdin: ref(stdin),
    stdin_data: stdinData,
    inputs: inputs.map(ref),
    begin: mayBegin && inputs.length === 0 && (stdin.size === 0 || stdinData !== null),
    age_ms: 0,
    expires_at: now + OFFER_VALID_MS,
  };
}

/**
 * Checks that an acceptance answers this offer.
 *
 * @throws {PlasmError} `protocol`; `details.field` names the invalid field
 */
function checkAccept(accept: MessageOf<"accept">, offer: MessageOf<"offer">): void {
  for (const field of ["nonce", "manifest_hash"] as const) {
    if (accept[field] !== offer[field]) {
      throw new PlasmError("protocol", `Cannot use answer: ${field} is not that of the offer`, {
        details: { field },
      });
    }
  }
  if (accept.begun && !(offer.begin && accept.need.length === 0)) {
    const lacking = offer.begin ? "the content that it needs" : "permission";
    throw new PlasmError("protocol", `Cannot use answer: node began the job without ${lacking}`, {
      details: { field: "begun" },
    });
  }
  checkNeed(accept.need, offer);
}

/**
 * Checks that a node requests only offered content, each once.
 *
 * @throws {PlasmError} `protocol`
 */
function checkNeed(
  need: Need,
  { module, stdin, inputs }: { module: BlobRef; stdin: BlobRef; inputs: readonly BlobRef[] },
): void {
  const sizes = new Map([module, stdin, ...inputs].map(({ hash, size }) => [hash, size]));
  for (const { hash, offset } of need) {
    const size = sizes.get(hash);
    if (size === undefined || offset >= size) {
      throw new PlasmError(
        "protocol",
        `Cannot use answer: node requests ${hash} from ${offset}, ` +
          (size === undefined ? "which was not offered" : `it has ${size} bytes`),
        { details: { field: "need" } },
      );
    }
    sizes.delete(hash);
  }
}

/** Options of {@linkcode offerJob}. */
export interface OfferJobOptions {
  /** Peer id of the node, for errors. */
  peerId: string;
  /** Time limit for sending the offer and for its answer together, in milliseconds. */
  timeoutMs: number;
}

/**
 * Sends an offer and returns the answer.
 *
 * @throws {PlasmError} `peer-timeout`, `protocol`
 */
export async function offerJob(
  channel: FrameChannel,
  offer: MessageOf<"offer">,
  { peerId, timeoutMs }: OfferJobOptions,
): Promise<MessageOf<"accept" | "reject">> {
  const timeout = (): PlasmError =>
    new PlasmError("peer-timeout", `Peer ${peerId} did not answer within ${timeoutMs} ms`, {
      details: { phase: "offer", waited_ms: timeoutMs },
    });
  const exchange = async (): Promise<MessageOf<"accept" | "reject">> => {
    await channel.write(offer);
    return await channel.read(["accept", "reject"]);
  };
  const answer = await deadline(exchange(), { ms: timeoutMs, error: timeout });
  if (answer.type === "accept") checkAccept(answer, offer);
  return answer;
}

/** Fields of a ticket as messages carry them. */
export function ticketFields(
  { jobId, secret, nodeNonce }: ResumeTicket,
): { job_id: string; secret: string; node_nonce: string } {
  return { job_id: jobId, secret, node_nonce: nodeNonce };
}

/**
 * Resumes a job on a new connection.
 *
 * @param after Last event that was received completely
 * @throws {PlasmError} the node's rejection; `protocol`
 */
export async function attachToJob(
  channel: FrameChannel,
  ticket: ResumeTicket,
  after: number,
): Promise<MessageOf<"attached">> {
  const attach = {
    type: "attach",
    version: DOCUMENT_VERSION,
    after,
    ...ticketFields(ticket),
  } as const;
  await channel.limit(channel.write(attach));
  const answer = await channel.limit(channel.read(["attached", "reject"]));
  if (answer.type === "reject") throw statedError(answer.error);
  if (answer.job_id !== ticket.jobId || answer.nonce !== ticket.nonce) {
    throw new PlasmError("protocol", "Cannot resume job: node attached to another job");
  }
  return answer;
}

/** Error with which the node says why it does not run the job. */
export function statedError(value: unknown): PlasmError {
  const { code, message, ...rest } = PlasmError.fromJSON(value);
  return new PlasmError(code, message, { ...rest, cause: new Stated("The node said so") });
}

/** How long to wait for a `reject` after the node has closed the connection, in milliseconds. */
const REJECT_WAIT_MS = 500;

/** Options of {@linkcode sendContent}. */
export interface SendContentOptions {
  /** Job whose content is sent. */
  job: RemoteJob;
  /** Content that the node requested. */
  need: Need;
  /** The node's next message but keep-alives; only `reject` is valid before all content is sent. */
  incoming: Promise<MessageOf<"event" | "reject">>;
  /** Time limit for writing one chunk, in milliseconds. */
  stallMs: number;
  /** Silence after which the connection is treated as lost, in milliseconds. */
  silenceMs: number;
  /** Called after each chunk with the bytes sent so far, the total, and the size of the chunk. */
  onSent: (sent: number, total: number, bytes: number) => void;
}

/**
 * Sends the content that the node needs, chunk by chunk under backpressure.
 *
 * @throws {Disconnected} if the connection is lost
 * @throws {PlasmError} the node's rejection; `protocol`
 */
export async function sendContent(
  channel: FrameChannel,
  { job, need, incoming, stallMs, silenceMs, onSent }: SendContentOptions,
): Promise<void> {
  checkNeed(need, job);
  const sources = new Map([job.module, job.stdin, ...job.inputs].map((blob) => [blob.hash, blob]));
  let [sent, total] = [0, 0];
  for (const { hash, offset } of need) total += sources.get(hash)!.size - offset;
  const rejected = incoming.then(throwRejection);
  rejected.catch(() => {}); // checked after each chunk
  for (const { hash, offset } of need) {
    for await (const chunk of chunksOf(sources.get(hash)!, offset)) {
      const writing = channel.unlessSilent(
        channel.limit(channel.write(chunk), { ms: stallMs }),
        { ms: silenceMs },
      );
      try {
        await Promise.race([writing, rejected]);
      } catch (error) {
        writing.catch(() => {}); // fails as the race did
        if (error instanceof Disconnected) {
          await deadline(rejected, { ms: REJECT_WAIT_MS, error: () => error });
        }
        throw error;
      }
      sent += chunk.data.length;
      onSent(sent, total, chunk.data.length);
    }
  }
}

/** Reads the next message that is not a keep-alive. */
export async function readPastAlive(
  channel: FrameChannel,
): Promise<MessageOf<"event" | "reject">> {
  for (;;) {
    const message = await channel.read(["event", "alive", "reject"]);
    if (message.type !== "alive") return message;
  }
}

function throwRejection(message: MessageOf<"event" | "reject">): never {
  if (message.type === "reject") throw statedError(message.error);
  throw new PlasmError("protocol", `Cannot accept message: ${message.type} before the job began`);
}
