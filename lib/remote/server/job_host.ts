/**
 * Interface between the job protocol and the node that runs the jobs.
 *
 * @module
 */
import type { JobOutcome, Manifest, Receipt } from "../../core/mod.ts";
import type { PlasmErrorJson } from "../../core/errors/mod.ts";
import type { BlobRef } from "../wire/mod.ts";

/** Job of a peer whose documents are checked. */
export interface RemoteJobOffer {
  /** Id of the job on this node. */
  jobId: string;
  /** Peer id of the client, authenticated by the connection. */
  peerId: string;
  /** Limits and inputs of the job. */
  manifest: Manifest;
  /** The client's nonce, for the receipt. */
  nonce: string;
  /** WebAssembly module. */
  module: BlobRef;
  /** Standard input. */
  stdin: BlobRef;
  /** Distinct content of the input files. */
  inputs: readonly BlobRef[];
}

/** Terms under which a node accepts an offer. */
export interface OfferTerms {
  /** Jobs that start earlier. */
  position: number;
  /** Hashes that the client need not send. */
  have: ReadonlySet<string>;
  /** Largest output of the job and its files, in bytes; counts towards the peer's quota. */
  outputBytes: number;
}

/** Event of a job. Ids start at 1 and never fall within a job. */
export type HostEvent =
  & { id: number; at: number }
  & (
    | { type: "queued"; position: number }
    | { type: "started"; attempt: number }
    | { type: "stdout" | "stderr" | "files"; offset: number; data: Uint8Array }
    | { type: "interrupted"; rerun: boolean }
    | {
      type: "finished";
      receipt: Receipt;
      message: string | null;
      stack: readonly number[];
      leftBehind: JobOutcome["leftBehind"] | null;
    }
    | { type: "failed"; error: PlasmErrorJson }
  );

/** Runs the jobs of peers. */
export interface JobHost {
  /**
   * Checks an offer against the limits and the free capacity of the node.
   *
   * @throws {PlasmError} why the node rejects it, with figures
   */
  check(offer: RemoteJobOffer): OfferTerms;
  /**
   * Stores content of a job and verifies its hash.
   *
   * @throws {PlasmError} `bad-input`, `too-large`, `queue-full`, `state`
   */
  put(offer: RemoteJobOffer, blob: BlobRef, source: AsyncIterable<Uint8Array>): Promise<void>;
  /**
   * Queues a job whose content is complete.
   *
   * @throws {PlasmError} as {@linkcode JobHost.check}
   */
  submit(offer: RemoteJobOffer): Promise<void>;
  /**
   * Yields the events after an id as they happen, up to the last one; those that exist already in batches. Ends
   * early if the signal aborts.
   */
  events(jobId: string, after: number, signal: AbortSignal): AsyncIterable<readonly HostEvent[]>;
  /** Stops a job; resolves when it has finished. Does nothing for a finished or unknown job. */
  cancel(jobId: string): Promise<void>;
  /** Deletes everything stored of a job that has finished or was never submitted. */
  delete(offer: RemoteJobOffer): Promise<void>;
}

/** Which peers may submit jobs, and their limits. All times in milliseconds. */
export interface RemotePolicy {
  /** Peers that may submit jobs. */
  submit: "anyone" | "listed" | "nobody";
  /** Peer ids of the allowed peers if `submit` is `listed`. */
  submitters: readonly string[];
  /** Unfinished jobs of one peer, from the offer on. */
  jobsPerPeer: number;
  /** Why the node accepts no job now, as a clause. @default {it accepts jobs} */
  closed?: string | undefined;
  /** Unfinished jobs of all peers together. @default {no limit} */
  jobs?: number | undefined;
  /** Content and output reserved for one peer. */
  bytesPerPeer: number;
  /** Offers in transfer, of all peers together. */
  halfOpenOffers: number;
  /** Longest pause of a transfer, connected or not. */
  transferMs: number;
  /** How long a job continues without its client. */
  orphanMs: number;
  /** How long a result is retained for its client. */
  resultMs: number;
}
