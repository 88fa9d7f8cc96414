/**
 * One job of a peer on this node, from accepted offer to forgotten result: what stays while connections
 * come and go.
 * @module
 */
import { createNonce } from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import {
  checksumOf,
  contentOf,
  type FrameChannel,
  type MessageOf,
  type Need,
  type OfferedJob,
} from "../wire/mod.ts";
import type { JobHost, OfferTerms, RemoteJobOffer } from "./job_host.ts";
import { IncomingBlob, TransferRateCheck } from "./incoming_transfer.ts";

/** What a client must show to speak of a job. */
export interface TicketFields {
  job_id: string;
  secret: string;
  node_nonce: string;
}

/** Why a connection is spoken over no more. */
const REPLACED = new Error("Its client has come back");

/** The connection that a session is spoken over now. */
interface Attachment {
  channel: FrameChannel;
  over: PromiseWithResolvers<void>;
  stop: AbortController;
}

/** A job of a peer. */
export class Session {
  readonly offer: RemoteJobOffer;
  readonly terms: OfferTerms;
  /** What its client said. */
  readonly said: OfferedJob;
  /** When what came with the offer is kept; rejects where that could not be. */
  opened: Promise<void> = Promise.resolve();
  /** Known to the client only. */
  readonly secret: string = createNonce();
  /** Names this acceptance: a `begin` for another one starts nothing. */
  readonly nonce: string = createNonce();
  /** Bytes held for it at most. */
  readonly reservedBytes: number;
  /** `transfer` until all is there and it may run; `over` has a result or never will. */
  phase: "transfer" | "begun" | "over" = "transfer";
  /** How fast its content comes. */
  readonly pace: TransferRateCheck = new TransferRateCheck();
  readonly #blobs = new Map<string, IncomingBlob>();
  #attachment: Attachment | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(offer: RemoteJobOffer, { terms, said }: { terms: OfferTerms; said: OfferedJob }) {
    this.offer = offer;
    this.terms = terms;
    this.said = said;
    const sent = this.#missing();
    this.reservedBytes = sent.reduce((sum, { size }) => sum + size, terms.outputBytes);
  }

  #missing(): { hash: string; size: number }[] {
    return contentOf(this.offer).filter(({ hash }) => !this.terms.have.has(hash));
  }

  /** Makes ready for chunks. */
  open(host: JobHost): void {
    for (const ref of this.#missing()) {
      this.#blobs.set(
        ref.hash,
        new IncomingBlob(ref, (source) => host.put(this.offer, ref, source)),
      );
    }
  }

  /** What must still be sent. */
  get need(): Need {
    return [...this.#blobs.values()].filter((blob) => !blob.isWhole)
      .map(({ ref, offset }) => ({ hash: ref.hash, offset }));
  }

  /** Whether a client that shows this may speak of the job. */
  isTicket({ secret, node_nonce }: TicketFields): boolean {
    // Both are compared to the end, so that time tells nothing of the secret.
    let difference = 0;
    for (const [told, known] of [[secret, this.secret], [node_nonce, this.nonce]] as const) {
      for (let at = 0; at < known.length; at++) {
        difference |= known.charCodeAt(at) ^ told.charCodeAt(at);
      }
    }
    return difference === 0;
  }

  /**
   * Takes a chunk; nothing of it is needed once this resolves.
   *
   * @throws {PlasmError} `protocol` when it was not asked for or is damaged; what the host throws
   */
  async take({ hash, offset, data, checksum }: MessageOf<"chunk">): Promise<void> {
    const blob = this.#blobs.get(hash);
    if (blob === undefined) {
      throw new PlasmError("protocol", `Cannot take chunk: ${hash} was not asked for`);
    }
    if (checksumOf(data) !== checksum) {
      throw new PlasmError(
        "protocol",
        `Cannot take chunk: bytes ${offset} to ${offset + data.length} of ${hash} are damaged`,
        { details: { hash, offset } },
      );
    }
    this.pace.add(data.length);
    await blob.push(offset, data);
  }

  /**
   * Takes standard input that came with the offer; nothing of it is needed once this resolves.
   *
   * @throws {PlasmError} what the host throws: it looks whether this is what was said
   */
  async takeStdin(data: Uint8Array): Promise<void> {
    const blob = this.#blobs.get(this.offer.stdin.hash);
    if (blob === undefined) return; // it is here already
    this.pace.add(data.length);
    await blob.push(0, data);
  }

  /** Whether a client is here. */
  get isAttached(): boolean {
    return this.#attachment !== undefined;
  }

  /**
   * Speaks over this connection from now on. One that is still there ends first: its client has come
   * back, so it is dead. Returns a signal that tells when this one ends so, and what to call at its end.
   */
  async attach(channel: FrameChannel): Promise<{ signal: AbortSignal; detach: () => void }> {
    while (this.#attachment !== undefined) {
      const { channel: old, stop, over } = this.#attachment;
      old.endRead();
      stop.abort(REPLACED);
      await over.promise;
    }
    clearTimeout(this.#timer);
    const own: Attachment = {
      channel,
      over: Promise.withResolvers(),
      stop: new AbortController(),
    };
    this.#attachment = own;
    return {
      signal: own.stop.signal,
      detach: () => {
        if (this.#attachment === own) this.#attachment = undefined;
        own.over.resolve();
      },
    };
  }

  /** Calls back after a time, unless a client comes or another time is set. */
  after(ms: number, act: () => void): void {
    clearTimeout(this.#timer);
    if (!this.isAttached) this.#timer = setTimeout(act, ms);
  }

  /** Ends the session: discards partial transfers and disconnects the client. */
  async discard(reason: Error): Promise<void> {
    clearTimeout(this.#timer);
    this.#attachment?.stop.abort(reason);
    this.#attachment?.channel.abort(reason);
    this.phase = "over";
    await Promise.all([...this.#blobs.values()].map((blob) => blob.discard(reason)));
  }
}
