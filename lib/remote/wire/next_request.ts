/**
 * What a client opens a conversation with, and how a node waits for another one on the same connection.
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { KEEP_MS } from "./constants.ts";
import { Disconnected } from "./byte_stream.ts";
import type { FrameChannel } from "./frame_channel.ts";
import type { MessageOf } from "./messages.ts";

/** What a client may open with. */
export const OPENINGS = ["offer", "attach", "cancel"] as const;

/** A message that opens a conversation. */
export type Opening = MessageOf<(typeof OPENINGS)[number]>;

/** When a peer that asks too often should ask again, in milliseconds: it has earned many conversations by then. */
const AGAIN_MS = 1000;

/**
 * Waits for the client's next opening.
 *
 * @param mayAgain Whether the peer may begin another conversation
 * @returns undefined where the client does not, or is gone
 * @throws {PlasmError} `protocol`; `busy` where the peer may not
 */
export async function nextOpening(
  channel: FrameChannel,
  mayAgain: () => boolean,
): Promise<Opening | undefined> {
  let opening: Opening;
  try {
    opening = await channel.read(OPENINGS, { timeoutMs: KEEP_MS });
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
