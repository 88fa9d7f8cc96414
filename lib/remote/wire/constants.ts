/**
 * Names, sizes and times of the job protocol.
 * @module
 */

/** The protocol's name. */
export const JOB_PROTOCOL = "/plasm/job/1.0.0";

/** Version inside the messages that open a conversation. */
export const JOB_VERSION = "1.0";

/**
 * Content of one chunk, in bytes: what is sent again at most when a connection is cut. Larger chunks
 * lose more, smaller ones cost more frames. With what is around it a chunk fills two of Noise's messages,
 * and two chunks Yamux's first window: a KiB more would leave a third message, and a third frame, nearly empty.
 */
export const CHUNK_BYTES: number = 127 * 1024;

/** Output in one event, in bytes: the store's own pieces are about as large. */
export const EVENT_DATA_BYTES: number = 64 * 1024;

/** Inputs of one job, standard input included; as many as a manifest can name. */
export const MAX_INPUTS = 1025;

/** Standard input up to here goes along with the offer, in bytes: it spares a message, and most jobs have less. */
export const OFFERED_STDIN_BYTES: number = 16 * 1024;

/** How long an offer is good for, in milliseconds. */
export const OFFER_VALID_MS: number = 60_000;

/** How far the clocks of two honest sides may be apart, in milliseconds; as for receipts. */
export const CLOCK_SKEW_MS: number = 5 * 60_000;

/** How often a node says that it is there while nothing happens, in milliseconds. */
export const ALIVE_MS = 10_000;

/**
 * How long a node waits for another offer after a job has ended, in milliseconds: a client with many small jobs
 * makes the next at once, and to open a stream takes both sides longer than to run one.
 */
export const STREAM_REUSE_MS = 10_000;

/** Silence after which a client takes a connection for dead, in milliseconds: three lost signs. */
export const SILENCE_MS: number = 3 * ALIVE_MS + 2_000;
