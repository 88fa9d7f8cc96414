/**
 * The client's side of a transfer.
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { chunksOf, type RemoteJob } from "./remote_job.ts";
import { deadline, within } from "../../util/async/mod.ts";
import { Disconnected, type FrameChannel, type MessageOf, type Need } from "../wire/mod.ts";
import { checkNeed } from "./handshake.ts";

/** How long to look for a node's last words after it closed a connection, in milliseconds. */
const LAST_WORDS_MS = 500;

/** Options of {@linkcode sendContent}. */
export interface SendContentOptions {
  job: RemoteJob;
  need: Need;
  /** The node's next message: before all is sent it can only be a refusal. */
  incoming: Promise<MessageOf<"event" | "alive" | "reject">>;
  /** Longest time that one chunk may take, in milliseconds. */
  stallMs: number;
  /** Called after each chunk with bytes sent so far, of how many, and the chunk's own. */
  onSent: (sent: number, total: number, bytes: number) => void;
}

/**
 * Sends what the node needs, one chunk when there is room for it.
 *
 * @throws {Disconnected} when the connection is lost
 * @throws {PlasmError} what the node refuses with; `protocol`
 */
export async function sendContent(
  channel: FrameChannel,
  { job, need, incoming, stallMs, onSent }: SendContentOptions,
): Promise<void> {
  checkNeed(need, job);
  const sources = new Map([job.module, job.stdin, ...job.inputs].map((blob) => [blob.hash, blob]));
  let [sent, total] = [0, 0];
  for (const { hash, offset } of need) total += sources.get(hash)!.size - offset;
  const refused = incoming.then(refuse);
  refused.catch(() => {}); // looked at after each chunk
  for (const { hash, offset } of need) {
    for await (const chunk of chunksOf(sources.get(hash)!, offset)) {
      const writing = deadline(channel, stallMs, channel.write(chunk));
      try {
        await Promise.race([writing, refused]);
      } catch (error) {
        writing.catch(() => {}); // fails as the race did
        if (error instanceof Disconnected) {
          await within(LAST_WORDS_MS, refused, () => error);
        }
        throw error;
      }
      sent += chunk.data.length;
      onSent(sent, total, chunk.data.length);
    }
  }
}

function refuse(message: MessageOf<"event" | "alive" | "reject">): never {
  if (message.type === "reject") throw PlasmError.fromJSON(message.error);
  throw new PlasmError("protocol", `Cannot use message: ${message.type} before the job may run`);
}
