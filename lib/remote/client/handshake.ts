/**
 * How a client's conversation with a node begins: with an offer, or by attaching to a job that was accepted.
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { FrameChannel, JOB_VERSION, type MessageOf } from "../wire/mod.ts";
import { ANSWER_MS, deadline, orAborted, within } from "../../util/async/mod.ts";
import { checkAccept } from "./make_offer.ts";
import type { ResumeTicket, RunOnPeersOptions } from "./run_types.ts";

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
