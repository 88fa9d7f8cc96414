/**
 * A byte ring in shared memory between the two threads of an executor: one writes, one reads, each
 * may block or await. It is what lets a guest that runs synchronously have streams.
 *
 * An awaited ring does not keep Deno's event loop alive (`Atomics.waitAsync` is no op): who awaits one
 * needs something else that does, as the executor has in its open stdin.
 * @module
 */

// Indices into the control words. Positions count bytes modulo 2^32; their difference is the fill.
const HEAD = 0;
const TAIL = 1;
const CLOSED = 2;
// Grows with every write and close. The reader waits on it: a close leaves HEAD as it was, so a wait
// on HEAD could miss it.
const SIGNAL = 3;
const CONTROL_WORDS = 4;

/**
 * Positions of records are multiples of this. V8 copies to and from shared memory word by word where both
 * sides are as far from a word's beginning, else byte by byte, at a tenth of the speed.
 */
export const RECORD_ALIGNMENT = 8;

/** Bytes of a word in front of a record. */
const WORD_BYTES = 4;

/** The two shared buffers of a ring, as they are posted to the other thread. */
export interface RingBuffers {
  control: SharedArrayBuffer;
  data: SharedArrayBuffer;
}

/**
 * Makes the shared memory of a ring.
 *
 * @param capacity Bytes it holds; a power of two, so that positions may wrap at 2^32.
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

class RingEnd {
  protected readonly control: Int32Array;
  protected readonly data: Uint8Array;

  constructor(buffers: RingBuffers) {
    this.control = new Int32Array(buffers.control);
    this.data = new Uint8Array(buffers.data);
  }

  /** Bytes written and not yet read. */
  get fill(): number {
    return (Atomics.load(this.control, HEAD) - Atomics.load(this.control, TAIL)) >>> 0;
  }

  /** Whether the writer has closed the ring. */
  get closed(): boolean {
    return Atomics.load(this.control, CLOSED) === 1;
  }

  /** Drops what is unread; wakes a writer that waits for room. */
  discard(): void {
    Atomics.store(this.control, TAIL, Atomics.load(this.control, HEAD));
    Atomics.notify(this.control, TAIL);
  }

  /** Empties and reopens the ring; only while neither end is in use. */
  reset(): void {
    this.control.fill(0);
  }
}

/** Bytes between so many bytes and the next aligned position. */
export function paddingOf(length: number): number {
  return -length & (RECORD_ALIGNMENT - 1);
}

/** Up to so many bytes a loop is faster than making a view and calling set(). */
const LOOP_BYTES = 64;

/** The writing end. */
export class RingWriter extends RingEnd {
  /**
   * Writes a word and, {@linkcode RECORD_ALIGNMENT} bytes from it, bytes at once, if there is room for
   * both; returns whether there was. What follows is aligned again.
   *
   * @param word Unsigned, of 32 bits; it lies in the ring as little-endian bytes.
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

  /** Writes as much as fits now; returns how many bytes that was. */
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

  /** Blocks the thread until there is room for `count` bytes, which the ring must be able to hold. */
  waitForRoom(count: number): void {
    while (true) {
      const tail = Atomics.load(this.control, TAIL);
      if (this.data.length - this.fill >= count) return;
      Atomics.wait(this.control, TAIL, tail);
    }
  }

  /** Writes all of it, blocking the thread while the ring is full. */
  writeSync(bytes: Uint8Array): void {
    let rest = bytes;
    while (rest.length > 0) {
      const tail = Atomics.load(this.control, TAIL);
      const count = this.writeSome(rest);
      if (count === 0) Atomics.wait(this.control, TAIL, tail);
      else rest = rest.subarray(count);
    }
  }

  /** Writes all of it, awaiting the reader while the ring is full. */
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
   * Awaits room and gives it, as much as lies in one piece: for who puts bytes there by itself.
   *
   * @param held Bytes at its beginning that {@linkcode commit} has held back: it is given behind them.
   */
  async room(held = 0): Promise<Uint8Array> {
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
   * Writes so many bytes, which are in the room already.
   *
   * @param holdsBack Whether those past the last aligned position wait for what comes after them: a reader that
   * takes all the others at once would otherwise be given a few by themselves.
   * @returns How many wait.
   */
  commit(count: number, holdsBack = false): number {
    const head = Atomics.load(this.control, HEAD);
    const held = holdsBack ? Math.min(count, (head + count) & (RECORD_ALIGNMENT - 1)) : 0;
    if (count === held) return held;
    Atomics.store(this.control, HEAD, head + count - held);
    this.#signal();
    return held;
  }

  /** Says that nothing more will come. */
  close(): void {
    Atomics.store(this.control, CLOSED, 1);
    this.#signal();
  }

  /** Copies bytes to an index, and past the end to the beginning. */
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

/** The reading end. */
export class RingReader extends RingEnd {
  /**
   * Reads what is there now, up to the buffer's length, or a few bytes less, so that the next read is
   * aligned; 0 when the ring is empty.
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

  /** The word at an offset from the next unread byte; it must be there. See {@linkcode RingWriter.writeRecord}. */
  peekWord(offset: number): number {
    const { data } = this;
    const mask = data.length - 1;
    const at = Atomics.load(this.control, TAIL) + offset;
    let word = 0;
    for (let i = 0; i < WORD_BYTES; i++) word |= data[(at + i) & mask]! << 8 * i;
    return word >>> 0;
  }

  /**
   * Copies `length` bytes at an offset from the next unread one to `into[start]`, without reading them;
   * they must be there.
   */
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

  /** Reads so many bytes without taking them; wakes a writer that waits for room. */
  advance(count: number): void {
    Atomics.store(this.control, TAIL, Atomics.load(this.control, TAIL) + count);
    Atomics.notify(this.control, TAIL);
  }

  /**
   * Blocks the thread until there is something to read, the ring is closed or the time is over.
   *
   * @param ms How long to wait at most; Infinity is allowed.
   * @returns Whether a read would not block now.
   */
  waitSync(ms: number): boolean {
    const until = performance.now() + ms;
    while (true) {
      const signal = Atomics.load(this.control, SIGNAL);
      if (this.fill > 0 || this.closed) return true;
      const left = until - performance.now();
      if (left <= 0) return false;
      Atomics.wait(this.control, SIGNAL, signal, left);
    }
  }

  /** Awaits something to read or the close; false means closed and empty. */
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
