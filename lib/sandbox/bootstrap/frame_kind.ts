/**
 * The kinds of frames between an executor and its parent.
 * @module
 */

/** What a frame carries. */
export const FrameKind = {
  // To the executor, in this order for each job.
  Job: 1,
  Module: 2,
  Input: 3,
  Stdin: 4,
  StdinEnd: 5,
  /** After Module, where its header says so. */
  Reordered: 6,
  // From the executor.
  Ready: 16,
  Stdout: 17,
  Stderr: 18,
  Usage: 19,
  Finished: 20,
  Refused: 21,
  /** By pipes, before Ready: the process has begun. */
  Alive: 22,
} as const;
