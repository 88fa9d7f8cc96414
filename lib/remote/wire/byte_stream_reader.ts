/**
 * Bytes of a {@linkcode ByteStream}, in the lengths that a reader asks for.
 * @module
 */
import { type ByteStream, Disconnected } from "./byte_stream.ts";

/** What is made ready at first for bytes that are only announced; the rest follows as they come. */
const FIRST_BYTES = 16 * 1024;

/** Reads a stream. One read at a time. */
export class ByteStreamReader {
  readonly #stream: ByteStream;
  #piece: Uint8Array = new Uint8Array();
  #at = 0;
  #buffer: Uint8Array = new Uint8Array();
  /** Bytes received so far, whether or not they were asked for. */
  received = 0;

  constructor(stream: ByteStream) {
    this.#stream = stream;
  }

  /** Whether all that was received has been asked for. */
  get isEmpty(): boolean {
    return this.#at === this.#piece.length;
  }

  /**
   * The next byte; `undefined` when the other side has ended.
   *
   * @throws {Disconnected} when the connection is lost
   */
  async byte(): Promise<number | undefined> {
    if (this.#at === this.#piece.length && !await this.#more()) return undefined;
    return this.#piece[this.#at++];
  }

  /**
   * The next bytes. They are good until the next call: what comes in several pieces is joined in memory that
   * is used again and again.
   *
   * @throws {Disconnected} when the connection ends before
   */
  async take(length: number): Promise<Uint8Array> {
    if (this.#piece.length - this.#at >= length) {
      return this.#piece.subarray(this.#at, this.#at += length);
    }
    for (let have = 0; have < length;) {
      if (this.#at === this.#piece.length && !await this.#more()) {
        throw new Disconnected("The connection ended inside a message");
      }
      const part = this.#piece.subarray(this.#at, this.#at + length - have);
      this.#reserve(have, have + part.length, length);
      this.#buffer.set(part, have);
      this.#at += part.length;
      have += part.length;
    }
    return this.#buffer.subarray(0, length);
  }

  /** Makes room for bytes that have come, and for those announced as far as they are likely to come. */
  #reserve(have: number, needed: number, announced: number): void {
    if (this.#buffer.length >= needed) return;
    const larger = new Uint8Array(Math.min(announced, Math.max(2 * needed, FIRST_BYTES)));
    larger.set(this.#buffer.subarray(0, have));
    this.#buffer = larger;
  }

  async #more(): Promise<boolean> {
    const piece = await this.#stream.read();
    if (piece === null) return false;
    this.#piece = piece;
    this.#at = 0;
    this.received += piece.length;
    return true;
  }
}
