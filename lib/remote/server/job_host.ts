/**
 * What the protocol asks of the node that runs jobs. The daemon is one; tests have a small one.
 * @module
 */
import type { Manifest, Receipt } from "../../core/mod.ts";
import type { PlasmErrorJson } from "../../core/errors/mod.ts";
import type { BlobRef } from "../wire/mod.ts";

/** A job of a peer, checked as far as its documents go. */
export interface RemoteJobOffer {
  /** The job's name on this node. */
  jobId: string;
  /** Peer id of the client, authenticated by the connection. */
  peerId: string;
  manifest: Manifest;
  /** The client's, for the receipt. */
  nonce: string;
  module: BlobRef;
  stdin: BlobRef;
  inputs: readonly BlobRef[];
}

/** What a node says to an offer that it would take. */
export interface OfferTerms {
  /** Jobs that would start before it. */
  position: number;
  /** Hashes that need not be sent. */
  have: ReadonlySet<string>;
  /** Output that the job may make, in bytes; counts against what is held for its peer. */
  outputBytes: number;
}

/** What happens to a job, as the host tells it. Ids rise from 1 within a job. */
export type HostEvent =
  & { id: number; at: number }
  & (
    | { type: "queued"; position: number }
    | { type: "started"; attempt: number }
    | { type: "stdout" | "stderr"; offset: number; data: Uint8Array }
    | { type: "interrupted"; rerun: boolean }
    | { type: "finished"; receipt: Receipt; message: string | null }
    | { type: "failed"; error: PlasmErrorJson }
  );

/** Runs the jobs of peers. */
export interface JobHost {
  /**
   * Whether it would take a job now: its limits, its needs, and room.
   *
   * @throws {PlasmError} why not, with figures
   */
  check(offer: RemoteJobOffer): OfferTerms;
  /**
   * Keeps content for a job, once all of it has come and hashes to what was said.
   *
   * @throws {PlasmError} `bad-input`, `too-large`, `queue-full`, `state`
   */
  put(offer: RemoteJobOffer, blob: BlobRef, source: AsyncIterable<Uint8Array>): Promise<void>;
  /**
   * Takes the job; all that it needs is there.
   *
   * @throws {PlasmError} as {@linkcode JobHost.check}
   */
  submit(offer: RemoteJobOffer): Promise<void>;
  /**
   * The events after an id, as they happen, to the last; those that are there already together, a few at
   * once. Ends early when the signal aborts.
   */
  events(jobId: string, after: number, signal: AbortSignal): AsyncIterable<readonly HostEvent[]>;
  /** Stops a job; resolves when it has finished. Does nothing for a finished or unknown job. */
  cancel(jobId: string): Promise<void>;
  /** Deletes everything stored of a job that has finished or was never submitted. */
  forget(offer: RemoteJobOffer): Promise<void>;
}

/** Who may submit, and how much. All times in milliseconds. */
export interface RemotePolicy {
  /** Who may submit jobs. */
  submit: "anyone" | "listed" | "nobody";
  /** Peer ids that may, where `submit` is `listed`. */
  submitters: readonly string[];
  /** Jobs of one peer at once, from offer to end. */
  jobsPerPeer: number;
  /** Content and output held for one peer at once. */
  bytesPerPeer: number;
  /** Accepted offers whose transfer has not ended, of all peers together. */
  halfOpenOffers: number;
  /** Longest pause of a transfer, connected or not. */
  transferMs: number;
  /** How long a job goes on without its client. */
  orphanMs: number;
  /** How long a result waits for its client. */
  resultMs: number;
}
