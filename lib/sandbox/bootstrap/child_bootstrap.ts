/**
 * Starts a child process: announces it and begins to read, before its other modules are loaded.
 *
 * Every start of the program evaluates this file, so it imports nothing.
 *
 * @module
 */

/** Subcommand that makes the compiled program an executor. */
export const EXECUTOR_COMMAND = "__executor";

/** First byte of each frame between parent and child process. */
export const FrameKind = {
  // From the parent, in this order for each job.
  Job: 1,
  Module: 2,
  Input: 3,
  Stdin: 4,
  StdinEnd: 5,
  /** Follows Module if the Job frame announces it. */
  Reordered: 6,
  // From the child.
  Ready: 16,
  Stdout: 17,
  Stderr: 18,
  Usage: 19,
  Finished: 20,
  Refused: 21,
  /** A part of the archive of the job's output files. The first one is empty: the guest has ended. */
  Files: 23,
  /** On pipes only, before Ready: the process runs. */
  Alive: 22,
} as const;

/** Frame of kind Alive, without a payload. */
const ALIVE_FRAME = Uint8Array.of(FrameKind.Alive, 0, 0, 0, 0);

/** Capacity of a Linux pipe, in bytes: enough for a whole small job. */
const INITIAL_READ_BYTES = 64 * 1024;

/** A read of standard input in progress. */
export interface InitialRead {
  /** Buffer that the read fills. */
  bytes: Uint8Array;
  /** Number of bytes read; `null` if the parent has closed the pipe. */
  count: Promise<number | null>;
}

/** Reports to the parent that the process runs, and starts to read the job that the parent may have sent already. */
export function bootstrapExecutor(): InitialRead {
  Deno.stdout.writeSync(ALIVE_FRAME);
  const bytes = new Uint8Array(INITIAL_READ_BYTES);
  return { bytes, count: Deno.stdin.read(bytes) };
}
