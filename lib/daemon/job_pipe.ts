/**
 * What a piped job reads from and writes to while it runs: its client.
 * @module
 */
import type { StdinSource } from "../sandbox/mod.ts";
import type { OutputStream } from "./store/mod.ts";

/** A job's client, at the other end of a connection. */
export interface JobPipe {
  /** What the client sends. */
  readonly stdin: StdinSource;
  /** The job has started, so that the client may send. */
  started(): void;
  /** The job is being stopped: a client that does not take its rest soon does without. */
  hurry(): void;
  /** Passes output on; resolves when more may come. A client that is gone costs the job nothing here. */
  write(stream: OutputStream, data: Uint8Array): Promise<void>;
}
