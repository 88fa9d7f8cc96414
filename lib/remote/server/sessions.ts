/**
 * Sessions of a node: one accepted offer each, from acceptance to deletion, across the client's connections.
 *
 * @module
 */
import { createJobId, createNonce } from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import {
  checkOffer,
  checksumOf,
  CLOCK_SKEW_MS,
  contentOf,
  type FrameChannel,
  isSameOffer,
  type MessageOf,
  type Need,
  OFFER_VALID_MS,
  type OfferedJob,
} from "../wire/mod.ts";
import { IncomingBlob, TransferRateCheck } from "./incoming_transfer.ts";
import type { JobHost, OfferTerms, RemoteJobOffer, RemotePolicy } from "./job_host.ts";

/** Fields that authorize a client to control a job. */
export interface TicketFields {
  /** Id of the job. */
  job_id: string;
  /** Secret of the session. */
  secret: string;
  /** Nonce of the acceptance. */
  node_nonce: string;
}

/** Reason for closing a connection that another one of the same client replaces. */
const REPLACED = new Error("Replaced by a newer connection");

/** Connection that a session uses now. */
interface Attachment {
  channel: FrameChannel;
  ended: PromiseWithResolvers<void>;
  stop: AbortController;
}

/** Accepted offer of a peer and the state of its job. */
export class Session {
  readonly offer: RemoteJobOffer;
  readonly terms: OfferTerms;
  /** The offer as it was received, to recognize its repetition. */
  readonly offered: OfferedJob;
  /** Resolves when the content of the offer itself is stored; rejects if it cannot be. */
  ready: Promise<void> = Promise.resolve();
  /** Only the client knows it. */
  readonly secret: string = createNonce();
  /** Identifies this acceptance: `begin` must repeat it. */
  readonly nonce: string = createNonce();
  /** Content to receive and output, in bytes, at most. */
  readonly reservedBytes: number;
  /** `transfer` until the job may run; `over` once it has a result or failed. */
  phase: "transfer" | "begun" | "over" = "transfer";
  /** Checks the speed of the transfer. */
  readonly rate: TransferRateCheck = new TransferRateCheck();
  readonly #blobs = new Map<string, IncomingBlob>();
  #attachment: Attachment | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    offer: RemoteJobOffer,
    { terms, offered }: { terms: OfferTerms; offered: OfferedJob },
  ) {
    this.offer = offer;
    this.terms = terms;
    this.offered = offered;
    this.reservedBytes = this.#missing().reduce((sum, { size }) => sum + size, terms.outputBytes);
  }

  #missing(): { hash: string; size: number }[] {
    return contentOf(this.offer).filter(({ hash }) => !this.terms.have.has(hash));
  }

  /** Starts to receive the missing content. */
  open(host: JobHost): void {
    for (const ref of this.#missing()) {
      this.#blobs.set(
        ref.hash,
        new IncomingBlob(ref, (source) => host.put(this.offer, ref, source)),
      );
    }
  }

  /** Content that the client must still send. */
  get need(): Need {
    return [...this.#blobs.values()].filter((blob) => !blob.isComplete)
      .map(({ ref, offset }) => ({ hash: ref.hash, offset }));
  }

  /** Compares a ticket in constant time, so that timing reveals nothing about the secret. */
  isTicket({ secret, node_nonce }: TicketFields): boolean {
    let difference = 0;
    for (const [received, known] of [[secret, this.secret], [node_nonce, this.nonce]] as const) {
      for (let at = 0; at < known.length; at++) {
        difference |= known.charCodeAt(at) ^ received.charCodeAt(at);
      }
    }
    return difference === 0;
  }

  /**
   * Stores a chunk. Its memory may be reused once the promise resolves.
   *
   * @throws {PlasmError} `protocol` if it was not requested or is damaged; errors of the host
   */
  async receive({ hash, offset, data, checksum }: MessageOf<"chunk">): Promise<void> {
    const blob = this.#blobs.get(hash);
    if (blob === undefined) {
      throw new PlasmError("protocol", `Cannot accept chunk: ${hash} was not requested`);
    }
    if (checksumOf(data) !== checksum) {
      throw new PlasmError(
        "protocol",
        `Cannot accept chunk: bytes ${offset} to ${offset + data.length} of ${hash} are damaged`,
        { details: { hash, offset } },
      );
    }
    this.rate.add(data.length);
    await blob.push(offset, data);
  }

  /**
   * Stores standard input from the offer. Its memory may be reused once the promise resolves.
   *
   * @throws {PlasmError} errors of the host, which checks the hash
   */
  async receiveStdin(data: Uint8Array): Promise<void> {
    const blob = this.#blobs.get(this.offer.stdin.hash);
    if (blob === undefined) return; // stored already
    this.rate.add(data.length);
    await blob.push(0, data);
  }

  /** Whether a client is connected. */
  get isAttached(): boolean {
    return this.#attachment !== undefined;
  }

  /**
   * Switches the session to a connection, after the previous one has ended.
   *
   * @returns a signal that aborts when another connection replaces this one, and a function to call when it ends
   */
  async attach(channel: FrameChannel): Promise<{ signal: AbortSignal; detach: () => void }> {
    while (this.#attachment !== undefined) {
      const { channel: previous, stop, ended } = this.#attachment;
      previous.endRead();
      stop.abort(REPLACED);
      await ended.promise;
    }
    clearTimeout(this.#timer);
    const attachment: Attachment = {
      channel,
      ended: Promise.withResolvers(),
      stop: new AbortController(),
    };
    this.#attachment = attachment;
    return {
      signal: attachment.stop.signal,
      detach: () => {
        if (this.#attachment === attachment) this.#attachment = undefined;
        attachment.ended.resolve();
      },
    };
  }

  /** Sets the timer that `act` runs after, unless a client is or gets connected. Replaces an earlier timer. */
  expireAfter(ms: number, act: () => void): void {
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

/** Nonces remembered to detect replays. */
const MAX_NONCES = 10_000;

/** Retry-After of a peer that exceeds a limit, in milliseconds. */
const RETRY_AFTER_MS = 2000;

/** Options of {@linkcode SessionTable}. */
export interface SessionTableOptions {
  /** Runs the jobs. */
  host: JobHost;
  /** Current policy, read for each offer. */
  policy: () => RemotePolicy;
  /** Unix milliseconds. @default {Date.now} */
  now?: (() => number) | undefined;
  /** Monotonic clock, in milliseconds. @default {performance.now} */
  steadyNow?: (() => number) | undefined;
}

/** Accepts offers within the node's policy and finds their sessions. */
export class SessionTable {
  readonly #host: JobHost;
  readonly #policy: () => RemotePolicy;
  readonly #now: () => number;
  readonly #sessions = new Map<string, Session>();
  /** Peer and nonce → expiry in Unix milliseconds. */
  readonly #nonces = new Map<string, number>();
  readonly #steadyNow: () => number;
  /** Monotonic time since when all nonces are remembered. */
  #completeSince: number;

  constructor(
    { host, policy, now = Date.now, steadyNow = () => performance.now() }: SessionTableOptions,
  ) {
    this.#host = host;
    this.#policy = policy;
    this.#now = now;
    this.#steadyNow = steadyNow;
    this.#completeSince = steadyNow();
  }

  /** Number of sessions by phase, for metrics. */
  get counts(): { transfer: number; begun: number; over: number } {
    const counts = { transfer: 0, begun: 0, over: 0 };
    for (const { phase } of this.#sessions.values()) counts[phase]++;
    return counts;
  }

  /**
   * Accepts an offer. The repetition of an offer with `begin`, whose answer was lost, returns the session that it
   * already has.
   *
   * @throws {PlasmError} `policy`, `protocol`, `bad-manifest`, `queue-full`, `busy`, `over-limit`, `not-found`, and
   * errors of the host
   */
  async accept(
    message: MessageOf<"offer">,
    peerId: string,
  ): Promise<{ session: Session; isRepeated: boolean }> {
    this.#checkPeer(peerId);
    const manifest = await checkOffer(message, this.#now());
    const { stdin_data: stdinData, ...offered } = message;
    const { module, stdin, inputs, nonce } = message;
    const known = this.#of(peerId).find(({ offer }) => offer.nonce === nonce);
    if (known !== undefined && offered.begin && isSameOffer(known.offered, offered)) {
      await known.ready;
      return { session: known, isRepeated: true };
    }
    const offer: RemoteJobOffer = {
      jobId: createJobId(),
      peerId,
      manifest,
      nonce,
      module,
      stdin,
      inputs,
    };
    const key = `${peerId} ${nonce}`;
    this.#checkReplay(key);
    this.#checkAge(message.age_ms);
    this.#checkCounts(peerId);
    const terms = this.#host.check(offer);
    const session = new Session(offer, { terms, offered });
    this.#checkBytes(session);
    // A rejected offer may be repeated, so only the nonces of accepted ones are remembered.
    this.#nonces.set(key, this.#now() + OFFER_VALID_MS + 2 * CLOCK_SKEW_MS);
    this.#sessions.set(offer.jobId, session);
    session.ready = this.#open(session, stdinData);
    await session.ready;
    return { session, isRepeated: false };
  }

  async #open(session: Session, stdinData: Uint8Array | null): Promise<void> {
    session.open(this.#host);
    if (stdinData === null) return;
    try {
      await session.receiveStdin(stdinData);
    } catch (error) {
      await this.remove(session, PlasmError.from(error));
      throw error;
    }
  }

  /** @throws {PlasmError} `policy` */
  #checkPeer(peerId: string): void {
    const { submit, submitters, closed } = this.#policy();
    if (submit === "anyone" || (submit === "listed" && submitters.includes(peerId))) {
      if (closed === undefined) return;
      throw new PlasmError("policy", `Cannot accept job: ${closed}`);
    }
    const reason = submit === "listed"
      ? `node accepts jobs only from ${submitters.length} listed peers, not from ${peerId}`
      : "node accepts no jobs from peers";
    throw new PlasmError("policy", `Cannot accept job: ${reason}`, {
      details: { submit, peer_id: peerId },
    });
  }

  /** @throws {PlasmError} `protocol` */
  #checkReplay(key: string): void {
    const now = this.#now();
    for (const [oldest, until] of this.#nonces) {
      const isExpired = until <= now;
      if (!isExpired && this.#nonces.size < MAX_NONCES) break;
      if (!isExpired) this.#completeSince = this.#steadyNow();
      this.#nonces.delete(oldest);
    }
    if (this.#nonces.has(key)) {
      throw new PlasmError("protocol", "Cannot accept offer: its nonce was used before", {
        details: { field: "nonce" },
      });
    }
  }

  /**
   * Checks that a repeated offer would be known if it had been accepted: otherwise an earlier process of this node
   * may have run the job.
   *
   * @throws {PlasmError} `not-found`
   */
  #checkAge(ageMs: number): void {
    const knownMs = Math.floor(this.#steadyNow() - this.#completeSince);
    if (ageMs === 0 || ageMs + OFFER_VALID_MS <= knownMs) return;
    throw new PlasmError(
      "not-found",
      `Cannot accept repeated offer: it was first sent ${ageMs} ms ago and may have arrived ` +
        `${OFFER_VALID_MS} ms later, the node knows the offers of the last ${knownMs} ms`,
      { details: { age_ms: ageMs, known_ms: knownMs } },
    );
  }

  #checkCounts(peerId: string): void {
    const { jobsPerPeer, halfOpenOffers, jobs = Infinity } = this.#policy();
    const unfinished = this.#of(peerId).filter(({ phase }) => phase !== "over").length;
    if (unfinished >= jobsPerPeer) {
      throw new PlasmError(
        "busy",
        `Cannot accept job: this peer has ${unfinished} unfinished jobs, node allows ${jobsPerPeer}`,
        {
          retryAfterMs: RETRY_AFTER_MS,
          details: { asked: unfinished + 1, allowed: jobsPerPeer },
        },
      );
    }
    const { transfer, begun } = this.counts;
    if (transfer + begun >= jobs) {
      throw new PlasmError(
        "busy",
        `Cannot accept job: peers have ${transfer + begun} unfinished jobs, node allows ${jobs}`,
        { retryAfterMs: RETRY_AFTER_MS, details: { asked: transfer + begun + 1, allowed: jobs } },
      );
    }
    if (transfer >= halfOpenOffers) {
      throw new PlasmError(
        "busy",
        `Cannot accept job: ${transfer} offers are in transfer, node allows ${halfOpenOffers}`,
        {
          retryAfterMs: RETRY_AFTER_MS,
          details: { waiting: transfer, allowed: halfOpenOffers },
        },
      );
    }
  }

  #checkBytes(session: Session): void {
    const { bytesPerPeer } = this.#policy();
    const held = this.#of(session.offer.peerId)
      .reduce((sum, { reservedBytes }) => sum + reservedBytes, 0);
    const asked = session.reservedBytes;
    if (held + asked <= bytesPerPeer) return;
    const content = contentOf(session.offer).reduce((sum, { size }) => sum + size, 0);
    const message = `Cannot accept job: asked ${asked} bytes (content ${content}, output ` +
      `${session.terms.outputBytes}), ${Math.max(0, bytesPerPeer - held)} of ${bytesPerPeer} free`;
    const details = { asked, held, allowed: bytesPerPeer };
    // Waiting does not help a job that exceeds the limit alone.
    if (asked > bytesPerPeer) throw new PlasmError("over-limit", message, { details });
    throw new PlasmError("busy", message, { retryAfterMs: RETRY_AFTER_MS, details });
  }

  #of(peerId: string): Session[] {
    return [...this.#sessions.values()].filter(({ offer }) => offer.peerId === peerId);
  }

  /**
   * Finds the session that a ticket belongs to.
   *
   * @throws {PlasmError} `not-found`; the same for a wrong secret, so that the answer reveals nothing
   */
  find(ticket: TicketFields): Session {
    const session = this.#sessions.get(ticket.job_id);
    if (session?.isTicket(ticket)) return session;
    throw new PlasmError("not-found", `Cannot find job: no job ${ticket.job_id} of this client`, {
      hint: "It may have expired, or its result was acknowledged",
    });
  }

  /** Reports whether a session has not been removed. */
  has(session: Session): boolean {
    return this.#sessions.get(session.offer.jobId) === session;
  }

  /** Ends a session and deletes everything stored of its job. */
  async remove(session: Session, reason: Error): Promise<void> {
    if (!this.#sessions.delete(session.offer.jobId)) return;
    const hasBegun = session.phase !== "transfer";
    await session.discard(reason);
    if (hasBegun) await this.#host.cancel(session.offer.jobId);
    await this.#host.delete(session.offer);
  }

  /** Removes all sessions. */
  async close(): Promise<void> {
    const reason = new PlasmError("busy", "The node is stopping");
    await Promise.all([...this.#sessions.values()].map((session) => this.remove(session, reason)));
  }
}
