/**
 * What a client opens a conversation with, and how a node waits for another one on the same connection.
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { STREAM_REUSE_MS } from "./constants.ts";
import { Disconnected } from "./byte_stream.ts";
import type { FrameChannel } from "./frame_channel.ts";
import type { MessageOf } from "./messages.ts";

/** What a client may open with. */
export const REQUESTS = ["offer", "attach", "cancel"] as const;

/** A message that opens a conversation. */
export type ClientRequest = MessageOf<(typeof REQUESTS)[number]>;

/** When a peer that asks too often should ask again, in milliseconds: it has earned many conversations by then. */
const AGAIN_MS = 1000;

/**
 * Waits for the client's next opening.
 *
 * @param mayAgain Whether the peer may begin another conversation
 * @returns undefined where the client does not, or is gone
 * @throws {PlasmError} `protocol`; `busy` where the peer may not
 */
export async function readNextRequest(
  channel: FrameChannel,
  mayAgain: () => boolean,
): Promise<ClientRequest | undefined> {
  let opening: ClientRequest;
  try {
    opening = await channel.read(REQUESTS, { timeoutMs: STREAM_REUSE_MS });
  } catch (error) {
    if (error instanceof Disconnected) return undefined;
    if (error instanceof PlasmError && error.code === "peer-timeout") return undefined;
    throw error;
  }
  if (mayAgain()) return opening;
  throw new PlasmError("busy", "Cannot take another job now: too many in a second", {
    retryAfterMs: AGAIN_MS,
  });
}
