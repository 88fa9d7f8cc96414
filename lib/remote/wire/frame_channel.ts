/**
 * Reads and writes the messages of the job protocol as length-prefixed canonical CBOR over a byte stream.
 *
 * @module
 */
import { joinBytes } from "../../util/mod.ts";
import { within } from "../../util/async/mod.ts";
import {
  decodeMessage,
  encodeFrame,
  encodeFrameInto,
  MAX_LENGTH_BYTES,
} from "../../core/cbor/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import { type ByteStream, ByteStreamReader, Disconnected } from "./byte_stream.ts";
import { decodeChunk } from "./chunk_frame.ts";
import {
  checkMessage,
  MAX_BYTES,
  type Message,
  type MessageOf,
  type MessageType,
  STREAM_REUSE_MS,
} from "./messages.ts";

/** Options of {@linkcode FrameChannel.read}. */
export interface ReadOptions {
  /** Longest wait, in milliseconds. @default {none} */
  timeoutMs?: number | undefined;
}

/** Largest batch of small messages, in bytes: each write is encrypted and acknowledged separately. */
const JOIN_BYTES = 64 * 1024;

/** Messages that are written at once. */
interface Batch {
  frames: Uint8Array[];
  bytes: number;
  written: Promise<void>;
}

/** One side of a conversation. */
export class FrameChannel {
  readonly #stream: ByteStream;
  readonly #reader: ByteStreamReader;
  #writes: Promise<void> = Promise.resolve();
  /** Small messages that wait for their turn, to go together. */
  #batch: Batch | undefined;
  /** Where chunks are encoded, one after the other. */
  #chunkBuffer: Uint8Array | undefined;

  constructor(stream: ByteStream) {
    this.#stream = stream;
    this.#reader = new ByteStreamReader(stream);
  }

  /** Bytes received, framing included, whether or not they were of use. */
  get received(): number {
    return this.#reader.received;
  }

  /**
   * Reads the next message, which must be of one of these types. A chunk's data is good until the next
   * read. A wait that is given up leaves the channel unusable: abort it.
   *
   * @throws {Disconnected} when the other side is gone
   * @throws {PlasmError} `protocol`; `peer-timeout` when nothing came in time
   */
  async read<T extends MessageType>(
    types: readonly T[],
    { timeoutMs }: ReadOptions = {},
  ): Promise<MessageOf<T>> {
    const next = this.#next(types);
    if (timeoutMs === undefined) return await next;
    return await within(timeoutMs, next, () => {
      const text = `Nothing came in ${timeoutMs} ms, waited for ${types.join(" or ")}`;
      return new PlasmError("peer-timeout", text);
    });
  }

  async #next<T extends MessageType>(types: readonly T[]): Promise<MessageOf<T>> {
    const maxBytes = Math.max(...types.map((type) => MAX_BYTES[type]));
    const length = await this.#length();
    if (length > maxBytes) {
      throw new PlasmError(
        "protocol",
        `Cannot read message: it has ${length} bytes, allowed are ${maxBytes}`,
        { details: { bytes: length, max_bytes: maxBytes } },
      );
    }
    const frame = await this.#reader.take(length);
    const isChunkDue = (types as readonly string[]).includes("chunk");
    const message = checkMessage(isChunkDue ? decodeChunk(frame) : decodeMessage(frame));
    if (!(types as readonly string[]).includes(message.type)) {
      throw new PlasmError(
        "protocol",
        `Cannot use message: got ${message.type}, expected ${types.join(" or ")}`,
      );
    }
    if (length > MAX_BYTES[message.type]) {
      throw new PlasmError(
        "protocol",
        `Cannot read ${message.type}: it has ${length} bytes, allowed are ${
          MAX_BYTES[message.type]
        }`,
      );
    }
    return message as MessageOf<T>;
  }

  async #length(): Promise<number> {
    let length = 0;
    for (let at = 0; at < MAX_LENGTH_BYTES; at++) {
      const byte = await this.#reader.byte();
      if (byte === undefined) {
        throw new Disconnected(
          at === 0 ? "The other side has ended" : "The connection ended inside a message",
        );
      }
      length |= (byte & 0x7f) << (7 * at);
      if (byte < 0x80) {
        // One length, one form: a last byte of zero says nothing.
        if (length === 0 || (byte === 0 && at > 0)) break;
        return length;
      }
    }
    throw new PlasmError("protocol", "Cannot read message: its length is not a short varint");
  }

  /**
   * Writes a message after those before it; resolves when more may follow. A chunk's data may not change
   * before that.
   *
   * @throws {Disconnected} when the other side is gone
   */
  async write(message: Message): Promise<void> {
    await (message.type === "chunk" ? this.#writeChunk(message) : this.#join(encodeFrame(message)));
  }

  /** Encoded when its turn comes, for all use one buffer. */
  #writeChunk(chunk: MessageOf<"chunk">): Promise<void> {
    this.#batch = undefined;
    return this.#enqueue(() => {
      this.#chunkBuffer ??= new Uint8Array(MAX_LENGTH_BYTES + MAX_BYTES.chunk);
      return encodeFrameInto(chunk, this.#chunkBuffer);
    });
  }

  /** What is small is encoded already, and goes along with what waits before it. */
  #join(frame: Uint8Array): Promise<void> {
    const waiting = this.#batch;
    if (waiting !== undefined && waiting.bytes + frame.length <= JOIN_BYTES) {
      waiting.frames.push(frame);
      waiting.bytes += frame.length;
      return waiting.written;
    }
    const frames = [frame];
    const written = this.#enqueue(() => {
      if (this.#batch === batch) this.#batch = undefined;
      return frames.length === 1 ? frame : joinBytes(frames);
    });
    const batch: Batch = this.#batch = { frames, bytes: frame.length, written };
    return written;
  }

  /** Writes bytes after those before them. */
  #enqueue(bytes: () => Uint8Array): Promise<void> {
    const written = this.#writes.then(() => this.#stream.write(bytes()));
    this.#writes = written.catch(() => {}); // told to whoever wrote it
    return written;
  }

  /** Hands the connection back where that can be, see {@linkcode ByteStream.keep}. All must have been said. */
  keep(ms: number): boolean {
    return this.#reader.isEmpty && (this.#stream.keep?.(ms) ?? false);
  }

  /** Ends our side. */
  async close(): Promise<void> {
    await this.#writes;
    await this.#stream.close();
  }

  /** Drops the connection. */
  abort(reason: Error): void {
    this.#stream.abort(reason);
  }

  /** Reads no more than has come. */
  endRead(): void {
    this.#stream.endRead();
  }
}

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
