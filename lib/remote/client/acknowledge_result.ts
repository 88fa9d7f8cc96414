/**
 * The end of a conversation about a job.
 * @module
 */
import { deadline } from "../../util/async/mod.ts";
import type { FrameChannel } from "../wire/mod.ts";

/** How long a node may take to hear it, in milliseconds. */
const HEARD_MS = 3000;

/** Options of {@linkcode acknowledgeResult}. */
export interface AcknowledgeResultOptions {
  /** How long the node waits for another offer, in milliseconds. @default {0} */
  keepsMs?: number;
}

/** Lets the node forget a job and ends the conversation. That it hears so is its own concern: results expire. */
export async function acknowledgeResult(
  channel: FrameChannel,
  jobId: string,
  { keepsMs = 0 }: AcknowledgeResultOptions = {},
): Promise<void> {
  try {
    await deadline(channel, HEARD_MS, channel.write({ type: "taken", job_id: jobId }));
    if (keepsMs > 0 && channel.keep(keepsMs)) return;
    await deadline(channel, HEARD_MS, channel.close());
  } catch {
    channel.abort(new Error("Not read in time"));
  }
}
