/**
 * Passes bytes between two threads by ring buffers in shared memory; an output ring carries stdout, stderr and the
 * archive of output files in the order of the writes.
 *
 * A ring has one writer and one reader. Each end can block or await, which provides a guest that runs synchronously
 * with its standard streams. Awaiting a ring does not keep Deno's event loop alive (`Atomics.waitAsync` is not an op);
 * the child process has an open connection that does.
 *
 * @module
 */
import { FRAME_HEADER_BYTES, putFrameHeader } from "../../util/mod.ts";
import { FrameKind } from "../bootstrap/mod.ts";

// Indices into the control words. Positions count bytes modulo 2^32; their difference is the fill.
const HEAD = 0;
const TAIL = 1;
const CLOSED = 2;
// Incremented with each write and close. The reader waits on this word: a close does not change HEAD.
const SIGNAL = 3;
const CONTROL_WORDS = 4;

/**
 * Alignment of records, in bytes. V8 copies to and from shared memory word by word if source and target have the
 * same offset within a word, otherwise byte by byte at a tenth of the speed.
 */
export const RECORD_ALIGNMENT = 8;

/** Size of a record's word, in bytes. */
const WORD_BYTES = 4;

/** Shared buffers of a ring, as they are posted to the other thread. */
export interface RingBuffers {
  /** Control words. */
  control: SharedArrayBuffer;
  /** Content. */
  data: SharedArrayBuffer;
}

/**
 * Allocates the shared memory of a ring.
 *
 * @param capacity Size in bytes; a power of two, because positions wrap at 2^32
 */
export function createRing(capacity: number): RingBuffers {
  if (capacity < 1 || capacity > 2 ** 30 || (capacity & (capacity - 1)) !== 0) {
    throw new RangeError(`Cannot create ring: capacity must be a power of two, got ${capacity}`);
  }
  return {
    control: new SharedArrayBuffer(CONTROL_WORDS * Int32Array.BYTES_PER_ELEMENT),
    data: new SharedArrayBuffer(capacity),
  };
}

/** What both ends have in common. */
class RingEnd {
  protected readonly control: Int32Array;
  protected readonly data: Uint8Array;

  constructor(buffers: RingBuffers) {
    this.control = new Int32Array(buffers.control);
    this.data = new Uint8Array(buffers.data);
  }

  /** Number of unread bytes. */
  get fill(): number {
    return (Atomics.load(this.control, HEAD) - Atomics.load(this.control, TAIL)) >>> 0;
  }

  /** Whether the writer has closed the ring. */
  get closed(): boolean {
    return Atomics.load(this.control, CLOSED) === 1;
  }

  /** Discards unread bytes and wakes a writer that waits for space. */
  discard(): void {
    Atomics.store(this.control, TAIL, Atomics.load(this.control, HEAD));
    Atomics.notify(this.control, TAIL);
  }

  /** Empties and reopens the ring. Neither end may be in use. */
  reset(): void {
    this.control.fill(0);
  }
}

/** Padding after `length` bytes up to the next aligned position, in bytes. */
export function paddingOf(length: number): number {
  return -length & (RECORD_ALIGNMENT - 1);
}

/** Size up to which a loop is faster than `subarray()` and `set()`, in bytes. */
const LOOP_BYTES = 64;

/** Writer's end. */
export class RingWriter extends RingEnd {
  /**
   * Writes a word and, at an offset of {@linkcode RECORD_ALIGNMENT}, bytes and their padding.
   *
   * @param word Unsigned 32-bit integer, stored as little-endian bytes
   * @returns `false` if the ring has no space for all of it
   */
  writeRecord(word: number, bytes: Uint8Array): boolean {
    const { data } = this;
    const head = Atomics.load(this.control, HEAD);
    const tail = Atomics.load(this.control, TAIL);
    const { length } = bytes;
    const size = RECORD_ALIGNMENT + length + paddingOf(length);
    if (data.length - ((head - tail) >>> 0) < size) return false;
    const mask = data.length - 1;
    for (let i = 0; i < WORD_BYTES; i++) data[(head + i) & mask] = word >>> 8 * i;
    const at = (head + RECORD_ALIGNMENT) & mask;
    if (length <= LOOP_BYTES) {
      for (let i = 0; i < length; i++) data[(at + i) & mask] = bytes[i]!;
    } else this.#put(at, bytes);
    Atomics.store(this.control, HEAD, head + size);
    this.#signal();
    return true;
  }

  /** Writes as many bytes as fit; returns their number. */
  writeSome(bytes: Uint8Array): number {
    const head = Atomics.load(this.control, HEAD);
    const tail = Atomics.load(this.control, TAIL);
    const capacity = this.data.length;
    const count = Math.min(bytes.length, capacity - ((head - tail) >>> 0));
    if (count === 0) return 0;
    this.#put(head & (capacity - 1), count === bytes.length ? bytes : bytes.subarray(0, count));
    Atomics.store(this.control, HEAD, head + count);
    this.#signal();
    return count;
  }

  /** Blocks the thread until `count` bytes fit, which must not exceed the capacity. */
  waitForRoom(count: number): void {
    while (true) {
      const tail = Atomics.load(this.control, TAIL);
      if (this.data.length - this.fill >= count) return;
      Atomics.wait(this.control, TAIL, tail);
    }
  }

  /** Writes all bytes; blocks the thread while the ring is full. */
  writeSync(bytes: Uint8Array): void {
    let rest = bytes;
    while (rest.length > 0) {
      const tail = Atomics.load(this.control, TAIL);
      const count = this.writeSome(rest);
      if (count === 0) Atomics.wait(this.control, TAIL, tail);
      else rest = rest.subarray(count);
    }
  }

  /** Writes all bytes; waits while the ring is full. */
  async write(bytes: Uint8Array): Promise<void> {
    let rest = bytes;
    while (rest.length > 0) {
      const tail = Atomics.load(this.control, TAIL);
      const count = this.writeSome(rest);
      if (count > 0) {
        rest = rest.subarray(count);
        continue;
      }
      const waiting = Atomics.waitAsync(this.control, TAIL, tail);
      if (waiting.async) await waiting.value;
    }
  }

  /**
   * Waits for space and returns a view of it, for example to read from a socket into the ring.
   *
   * @param held Number of bytes that {@linkcode RingWriter.commit} has held back; the view starts after them
   */
  async reserve(held = 0): Promise<Uint8Array> {
    const { data } = this;
    while (true) {
      const head = Atomics.load(this.control, HEAD);
      const tail = Atomics.load(this.control, TAIL);
      const at = head & (data.length - 1);
      const count = Math.min(data.length - at, data.length - ((head - tail) >>> 0));
      if (count > held) return data.subarray(at + held, at + count);
      const waiting = Atomics.waitAsync(this.control, TAIL, tail);
      if (waiting.async) await waiting.value;
    }
  }

  /**
   * Publishes bytes written to the view of {@linkcode RingWriter.reserve}.
   *
   * @param count Number of bytes, including those held back before
   * @param holdsBack Whether to hold back bytes past the last aligned position until more follow, so that a
   * reader is not woken for a few bytes
   * @returns Number of bytes held back
   */
  commit(count: number, holdsBack = false): number {
    const head = Atomics.load(this.control, HEAD);
    const held = holdsBack ? Math.min(count, (head + count) & (RECORD_ALIGNMENT - 1)) : 0;
    if (count === held) return held;
    Atomics.store(this.control, HEAD, head + count - held);
    this.#signal();
    return held;
  }

  /** Marks the end of the stream. */
  close(): void {
    Atomics.store(this.control, CLOSED, 1);
    this.#signal();
  }

  /** Copies bytes to an index and wraps around at the end. */
  #put(at: number, bytes: Uint8Array): void {
    const first = this.data.length - at;
    if (bytes.length <= first) this.data.set(bytes, at);
    else {
      this.data.set(bytes.subarray(0, first), at);
      this.data.set(bytes.subarray(first), 0);
    }
  }

  #signal(): void {
    Atomics.add(this.control, SIGNAL, 1);
    Atomics.notify(this.control, SIGNAL);
  }
}

/** Reader's end. */
export class RingReader extends RingEnd {
  /**
   * Reads available bytes into a buffer, a few less than fit if that aligns the next read.
   *
   * @returns Number of bytes read; 0 if the ring is empty
   */
  readSome(into: Uint8Array): number {
    const head = Atomics.load(this.control, HEAD);
    const tail = Atomics.load(this.control, TAIL);
    let count = Math.min(into.length, (head - tail) >>> 0);
    if (count === 0) return 0;
    if (count > LOOP_BYTES) count -= (tail + count) & (RECORD_ALIGNMENT - 1);
    this.peek(0, into, 0, count);
    this.advance(count);
    return count;
  }

  /** Returns the word of {@linkcode RingWriter.writeRecord} at an offset from the next unread byte. */
  peekWord(offset: number): number {
    const { data } = this;
    const mask = data.length - 1;
    const at = Atomics.load(this.control, TAIL) + offset;
    let word = 0;
    for (let i = 0; i < WORD_BYTES; i++) word |= data[(at + i) & mask]! << 8 * i;
    return word >>> 0;
  }

  /** Copies `length` available bytes, at an offset from the next unread byte, to `into[start]`. */
  peek(offset: number, into: Uint8Array, start: number, length: number): void {
    const { data } = this;
    const mask = data.length - 1;
    const at = (Atomics.load(this.control, TAIL) + offset) & mask;
    const first = Math.min(length, data.length - at);
    if (length <= LOOP_BYTES) {
      for (let i = 0; i < length; i++) into[start + i] = data[(at + i) & mask]!;
    } else {
      into.set(data.subarray(at, at + first), start);
      if (first < length) into.set(data.subarray(0, length - first), start + first);
    }
  }

  /** Consumes bytes and wakes a writer that waits for space. */
  advance(count: number): void {
    Atomics.store(this.control, TAIL, Atomics.load(this.control, TAIL) + count);
    Atomics.notify(this.control, TAIL);
  }

  /**
   * Blocks the thread until bytes are available, the ring is closed or the timeout expires.
   *
   * @param timeoutMs Timeout in milliseconds; may be Infinity
   * @returns Whether bytes are available or the ring is closed
   */
  waitSync(timeoutMs: number): boolean {
    const until = performance.now() + timeoutMs;
    while (true) {
      const signal = Atomics.load(this.control, SIGNAL);
      if (this.fill > 0 || this.closed) return true;
      const left = until - performance.now();
      if (left <= 0) return false;
      Atomics.wait(this.control, SIGNAL, signal, left);
    }
  }

  /** Waits for bytes; resolves to `false` if the ring is closed and empty. */
  async wait(): Promise<boolean> {
    while (true) {
      const signal = Atomics.load(this.control, SIGNAL);
      if (this.fill > 0) return true;
      if (this.closed) return false;
      const waiting = Atomics.waitAsync(this.control, SIGNAL, signal);
      if (waiting.async) await waiting.value;
    }
  }
}

/**
 * Kind of the frame for each stream, by the two top bits of a record's word. The other bits are the number of bytes that
 * follow. Word and bytes are both padded to {@linkcode RECORD_ALIGNMENT}.
 */
const STREAM_KINDS: readonly number[] = [FrameKind.Stdout, FrameKind.Stderr, FrameKind.Files];

const STREAM_SHIFT = 30;
const STDERR_BITS = 1 << STREAM_SHIFT;
const FILES_BITS = 2 << STREAM_SHIFT;

/** Maximum size of a record, in bytes. */
const MAX_RECORD_BYTES = 2 ** STREAM_SHIFT - 1;

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
    const bits = stream === "stderr" ? STDERR_BITS : 0;
    if (allowed.length <= MAX_RECORD_BYTES) this.#write(bits, allowed);
    else {
      for (let at = 0; at < allowed.length; at += MAX_RECORD_BYTES) {
        this.#write(bits, allowed.subarray(at, at + MAX_RECORD_BYTES));
      }
    }
    if (allowed.length < data.length) this.onLimit();
  }

  /** Announces the archive of output files: the guest has ended. */
  beginFiles(): void {
    this.#ring.waitForRoom(RECORD_ALIGNMENT);
    this.#ring.writeRecord(FILES_BITS, EMPTY);
  }

  /** Writes a part of the archive; blocks the thread while the ring is full. */
  writeFiles(data: Uint8Array): void {
    this.#write(FILES_BITS, data);
  }

  #write(bits: number, data: Uint8Array): void {
    if (data.length === 0) return;
    const word = bits | data.length;
    if (this.#ring.writeRecord(word, data)) return;
    this.#ring.waitForRoom(RECORD_ALIGNMENT);
    this.#ring.writeRecord(word, EMPTY);
    this.#ring.writeSync(data);
    this.#ring.writeSync(PADDING.subarray(0, paddingOf(data.length)));
  }

  /** Marks the end of the output. */
  close(): void {
    this.#ring.close();
  }
}

function isEmpty(word: number): boolean {
  return (word & MAX_RECORD_BYTES) === 0;
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
        const word = this.#ring.peekWord(consumed);
        // An empty record becomes an empty frame.
        if (isEmpty(word) && frameKind !== undefined) break;
        this.#startRecord(word);
        consumed += RECORD_ALIGNMENT;
        if (isEmpty(word)) {
          frameKind = this.#kind;
          break;
        }
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
    // The guest may control the worker: an unknown stream counts as standard output.
    this.#kind = STREAM_KINDS[word >>> STREAM_SHIFT] ?? FrameKind.Stdout;
    this.#remainingBytes = word & MAX_RECORD_BYTES;
    this.#paddingBytes = paddingOf(this.#remainingBytes);
  }
}
