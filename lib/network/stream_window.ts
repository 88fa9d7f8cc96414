/**
 * How much may be under way on one stream.
 * @module
 */

/**
 * What may come on a stream ahead of its reader, and so what one can make us hold: Yamux's own 16 MiB would be
 * 1 GiB for a connection of 64 streams. 2 MiB still carry 40 MB/s over a round trip of 50 ms; 1 MiB did 10
 * there where 2 and 16 did 15 alike.
 */
export const MAX_STREAM_WINDOW_BYTES: number = 2 * 2 ** 20;
