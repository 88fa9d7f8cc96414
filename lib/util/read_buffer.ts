/**
 * Read buffer of a socket that grows while the connection is busy and shrinks while it is idle.
 *
 * @module
 */

/** Size for an idle connection, in bytes. A ping needs less. */
const MIN_BYTES = 8 * 1024;
/**
 * Size for a busy connection, in bytes: four Noise messages. A message in one piece is decrypted in place; one
 * that spans two reads must be joined first.
 */
const MAX_BYTES = 256 * 1024;

/** Provides space to read into and returns the bytes read as stable arrays. */
export class ReadBuffer {
  /** Where the next bytes go. */
  space: Uint8Array<ArrayBuffer> = new Uint8Array(MIN_BYTES);

  /**
   * Passes the bytes read to the caller and replaces the space where necessary.
   *
   * @param filled The filled start of the space, or of the memory that replaced it.
   */
  take(filled: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    const size = filled.buffer.byteLength;
    if (filled.length > size / 4) {
      const isFull = filled.length === size;
      this.space = new Uint8Array(isFull ? Math.min(2 * size, MAX_BYTES) : size);
      return filled;
    }
    // A few bytes must not retain a large buffer.
    const bytes = filled.slice();
    const isIdle = size > MIN_BYTES && filled.length < size / 16;
    this.space = new Uint8Array(isIdle ? new ArrayBuffer(size / 2) : filled.buffer);
    return bytes;
  }
}
