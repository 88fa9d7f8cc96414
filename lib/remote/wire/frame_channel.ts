/**
 * Reads and writes the messages of the job protocol over a byte stream, as length-prefixed canonical CBOR.
 *
 * @module
 */
import { crc32 } from "node:zlib";
import { decode, encodingLength } from "uint8-varint";
import { concat } from "../../util/mod.ts";
import { deadline } from "../../util/async/mod.ts";
import {
  decodeMessage,
  encodeFrame,
  encodeFrameInto,
  encodeMessage,
  MAX_LENGTH_BYTES,
} from "../../core/cbor/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import {
  checkMessage,
  MAX_BYTES,
  type Message,
  type MessageOf,
  type MessageType,
} from "./messages.ts";

/** The connection is lost. The session can continue on another one. */
export class Disconnected extends Error {
  override readonly name: string = "Disconnected";
}

/** The connection is open, but nothing is received on it. */
export class Silent extends Disconnected {
  override readonly name = "Silent";
}

/** Bidirectional stream of bytes with one reader and one writer at a time. */
export interface ByteStream {
  /**
   * Reads the next bytes; `null` at the end of the peer's data.
   *
   * @throws {Disconnected} if the connection is lost
   */
  read(): Promise<Uint8Array | null>;
  /**
   * Writes bytes and resolves when more can be written (backpressure). The bytes must not change until then.
   *
   * @throws {Disconnected} if the connection is lost
   */
  write(bytes: Uint8Array): Promise<void>;
  /** Closes the write side after all written bytes. */
  close(): Promise<void>;
  /** Resets the stream; pending reads and writes reject. Safe to call at any time. */
  abort(reason: Error): void;
  /** Closes the read side: `read` returns what has been received, then `null`. */
  endRead(): void;
  /**
   * Returns the stream to its pool. The stream must not be used after success, and must be closed after failure.
   *
   * @param ms How long the peer waits for another request on the stream
   * @returns whether the pool accepted it
   */
  release?(ms: number): boolean;
}

/** Initial allocation for a message that arrives in several pieces, in bytes; it grows as they arrive. */
const INITIAL_BYTES = 16 * 1024;

/** Buffered reader of a byte stream. One read at a time. */
export class ByteStreamReader {
  readonly #stream: ByteStream;
  #piece: Uint8Array = new Uint8Array();
  #at = 0;
  #buffer: Uint8Array = new Uint8Array();
  /** Bytes received so far, read or buffered. */
  received = 0;
  /** When bytes were last received, or the start, on the monotonic clock. */
  receivedAt: number = performance.now();

  constructor(stream: ByteStream) {
    this.#stream = stream;
  }

  /** Whether no received bytes are buffered. */
  get isEmpty(): boolean {
    return this.#at === this.#piece.length;
  }

  /**
   * Reads the next byte; `undefined` at the end of the peer's data.
   *
   * @throws {Disconnected} if the connection is lost
   */
  async byte(): Promise<number | undefined> {
    if (this.#at === this.#piece.length && !await this.#more()) return undefined;
    return this.#piece[this.#at++];
  }

  /**
   * Reads exactly `length` bytes. They are valid until the next call: bytes that arrive in several pieces are
   * joined in a buffer that is reused.
   *
   * @throws {Disconnected} if the connection ends before
   */
  async take(length: number): Promise<Uint8Array> {
    if (this.#piece.length - this.#at >= length) {
      return this.#piece.subarray(this.#at, this.#at += length);
    }
    for (let filled = 0; filled < length;) {
      if (this.#at === this.#piece.length && !await this.#more()) {
        throw new Disconnected("The connection ended inside a message");
      }
      const part = this.#piece.subarray(this.#at, this.#at + length - filled);
      this.#reserve(filled, filled + part.length, length);
      this.#buffer.set(part, filled);
      this.#at += part.length;
      filled += part.length;
    }
    return this.#buffer.subarray(0, length);
  }

  /** Grows the buffer for bytes that have arrived: a peer must not cause an allocation by announcing a length. */
  #reserve(filled: number, needed: number, announced: number): void {
    if (this.#buffer.length >= needed) return;
    const larger = new Uint8Array(Math.min(announced, Math.max(2 * needed, INITIAL_BYTES)));
    larger.set(this.#buffer.subarray(0, filled));
    this.#buffer = larger;
  }

  async #more(): Promise<boolean> {
    const piece = await this.#stream.read();
    if (piece === null) return false;
    this.#piece = piece;
    this.#at = 0;
    this.received += piece.length;
    this.receivedAt = performance.now();
    return true;
  }
}

/** Options of {@linkcode FrameChannel.read}. */
export interface ReadOptions {
  /** Longest wait, in milliseconds. @default {none} */
  timeoutMs?: number | undefined;
}

/** Time limit for a small message, in milliseconds. */
const ANSWER_MS = 30_000;

/** Options of {@linkcode FrameChannel.limit}. */
export interface ChannelLimitOptions {
  /** Time limit, in milliseconds. @default {30000} */
  ms?: number | undefined;
}

/**
 * How late a timer may fire, in milliseconds. After a longer block of the event loop or a suspension of the machine,
 * bytes that have arrived are read first.
 */
const LATE_MS = 500;

/** Largest batch of small messages, in bytes: each write is encrypted and acknowledged separately. */
const MAX_BATCH_BYTES = 64 * 1024;

/** Lowest value of a varint byte that is not the last. */
const MORE_BYTES = 0x80;

/** Messages that are written together. */
interface Batch {
  frames: Uint8Array[];
  bytes: number;
  written: Promise<void>;
}

/** Reads and writes messages on one byte stream. */
export class FrameChannel {
  readonly #stream: ByteStream;
  readonly #reader: ByteStreamReader;
  /** Length of the message that is being received. */
  readonly #prefix = new Uint8Array(MAX_LENGTH_BYTES);
  #writes: Promise<void> = Promise.resolve();
  /** Small messages that wait for the writes before them. */
  #batch: Batch | undefined;
  /** Reused to encode one chunk at a time. */
  #chunkBuffer: Uint8Array | undefined;

  constructor(stream: ByteStream) {
    this.#stream = stream;
    this.#reader = new ByteStreamReader(stream);
  }

  /** Bytes received, framing included, valid or not. */
  get received(): number {
    return this.#reader.received;
  }

  /**
   * Reads the next message, which must have one of these types. The data of a chunk is valid until the next read.
   * The channel is unusable after a timeout: abort it.
   *
   * @throws {Disconnected} if the connection is lost
   * @throws {PlasmError} `protocol`; `peer-timeout` if no message arrives in time
   */
  async read<T extends MessageType>(
    types: readonly T[],
    { timeoutMs }: ReadOptions = {},
  ): Promise<MessageOf<T>> {
    const next = this.#next(types);
    if (timeoutMs === undefined) return await next;
    return await deadline(next, {
      ms: timeoutMs,
      error: () => {
        const text = `No ${types.join(" or ")} received within ${timeoutMs} ms`;
        return new PlasmError("peer-timeout", text);
      },
    });
  }

  /**
   * Waits for an operation on this channel, and aborts the channel if it exceeds the time limit.
   *
   * @throws {Disconnected} if the operation exceeds the limit; its own error
   */
  async limit<T>(
    operation: Promise<T>,
    { ms = ANSWER_MS }: ChannelLimitOptions = {},
  ): Promise<T> {
    return await deadline(operation, {
      ms,
      error: () => {
        const reason = new Disconnected(`No progress for ${ms} ms`);
        this.abort(reason);
        return reason;
      },
    });
  }

  /**
   * Waits for an operation on this channel as long as bytes are received: a long message on a slow link is progress.
   *
   * @throws {Silent} if nothing is received for some time; the operation's own error
   */
  async unlessSilent<T>(operation: Promise<T>, { ms }: { ms: number }): Promise<T> {
    let due = performance.now() + ms;
    for (;;) {
      let silent: Silent | undefined;
      try {
        return await deadline(operation, {
          ms: due - performance.now(),
          error: () => silent = new Silent(`Nothing was received for ${ms / 1000} s`),
        });
      } catch (error) {
        const now = performance.now();
        const next = now - due > LATE_MS ? now + LATE_MS : this.#reader.receivedAt + ms;
        if (error !== silent || next <= due) throw error;
        due = next;
      }
    }
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
    const expectsChunk = (types as readonly string[]).includes("chunk");
    const message = checkMessage(expectsChunk ? decodeChunk(frame) : decodeMessage(frame));
    if (!(types as readonly string[]).includes(message.type)) {
      throw new PlasmError(
        "protocol",
        `Cannot accept message: received ${message.type}, expected ${types.join(" or ")}`,
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
    for (let at = 0; at < MAX_LENGTH_BYTES; at++) {
      const byte = await this.#reader.byte();
      if (byte === undefined) {
        throw new Disconnected(
          at === 0 ? "The peer closed the stream" : "The connection ended inside a message",
        );
      }
      this.#prefix[at] = byte;
      if (byte >= MORE_BYTES) continue;
      const length = decode(this.#prefix);
      // Only the shortest form is valid.
      if (length === 0 || encodingLength(length) !== at + 1) break;
      return length;
    }
    throw new PlasmError("protocol", "Cannot read message: its length is not a short varint");
  }

  /**
   * Queues a message and resolves when more can be written. The data of a chunk must not change until then.
   *
   * @throws {Disconnected} if the connection is lost
   */
  async write(message: Message): Promise<void> {
    await (message.type === "chunk" ? this.#writeChunk(message) : this.#join(encodeFrame(message)));
  }

  /** Encodes a chunk once the writes before it are done, because all chunks share one buffer. */
  #writeChunk(chunk: MessageOf<"chunk">): Promise<void> {
    this.#batch = undefined;
    return this.#enqueue(() => {
      this.#chunkBuffer ??= new Uint8Array(MAX_LENGTH_BYTES + MAX_BYTES.chunk);
      return encodeFrameInto(chunk, this.#chunkBuffer);
    });
  }

  /** Adds a small frame to the batch that waits, or starts a new one. */
  #join(frame: Uint8Array): Promise<void> {
    const waiting = this.#batch;
    if (waiting !== undefined && waiting.bytes + frame.length <= MAX_BATCH_BYTES) {
      waiting.frames.push(frame);
      waiting.bytes += frame.length;
      return waiting.written;
    }
    const frames = [frame];
    const written = this.#enqueue(() => {
      if (this.#batch === batch) this.#batch = undefined;
      return frames.length === 1 ? frame : concat(frames);
    });
    const batch: Batch = this.#batch = { frames, bytes: frame.length, written };
    return written;
  }

  /** Writes bytes after the writes before them. */
  #enqueue(bytes: () => Uint8Array): Promise<void> {
    const written = this.#writes.then(() => this.#stream.write(bytes()));
    this.#writes = written.catch(() => {}); // reported by `written`
    return written;
  }

  /** Returns the stream to its pool if nothing is buffered, see {@linkcode ByteStream.release}. */
  release(ms: number): boolean {
    return this.#reader.isEmpty && (this.#stream.release?.(ms) ?? false);
  }

  /** Closes the write side after all queued messages. */
  async close(): Promise<void> {
    await this.#writes;
    await this.#stream.close();
  }

  /** Resets the stream. */
  abort(reason: Error): void {
    this.#stream.abort(reason);
  }

  /** Closes the read side. */
  endRead(): void {
    this.#stream.endRead();
  }
}

/**
 * CRC-32 of a chunk's data (ISO 3309, as in gzip). Detects damage in the machines of both sides early; Noise and
 * the content's SHA-256 protect against forgery.
 */
export function checksumOf(data: Uint8Array): number {
  return crc32(data);
}

/** Header of a map with five fields, and the first key. */
const HEAD: Uint8Array = Uint8Array.from([0xa5, ...encodeMessage("data")]);
/** Header of a map with the four other fields. */
const REST_MAP = 0xa4;

/** Characters of "sha256:" and 64 hex digits. */
const HASH_CHARACTERS = 71;
/** Bytes between the data and the hash: the key, and the header of a text of this length. */
const BEFORE_HASH: Uint8Array = Uint8Array.from([
  ...encodeMessage("hash"),
  ...encodeMessage("-".repeat(HASH_CHARACTERS)).subarray(0, -HASH_CHARACTERS),
]);
const BEFORE_OFFSET: Uint8Array = Uint8Array.from(
  ["type", "chunk", "offset"].flatMap((text) => [...encodeMessage(text)]),
);
const BEFORE_CHECKSUM: Uint8Array = encodeMessage("checksum");

/**
 * Decodes a message that may be a chunk. The `data` of a chunk is a view of the input, not a copy.
 *
 * @throws {PlasmError} `protocol` if the bytes are not canonical CBOR
 */
export function decodeChunk(bytes: Uint8Array): unknown {
  const range = dataRange(bytes);
  if (range === undefined) return decodeMessage(bytes);
  const { start, end } = range;
  const data = bytes.subarray(start, end);
  const others = decodeUsualRest(bytes, end);
  if (others !== undefined) return { ...others, data };
  const rest = new Uint8Array(1 + bytes.length - end);
  rest[0] = REST_MAP;
  rest.set(bytes.subarray(end), 1);
  // A second `data` would leave one of the four fields missing, which the field checks report.
  return { ...decodeMessage(rest) as Record<string, unknown>, data };
}

/** Position of a chunk's data; `undefined` if this is not a chunk with long data in canonical form. */
function dataRange(bytes: Uint8Array): { start: number; end: number } | undefined {
  if (!isAt(HEAD, bytes, 0)) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const at = HEAD.length;
  // Lengths of two or four bytes; shorter data is not worth it.
  const width = { 0x59: 2, 0x5a: 4 }[bytes[at] ?? 0];
  if (width === undefined || bytes.length < at + 1 + width) return undefined;
  const size = width === 2 ? view.getUint16(at + 1) : view.getUint32(at + 1);
  const start = at + 1 + width;
  const isShortest = size > (width === 2 ? 0xff : 0xffff);
  return isShortest && start + size < bytes.length ? { start, end: start + size } : undefined;
}

/**
 * Decodes the other fields if they have their usual form; otherwise returns `undefined`. The general decoder would
 * take as long for them as encrypting a sixth of the data.
 */
function decodeUsualRest(bytes: Uint8Array, start: number): Record<string, unknown> | undefined {
  const hashAt = start + BEFORE_HASH.length;
  const typeAt = hashAt + HASH_CHARACTERS;
  if (!isAt(BEFORE_HASH, bytes, start) || !isAt(BEFORE_OFFSET, bytes, typeAt)) return undefined;
  const characters = bytes.subarray(hashAt, typeAt);
  if (!characters.every((byte) => byte < 0x80)) return undefined;
  const offset = uintAt(bytes, typeAt + BEFORE_OFFSET.length);
  if (offset === undefined || !isAt(BEFORE_CHECKSUM, bytes, offset.end)) return undefined;
  const checksum = uintAt(bytes, offset.end + BEFORE_CHECKSUM.length);
  if (checksum?.end !== bytes.length) return undefined;
  return {
    hash: String.fromCharCode(...characters),
    type: "chunk",
    offset: offset.value,
    checksum: checksum.value,
  };
}

function isAt(expected: Uint8Array, bytes: Uint8Array, at: number): boolean {
  for (let n = 0; n < expected.length; n++) if (bytes[at + n] !== expected[n]) return false;
  return true;
}

/** Decodes a CBOR unsigned integer of up to 32 bits in its shortest form; `end` is the position after it. */
function uintAt(bytes: Uint8Array, at: number): { value: number; end: number } | undefined {
  const head = bytes[at] ?? 0xff;
  if (head < 24) return { value: head, end: at + 1 };
  const width = { 0x18: 1, 0x19: 2, 0x1a: 4 }[head];
  if (width === undefined || at + 1 + width > bytes.length) return undefined;
  let value = 0;
  for (let n = 1; n <= width; n++) value = value * 256 + bytes[at + n]!;
  const least = { 1: 24, 2: 2 ** 8, 4: 2 ** 16 }[width]!;
  return value < least ? undefined : { value, end: at + 1 + width };
}
