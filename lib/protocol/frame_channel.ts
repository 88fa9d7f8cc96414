/**
 * Messages over a {@linkcode Duplex}: each is canonical CBOR behind its length as an unsigned varint, the
 * framing of our other protocols.
 * @module
 */
import { joinBytes } from "../bytes.ts";
import { PlasmError } from "../errors.ts";
import { decodeMessage, encodeFrame } from "../network/frame.ts";
import { within } from "./deadline.ts";
import { Disconnected, type Duplex } from "./duplex.ts";
import {
  checkMessage,
  MAX_BYTES,
  type Message,
  type MessageOf,
  type MessageType,
} from "./messages.ts";

/** Bytes of a varint that can say the length of any frame. */
const LENGTH_BYTES = 3;

/** Options of {@linkcode FrameChannel.read}. */
export interface ReadOptions {
  /** Longest wait, in milliseconds. @default {none} */
  timeoutMs?: number | undefined;
}

/** One side of a conversation. */
export class FrameChannel {
  readonly #duplex: Duplex;
  #buffer: Uint8Array = new Uint8Array();
  #writes: Promise<void> = Promise.resolve();
  /** Bytes received, framing included, whether or not they were of use. */
  received = 0;

  constructor(duplex: Duplex) {
    this.#duplex = duplex;
  }

  /**
   * Reads the next message, which must be of one of these types. A wait that is given up leaves the
   * channel unusable: abort it.
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
    const frame = await this.#take(length);
    const message = checkMessage(decodeMessage(frame));
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
    for (let at = 0; at < LENGTH_BYTES; at++) {
      const [byte = 0] = await this.#take(1);
      length |= (byte & 0x7f) << (7 * at);
      if (byte < 0x80) {
        // One length, one form: a last byte of zero says nothing.
        if (length === 0 || (byte === 0 && at > 0)) break;
        return length;
      }
    }
    throw new PlasmError("protocol", "Cannot read message: its length is not a short varint");
  }

  async #take(length: number): Promise<Uint8Array> {
    if (this.#buffer.length < length) {
      const parts = [this.#buffer];
      for (let have = this.#buffer.length; have < length;) {
        const bytes = await this.#duplex.read();
        if (bytes === null) {
          throw new Disconnected(
            parts.length === 1 && parts[0]!.length === 0 && length === 1
              ? "The other side has ended"
              : "The connection ended inside a message",
          );
        }
        parts.push(bytes);
        this.received += bytes.length;
        have += bytes.length;
      }
      const isWhole = parts.length === 2 && parts[0]!.length === 0;
      this.#buffer = isWhole ? parts[1]! : joinBytes(parts);
    }
    const taken = this.#buffer.subarray(0, length);
    this.#buffer = this.#buffer.subarray(length);
    return taken;
  }

  /**
   * Writes a message after those before it; resolves when more may follow.
   *
   * @throws {Disconnected} when the other side is gone
   */
  async write(message: Message): Promise<void> {
    const frame = encodeFrame(message);
    const written = this.#writes.then(() => this.#duplex.write(frame));
    this.#writes = written.catch(() => {}); // told to whoever wrote it
    await written;
  }

  /** Ends our side. */
  async close(): Promise<void> {
    await this.#writes;
    await this.#duplex.close();
  }

  /** Drops the connection. */
  abort(reason: Error): void {
    this.#duplex.abort(reason);
  }

  /** Reads no more than has come. */
  endRead(): void {
    this.#duplex.endRead();
  }
}
