/**
 * The sessions of a node, and who may have how many.
 * @module
 */
import { createJobId } from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import {
  checkOffer,
  CLOCK_SKEW_MS,
  contentOf,
  isSameOffer,
  type MessageOf,
  OFFER_VALID_MS,
} from "../wire/mod.ts";
import type { JobHost, RemoteJobOffer, RemotePolicy } from "./job_host.ts";
import { Session, type TicketFields } from "./session.ts";

/** Offers remembered against replay; a flood of others makes room for one it has captured. */
const MAX_NONCES = 10_000;

/** When a peer that has too much here should ask again, in milliseconds. */
const AGAIN_MS = 2000;

/** Options of {@linkcode SessionTable}. */
export interface SessionTableOptions {
  host: JobHost;
  policy: () => RemotePolicy;
  /** Unix milliseconds. @default {Date.now} */
  now?: (() => number) | undefined;
  /** Milliseconds of a steady clock. @default {performance.now} */
  steadyNow?: (() => number) | undefined;
}

/** All sessions of a node. */
export class SessionTable {
  readonly #host: JobHost;
  readonly #policy: () => RemotePolicy;
  readonly #now: () => number;
  readonly #sessions = new Map<string, Session>();
  readonly #nonces = new Map<string, number>();
  readonly #steadyNow: () => number;
  /** Since when every nonce is remembered, by the steady clock. */
  #knownSince: number;

  constructor(
    { host, policy, now = Date.now, steadyNow = () => performance.now() }: SessionTableOptions,
  ) {
    this.#host = host;
    this.#policy = policy;
    this.#now = now;
    this.#steadyNow = steadyNow;
    this.#knownSince = steadyNow();
  }

  /** Sessions by phase, for metrics. */
  get counts(): { transfer: number; begun: number; over: number } {
    const counts = { transfer: 0, begun: 0, over: 0 };
    for (const { phase } of this.#sessions.values()) counts[phase]++;
    return counts;
  }

  /**
   * Takes an offer. One that let the job begin, and is made again because its answer was lost, is that of the
   * session which it has.
   *
   * @throws {PlasmError} `policy`, `protocol`, `bad-manifest`, `queue-full`, `busy`, `over-limit` and what
   * the host throws; all with figures
   */
  async accept(
    message: MessageOf<"offer">,
    peerId: string,
  ): Promise<{ session: Session; isRepeated: boolean }> {
    this.#checkPeer(peerId);
    const manifest = await checkOffer(message, this.#now());
    const { stdin_data: stdinData, ...said } = message;
    const { module, stdin, inputs, nonce } = message;
    const held = this.#of(peerId).find(({ offer }) => offer.nonce === nonce);
    if (held !== undefined && said.begin && isSameOffer(held.said, said)) {
      await held.opened;
      return { session: held, isRepeated: true };
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
    const used = `${peerId} ${nonce}`;
    this.#checkReplay(used);
    this.#checkAge(message.age_ms);
    this.#checkCounts(peerId);
    const terms = this.#host.check(offer);
    const session = new Session(offer, { terms, said });
    this.#checkBytes(session);
    // An offer that was refused may be made again; one that was taken may not.
    this.#nonces.set(used, this.#now() + OFFER_VALID_MS + 2 * CLOCK_SKEW_MS);
    this.#sessions.set(offer.jobId, session);
    session.opened = this.#open(session, stdinData);
    await session.opened;
    return { session, isRepeated: false };
  }

  async #open(session: Session, stdinData: Uint8Array | null): Promise<void> {
    session.open(this.#host);
    if (stdinData === null) return;
    try {
      await session.takeStdin(stdinData);
    } catch (error) {
      await this.remove(session, PlasmError.from(error));
      throw error;
    }
  }

  /** @throws {PlasmError} `policy` */
  #checkPeer(peerId: string): void {
    const { submit, submitters } = this.#policy();
    if (submit === "anyone" || (submit === "listed" && submitters.includes(peerId))) return;
    const whom = submit === "listed" ? `the ${submitters.length} peers it lists` : "nobody";
    throw new PlasmError("policy", `Cannot accept job: node takes jobs of ${whom}, not ${peerId}`, {
      details: { submit, peer_id: peerId },
    });
  }

  /** @throws {PlasmError} `protocol` */
  #checkReplay(used: string): void {
    const now = this.#now();
    for (const [key, until] of this.#nonces) {
      const isDue = until <= now;
      if (!isDue && this.#nonces.size < MAX_NONCES) break;
      if (!isDue) this.#knownSince = this.#steadyNow();
      this.#nonces.delete(key);
    }
    if (this.#nonces.has(used)) {
      throw new PlasmError("protocol", "Cannot accept offer: its nonce was used before", {
        details: { field: "nonce" },
      });
    }
  }

  /**
   * Checks that an offer which is made again would be known, had it been taken: by an earlier process of this
   * node the job may have been run.
   *
   * @throws {PlasmError} `not-found`
   */
  #checkAge(ageMs: number): void {
    const known = Math.floor(this.#steadyNow() - this.#knownSince);
    if (ageMs === 0 || ageMs + OFFER_VALID_MS <= known) return;
    throw new PlasmError(
      "not-found",
      `Cannot tell what became of offer: it was made ${ageMs} ms ago, and may have taken ` +
        `${OFFER_VALID_MS} ms to come; offers of the last ${known} ms are remembered`,
      { details: { age_ms: ageMs, known_ms: known } },
    );
  }

  #checkCounts(peerId: string): void {
    const { jobsPerPeer, halfOpenOffers } = this.#policy();
    const own = this.#of(peerId).filter(({ phase }) => phase !== "over").length;
    if (own >= jobsPerPeer) {
      throw new PlasmError(
        "busy",
        `Cannot accept job: ${own} jobs of this peer are here, node allows ${jobsPerPeer}`,
        { retryAfterMs: AGAIN_MS, details: { asked: own + 1, allowed: jobsPerPeer } },
      );
    }
    const { transfer } = this.counts;
    if (transfer >= halfOpenOffers) {
      throw new PlasmError(
        "busy",
        `Cannot accept job: ${transfer} offers wait for their content, node allows ${halfOpenOffers}`,
        { retryAfterMs: AGAIN_MS, details: { waiting: transfer, allowed: halfOpenOffers } },
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
    // Alone it would be too large as well: no waiting helps.
    if (asked > bytesPerPeer) throw new PlasmError("over-limit", message, { details });
    throw new PlasmError("busy", message, { retryAfterMs: AGAIN_MS, details });
  }

  #of(peerId: string): Session[] {
    return [...this.#sessions.values()].filter(({ offer }) => offer.peerId === peerId);
  }

  /**
   * The session that a client may speak of.
   *
   * @throws {PlasmError} `not-found`; the same for a wrong secret, which must tell nothing
   */
  find(ticket: TicketFields): Session {
    const session = this.#sessions.get(ticket.job_id);
    if (session?.isTicket(ticket)) return session;
    throw new PlasmError(
      "not-found",
      `Cannot find job: no ${ticket.job_id} is held for this client`,
      {
        hint: "It may have been given up, or its result was taken",
      },
    );
  }

  /** Whether a session is still held. */
  has(session: Session): boolean {
    return this.#sessions.get(session.offer.jobId) === session;
  }

  /** Forgets a session with all that is kept of its job. */
  async remove(session: Session, reason: Error): Promise<void> {
    if (!this.#sessions.delete(session.offer.jobId)) return;
    const begun = session.phase !== "transfer";
    await session.discard(reason);
    if (begun) await this.#host.cancel(session.offer.jobId);
    await this.#host.forget(session.offer);
  }

  /** Forgets all. */
  async close(): Promise<void> {
    const reason = new PlasmError("busy", "The node is stopping");
    await Promise.all([...this.#sessions.values()].map((session) => this.remove(session, reason)));
  }
}
