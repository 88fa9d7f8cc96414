/**
 * Opens a conversation with a node: connects, offers a job or attaches to an accepted one, and reconnects.
 *
 * @module
 */
import { manifestHash } from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import {
  BLOB_BYTES,
  type BlobRef,
  Disconnected,
  FrameChannel,
  JOB_VERSION,
  MAX_INPUTS,
  type MessageOf,
  type Need,
  OFFER_VALID_MS,
  OFFERED_STDIN_BYTES,
} from "../wire/mod.ts";
import type { RemoteJob, ResumeTicket, RunOnPeersOptions } from "./remote_job.ts";
import { ANSWER_MS, deadline, orAborted, sleep, within } from "../../util/async/mod.ts";

/** Inputs whose room in an offer its standard input takes. */
const STDIN_ROOM = OFFERED_STDIN_BYTES / BLOB_BYTES;

/** Standard input that goes along. */
async function smallStdin({ stdin, inputs }: RemoteJob): Promise<Uint8Array | null> {
  const { size } = stdin;
  if (size === 0 || size > OFFERED_STDIN_BYTES) return null;
  return inputs.length + STDIN_ROOM <= MAX_INPUTS ? await stdin.read(0, size) : null;
}

/** Options of {@linkcode makeOffer}. */
export interface MakeOfferOptions {
  /** The client's, for the receipt. */
  nonce: string;
  /** Unix milliseconds. */
  now: number;
  /** Whether the job may run before the client has heard that it is accepted. @default {false} */
  mayBegin?: boolean | undefined;
}

/** Makes an offer of a job. A node is let begin only where it can lack nothing but the module. */
export async function makeOffer(
  job: RemoteJob,
  { nonce, now, mayBegin = false }: MakeOfferOptions,
): Promise<MessageOf<"offer">> {
  const { manifest, module, stdin, inputs } = job;
  const stdinData = await smallStdin(job);
  const ref = ({ hash, size }: BlobRef): BlobRef => ({ hash, size });
  return {
    type: "offer",
    version: JOB_VERSION,
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
 * Checks that an acceptance is one of this offer.
 *
 * @throws {PlasmError} `protocol`, its `details.field` naming what is wrong
 */
export function checkAccept(accept: MessageOf<"accept">, offer: MessageOf<"offer">): void {
  for (const field of ["nonce", "manifest_hash"] as const) {
    if (accept[field] !== offer[field]) {
      throw new PlasmError(
        "protocol",
        `Cannot use answer: it accepts another offer by its ${field}`,
        {
          details: { field },
        },
      );
    }
  }
  if (accept.begun && !(offer.begin && accept.need.length === 0)) {
    const why = offer.begin ? "what it still asks for" : "being let";
    throw new PlasmError("protocol", `Cannot use answer: node has begun the job without ${why}`, {
      details: { field: "begun" },
    });
  }
  checkNeed(accept.need, offer);
}

/**
 * Checks that a node asks for nothing but what was offered, each once.
 *
 * @throws {PlasmError} `protocol`
 */
export function checkNeed(
  need: Need,
  { module, stdin, inputs }: { module: BlobRef; stdin: BlobRef; inputs: readonly BlobRef[] },
): void {
  const sizes = new Map([module, stdin, ...inputs].map(({ hash, size }) => [hash, size]));
  for (const { hash, offset } of need) {
    const size = sizes.get(hash);
    if (size === undefined || offset >= size) {
      throw new PlasmError(
        "protocol",
        `Cannot use answer: node asks for ${hash} from ${offset}, ` +
          (size === undefined ? "which was not offered" : `it has ${size} bytes`),
        { details: { field: "need" } },
      );
    }
    sizes.delete(hash);
  }
}

/** Options of {@linkcode dialNode}. */
export interface DialNodeOptions extends Pick<RunOnPeersOptions, "dial" | "signal"> {
  /** Whether a connection will do whose node may have given it up meanwhile. @default {false} */
  allowReused?: boolean;
  /** In milliseconds. */
  timeoutMs: number;
}

/**
 * Connects to a node.
 *
 * @throws {PlasmError} `peer-timeout`, and what `dial` throws
 */
export async function dialNode(peerId: string, options: DialNodeOptions): Promise<FrameChannel> {
  const { dial, signal, timeoutMs, allowReused = false } = options;
  const limit = AbortSignal.timeout(timeoutMs);
  try {
    const both = signal === undefined ? limit : AbortSignal.any([signal, limit]);
    const dialling = dial(peerId, { signal: both, allowReused });
    // One that does not heed the signal, or comes after it, must not stay.
    dialling.then((late) => both.aborted && late.abort(new Error("Too late")), () => {});
    return new FrameChannel(await orAborted(dialling, both));
  } catch (error) {
    signal?.throwIfAborted();
    if (!limit.aborted) throw error;
    const text = `Cannot reach peer ${peerId}: no connection in ${timeoutMs} ms`;
    throw new PlasmError("peer-timeout", text, { details: { phase: "connect" }, cause: error });
  }
}

/** Options of {@linkcode offerJob}. */
export interface OfferJobOptions {
  peerId: string;
  /** For the offer to go, and again for its answer, in milliseconds. */
  timeoutMs: number;
}

/**
 * Offers a job.
 *
 * @throws {PlasmError} `peer-timeout`, `protocol`
 */
export async function offerJob(
  channel: FrameChannel,
  offer: MessageOf<"offer">,
  { peerId, timeoutMs }: OfferJobOptions,
): Promise<MessageOf<"accept" | "reject">> {
  const late = (): PlasmError =>
    new PlasmError("peer-timeout", `Peer ${peerId} did not answer the offer in time`, {
      details: { phase: "offer", waited_ms: timeoutMs },
    });
  await within(timeoutMs, channel.write(offer), late);
  const answer = await within(timeoutMs, channel.read(["accept", "reject"]), late);
  if (answer.type === "accept") checkAccept(answer, offer);
  return answer;
}

/** What shows that a client may speak of a job. */
export function ticketFields(
  { jobId, secret, nodeNonce }: ResumeTicket,
): { job_id: string; secret: string; node_nonce: string } {
  return { job_id: jobId, secret, node_nonce: nodeNonce };
}

/**
 * Takes up the conversation about a job again.
 *
 * @param after The last event received whole
 * @throws {PlasmError} what the node refuses with; `protocol`
 */
export async function attachToJob(
  channel: FrameChannel,
  ticket: ResumeTicket,
  after: number,
): Promise<MessageOf<"attached">> {
  const attach = { type: "attach", version: JOB_VERSION, after, ...ticketFields(ticket) } as const;
  await deadline(channel, ANSWER_MS, channel.write(attach));
  const answer = await deadline(channel, ANSWER_MS, channel.read(["attached", "reject"]));
  if (answer.type === "reject") throw PlasmError.fromJSON(answer.error);
  if (answer.job_id !== ticket.jobId || answer.nonce !== ticket.nonce) {
    throw new PlasmError("protocol", "Cannot go on: node speaks of another job");
  }
  return answer;
}

/** First and longest wait before a lost connection is tried again, in milliseconds. */
const RETRY_MS = 100;
const MAX_RETRY_MS = 5000;

/** Options of {@linkcode reconnect}. */
export interface ReconnectOptions {
  /** How long it is tried, in milliseconds. */
  forMs: number;
  /** First wait, in milliseconds; it doubles. @default {100} */
  retryMs?: number | undefined;
  /** Ends the wait. @default {never} */
  signal?: AbortSignal | undefined;
  /** Called after each failure; returns whether to stop trying. */
  onFailure: () => boolean;
}

/**
 * Tries until the node answers.
 *
 * @throws {unknown} What the last try failed with; the signal's reason
 */
export async function reconnect<T>(
  act: () => Promise<T>,
  { forMs, retryMs = RETRY_MS, signal, onFailure }: ReconnectOptions,
): Promise<T> {
  const never = new AbortController().signal;
  const until = performance.now() + forMs;
  for (let wait = retryMs;; wait = Math.min(2 * wait, MAX_RETRY_MS)) {
    try {
      return await act();
    } catch (error) {
      const code = error instanceof Disconnected ? "no-peer" : PlasmError.from(error).code;
      const isLost = code === "no-peer" || code === "peer-timeout";
      if (onFailure() || !isLost || performance.now() > until) throw error;
    }
    await sleep(wait * (0.5 + Math.random() / 2), signal ?? never);
    signal?.throwIfAborted();
  }
}
