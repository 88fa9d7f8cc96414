/**
 * Carries a guest's stdout and stderr over one ring, in the order of the writes.
 *
 * Each record is a little-endian u32, its top bit the stream and the rest the length, followed by that many
 * bytes. Both are padded to the ring's record alignment.
 *
 * @module
 */
import { FRAME_HEADER_BYTES, FrameKind } from "./protocol.ts";
import { putFrameHeader } from "../../util/mod.ts";
import { paddingOf, RECORD_ALIGNMENT, type RingBuffers, RingReader, RingWriter } from "./ring.ts";

const STDERR_BIT = 0x8000_0000;

/** Capacity of the output ring, in bytes: enough for guest and connection to work in parallel. */
export const OUTPUT_RING_BYTES = 512 * 1024;

/** Offset of a frame in the buffer passed to {@linkcode OutputRingReader.readFrame}, so that its payload is aligned. */
export const FRAME_OFFSET: number = RECORD_ALIGNMENT - FRAME_HEADER_BYTES;

const EMPTY = new Uint8Array(0);

const PADDING = new Uint8Array(RECORD_ALIGNMENT);

/** Guest's end: blocks while the ring is full and enforces the output limit. */
export class OutputRingWriter {
  readonly #ring: RingWriter;
  /** Called when a write exceeds the limit, after the part within the limit is written. */
  onLimit: () => void = () => {};
  #remainingBytes: number;

  /** Attaches to a ring; `limitBytes` counts both streams together. */
  constructor(buffers: RingBuffers, limitBytes: number) {
    this.#ring = new RingWriter(buffers);
    this.#remainingBytes = limitBytes;
  }

  /** Writes bytes up to the limit; blocks the thread while the ring is full. */
  write(stream: "stdout" | "stderr", data: Uint8Array): void {
    const allowed = data.length <= this.#remainingBytes
      ? data
      : data.subarray(0, this.#remainingBytes);
    this.#remainingBytes -= allowed.length;
    if (allowed.length > 0) {
      const word = (stream === "stderr" ? STDERR_BIT : 0) | allowed.length;
      if (!this.#ring.writeRecord(word, allowed)) {
        this.#ring.waitForRoom(RECORD_ALIGNMENT);
        this.#ring.writeRecord(word, EMPTY);
        this.#ring.writeSync(allowed);
        this.#ring.writeSync(PADDING.subarray(0, paddingOf(allowed.length)));
      }
    }
    if (allowed.length < data.length) this.onLimit();
  }

  /** Marks the end of the output. */
  close(): void {
    this.#ring.close();
  }
}

/** Main thread's end: converts records to frames and coalesces consecutive records of a stream. */
export class OutputRingReader {
  readonly #ring: RingReader;
  #kind: number = FrameKind.Stdout;
  /** Unread bytes of the current record. */
  #remainingBytes = 0;
  /** Unread padding after the current record. */
  #paddingBytes = 0;

  /** Attaches to a ring. */
  constructor(buffers: RingBuffers) {
    this.#ring = new RingReader(buffers);
  }

  /** Waits for output; resolves to `false` at its end. */
  wait(): Promise<boolean> {
    return this.#ring.wait();
  }

  /** Discards unread bytes, including a partially read record, and reopens the ring for the next job. */
  reset(): void {
    this.#ring.reset();
    this.#remainingBytes = this.#paddingBytes = 0;
  }

  /**
   * Reads available output into one frame, header included.
   *
   * @param into Buffer for the frame, which starts at {@linkcode FRAME_OFFSET}
   * @returns End of the frame, or 0 if no output is available
   */
  readFrame(into: Uint8Array): number {
    let fill = RECORD_ALIGNMENT;
    let frameKind: number | undefined;
    const available = this.#ring.fill;
    let consumed = 0;
    while (fill < into.length) {
      if (this.#remainingBytes === 0) {
        const padding = Math.min(this.#paddingBytes, available - consumed);
        consumed += padding;
        this.#paddingBytes -= padding;
        // The writer publishes a record's word as a whole.
        if (consumed === available) break;
        this.#startRecord(this.#ring.peekWord(consumed));
        consumed += RECORD_ALIGNMENT;
      }
      if (frameKind !== undefined && frameKind !== this.#kind) break;
      const count = Math.min(this.#remainingBytes, available - consumed, into.length - fill);
      if (count === 0) break;
      this.#ring.peek(consumed, into, fill, count);
      frameKind = this.#kind;
      consumed += count;
      fill += count;
      this.#remainingBytes -= count;
    }
    if (consumed > 0) this.#ring.advance(consumed);
    if (frameKind === undefined) return 0;
    putFrameHeader(into.subarray(FRAME_OFFSET), frameKind, fill - RECORD_ALIGNMENT);
    return fill;
  }

  #startRecord(word: number): void {
    this.#kind = word >= STDERR_BIT ? FrameKind.Stderr : FrameKind.Stdout;
    this.#remainingBytes = word & ~STDERR_BIT;
    this.#paddingBytes = paddingOf(this.#remainingBytes);
  }
}
