/**
 * The end of a conversation about a job.
 * @module
 */
import { deadline } from "./deadline.ts";
import type { FrameChannel } from "./frame_channel.ts";

/** How long a node may take to hear it, in milliseconds. */
const HEARD_MS = 3000;

/** Lets the node forget a job and ends the conversation. That it hears so is its own concern: results expire. */
export async function sayTaken(channel: FrameChannel, jobId: string): Promise<void> {
  try {
    await deadline(channel, HEARD_MS, channel.write({ type: "taken", job_id: jobId }));
    await deadline(channel, HEARD_MS, channel.close());
  } catch {
    channel.abort(new Error("Not read in time"));
  }
}
