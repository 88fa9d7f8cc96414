/**
 * stdout and stderr of a guest over one ring, in the order in which they were written: each record
 * is a little-endian u32, its top bit the stream and the rest the length, and that many bytes, each of
 * the two padded as the ring has it.
 * @module
 */
import { paddingOf, RECORD_ALIGNMENT, type RingBuffers, RingReader, RingWriter } from "./ring.ts";
import { FRAME_HEADER_BYTES, FrameKind, putFrameHeader } from "./frames.ts";

const STDERR_BIT = 0x8000_0000;

/** Bytes of output that may wait in the ring: enough to overlap guest and pipe. */
export const OUTPUT_RING_BYTES = 512 * 1024;

/** Where a frame begins in the buffer that it is made in: its payload is aligned then, as in the ring. */
export const FRAME_AT: number = RECORD_ALIGNMENT - FRAME_HEADER_BYTES;

const NOTHING = new Uint8Array(0);

const PADDING = new Uint8Array(RECORD_ALIGNMENT);

/** The guest's end: blocks while the ring is full, takes no more than the limit. */
export class OutputRingWriter {
  readonly #ring: RingWriter;
  /** Called once all that fits the limit is written and more is to come. */
  onLimit: () => void = () => {};
  #left: number;

  constructor(buffers: RingBuffers, limitBytes: number) {
    this.#ring = new RingWriter(buffers);
    this.#left = limitBytes;
  }

  /** Takes all of it, as far as the limit allows. */
  write(stream: "stdout" | "stderr", data: Uint8Array): void {
    const fits = data.length <= this.#left ? data : data.subarray(0, this.#left);
    this.#left -= fits.length;
    if (fits.length > 0) {
      const word = (stream === "stderr" ? STDERR_BIT : 0) | fits.length;
      if (!this.#ring.writeRecord(word, fits)) {
        this.#ring.waitForRoom(RECORD_ALIGNMENT);
        this.#ring.writeRecord(word, NOTHING);
        this.#ring.writeSync(fits);
        this.#ring.writeSync(PADDING.subarray(0, paddingOf(fits.length)));
      }
    }
    if (fits.length < data.length) this.onLimit();
  }

  /** Says that the guest is done. */
  close(): void {
    this.#ring.close();
  }
}

/** The executor's end: turns records into frames, several small ones of a stream into one. */
export class OutputRingReader {
  readonly #ring: RingReader;
  #kind: number = FrameKind.Stdout;
  #left = 0;
  /** Bytes behind the record that mean nothing. */
  #padding = 0;

  constructor(buffers: RingBuffers) {
    this.#ring = new RingReader(buffers);
  }

  /** Awaits output; false at the end. */
  wait(): Promise<boolean> {
    return this.#ring.wait();
  }

  /** Forgets what is unread, also of a record half read, and reopens the ring for the next job. */
  reset(): void {
    this.#ring.reset();
    this.#left = this.#padding = 0;
  }

  /**
   * Reads what is there into one frame, header included.
   *
   * @param into Room for the frame, which begins at {@linkcode FRAME_AT}.
   * @returns The frame's end, 0 when nothing is there.
   */
  readFrame(into: Uint8Array): number {
    let fill = RECORD_ALIGNMENT;
    let frameKind: number | undefined;
    const there = this.#ring.fill;
    let taken = 0;
    while (fill < into.length) {
      if (this.#left === 0) {
        const padding = Math.min(this.#padding, there - taken);
        taken += padding;
        this.#padding -= padding;
        // A header is written whole.
        if (taken === there) break;
        this.#startRecord(this.#ring.peekWord(taken));
        taken += RECORD_ALIGNMENT;
      }
      if (frameKind !== undefined && frameKind !== this.#kind) break;
      const count = Math.min(this.#left, there - taken, into.length - fill);
      if (count === 0) break;
      this.#ring.peek(taken, into, fill, count);
      frameKind = this.#kind;
      taken += count;
      fill += count;
      this.#left -= count;
    }
    if (taken > 0) this.#ring.advance(taken);
    if (frameKind === undefined) return 0;
    putFrameHeader(into.subarray(FRAME_AT), frameKind, fill - RECORD_ALIGNMENT);
    return fill;
  }

  #startRecord(word: number): void {
    this.#kind = word >= STDERR_BIT ? FrameKind.Stderr : FrameKind.Stdout;
    this.#left = word & ~STDERR_BIT;
    this.#padding = paddingOf(this.#left);
  }
}
