/**
 * Memory that a socket is read into: little for a connection that idles, more for one that is busy.
 * @module
 */

/** For a connection that idles; a ping needs less. */
const MIN_BYTES = 8 * 1024;
/**
 * For one that is busy: four of Noise's messages. What lies in one piece is decrypted at once, what is
 * spread over two has to be joined before.
 */
const MAX_BYTES = 256 * 1024;

/** Gives space to read into, and what was read as bytes that stay. */
export class ReadBuffer {
  /** Where the next bytes go. */
  space: Uint8Array<ArrayBuffer> = new Uint8Array(MIN_BYTES);

  /**
   * What was read is the caller's; there is new space after that.
   *
   * @param filled The beginning of the space, or of the memory that took its place
   */
  take(filled: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    const size = filled.buffer.byteLength;
    if (filled.length > size / 4) {
      const isFull = filled.length === size;
      this.space = new Uint8Array(isFull ? Math.min(2 * size, MAX_BYTES) : size);
      return filled;
    }
    // Little must not keep much alive.
    const bytes = filled.slice();
    const isIdle = size > MIN_BYTES && filled.length < size / 16;
    this.space = new Uint8Array(isIdle ? new ArrayBuffer(size / 2) : filled.buffer);
    return bytes;
  }
}
