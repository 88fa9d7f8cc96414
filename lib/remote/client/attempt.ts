/**
 * Runs a job on one node: from the offer to the verified result, across all connections that it takes.
 *
 * @module
 */
import { createNonce, type JobEvent, type JobOutcome, type Receipt } from "../../core/mod.ts";
import { abortError, PlasmError } from "../../core/errors/mod.ts";
import { deadline, retry } from "../../util/async/mod.ts";
import {
  Disconnected,
  DOCUMENT_VERSION,
  type FrameChannel,
  type MessageOf,
  type Need,
  Silent,
} from "../wire/mod.ts";
import {
  attachToJob,
  dialNode,
  makeOffer,
  offerJob,
  readPastAlive,
  sendContent,
  statedError,
  ticketFields,
} from "./handshake.ts";
import type {
  AttemptReport,
  PhaseTimeouts,
  RemoteCandidate,
  RemoteJob,
  ResumeTicket,
  RunOnPeersOptions,
} from "./remote_job.ts";
import {
  acknowledgeResult,
  type ReceivedOutput,
  receiveEvents,
  type RunStage,
  verifyResult,
} from "./remote_result.ts";

/** Time limit for the node's confirmation of a cancellation, in milliseconds. */
const CANCEL_MS = 3000;

/** First and longest delay before a reconnect, in milliseconds. */
const RETRY_MS = 100;
const MAX_RETRY_MS = 5000;

/** Shortest and longest time limit of one reconnect, in milliseconds. */
const MIN_RECONNECT_MS = 2500;
const MAX_RECONNECT_MS = 10_000;

/** Repetitions of a reconnect while another node may run the job. */
const MOVE_RETRIES = 2;

/** Consecutive connections without progress after which the node counts as lost. */
const MAX_IDLE_CONNECTIONS = 20;

/** Connection on which the node has answered; `need` is null if the job has begun. */
interface OpenSession {
  channel: FrameChannel;
  need: Need | null;
}

interface AttemptResult {
  receipt: Receipt;
  message: string | null;
  stack: readonly number[];
  leftBehind: JobOutcome["leftBehind"];
}

/** Options of {@linkcode RemoteAttempt}. */
export interface RemoteAttemptOptions
  extends Pick<RunOnPeersOptions, "dial" | "nonce" | "signal" | "saveTicket" | "retryMs"> {
  /** Time limits of each phase. */
  timeouts: PhaseTimeouts;
  /** Receives the output. */
  output: ReceivedOutput;
  /** Whether the job may run before the client knows that it was accepted. */
  mayBegin: boolean;
  /** Whether the job may run twice. */
  isRepeatable: boolean;
  /** Whether no other node is tried afterwards. */
  isLast: boolean;
  /** Receives events, without the peer id. */
  onEvent: (event: JobEvent) => void;
  /** Resumes a job that an earlier process offered. @default {offers the job} */
  ticket?: ResumeTicket | undefined;
}

/** One attempt to run a job on one node. */
export class RemoteAttempt {
  /** Report of the attempt so far. */
  readonly report: Pick<AttemptReport, "jobId" | "ran" | "reconnects" | "sentBytes"> = {
    ran: "no",
    reconnects: 0,
    sentBytes: 0,
  };
  readonly #job: RemoteJob;
  readonly #candidate: RemoteCandidate;
  readonly #options: RemoteAttemptOptions;
  readonly #nonce: string;
  readonly #offeredAt: number;
  readonly #startedAt = performance.now();
  readonly #stage: RunStage = { lastId: 0 };
  /** Offset from which the node last requested each content. */
  readonly #offsets = new Map<string, number>();
  #ticket: ResumeTicket | undefined;
  /** The offer, repeated if its answer is lost. */
  #sentOffer: MessageOf<"offer"> | undefined;
  /** When the job was allowed to run; unknown if an earlier process did that. */
  #begunAt: number | undefined;
  #channel: FrameChannel | undefined;
  /** How long the node waits for another request on the stream, in milliseconds. */
  #reuseMs = 0;
  /** Why the job is being cancelled. */
  #cancelled: PlasmError | undefined;
  #cancelTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(job: RemoteJob, candidate: RemoteCandidate, options: RemoteAttemptOptions) {
    this.#job = job;
    this.#candidate = candidate;
    this.#options = options;
    this.#ticket = options.ticket;
    this.#nonce = options.ticket?.nonce ?? options.nonce ?? createNonce();
    this.#offeredAt = options.ticket?.offeredAt ?? Date.now();
    if (this.#ticket !== undefined) {
      this.report.jobId = this.#ticket.jobId;
      this.report.ran = "maybe";
    }
  }

  /**
   * Runs the job.
   *
   * @throws {PlasmError} why there is no result; `report.ran` says whether the job may have run
   */
  async run(): Promise<AttemptResult> {
    const { signal } = this.#options;
    const onAbort = (): void => this.#cancel(abortError(signal!));
    if (signal?.aborted) throw abortError(signal);
    signal?.addEventListener("abort", onAbort);
    try {
      return await this.#complete(
        this.#ticket === undefined
          ? await this.#offer()
          : new Disconnected("The connection of an earlier attempt ended"),
      );
    } catch (error) {
      this.#channel?.abort(new Error("The attempt failed"));
      if (this.#cancelled !== undefined) throw this.#cancelled;
      if (!(error instanceof Disconnected)) throw error;
      throw this.#lost(error);
    } finally {
      signal?.removeEventListener("abort", onAbort);
      clearTimeout(this.#cancelTimer);
    }
  }

  /** Ticket of the job, with which another attempt can resume it. */
  get ticket(): ResumeTicket | undefined {
    return this.#ticket;
  }

  /** Creates the error of a lost node, which says what is known about the job there. */
  #lost(cause: Disconnected): PlasmError {
    const { ran } = this.report;
    const { startedAt } = this.#stage;
    const seconds = startedAt === undefined
      ? undefined
      : Math.round((performance.now() - startedAt) / 1000);
    const known = ran === "no"
      ? "the job did not run there"
      : seconds === undefined
      ? "the job may have run there"
      : `the job started there ${seconds} s before`;
    const { peerId } = this.#candidate;
    return new PlasmError("no-peer", `Lost peer ${peerId}: ${cause.message}; ${known}`, {
      hint: ran === "no" || this.#options.isRepeatable
        ? undefined
        : "Check what the job has done before you run it again; set idempotent in the manifest " +
          "if plasm may repeat it",
      details: { ran },
      cause,
    });
  }

  /** Cancels the job on the node, and waits a short time for its receipt. */
  #cancel(reason: PlasmError): void {
    if (this.#cancelled !== undefined) return;
    this.#cancelled = reason;
    const channel = this.#channel;
    if (channel === undefined) return;
    const ticket = this.#ticket;
    if (ticket === undefined && this.report.ran === "no") return channel.abort(reason);
    this.#cancelTimer = setTimeout(() => channel.abort(reason), CANCEL_MS);
    // Without a ticket the job may run already; it is cancelled once the acceptance arrives.
    if (ticket !== undefined) this.#sendCancel(channel, ticket);
  }

  #sendCancel(channel: FrameChannel, ticket: ResumeTicket): void {
    channel.write({ type: "cancel", version: DOCUMENT_VERSION, ...ticketFields(ticket) }).catch(
      () => {},
    );
  }

  async #dial(
    { isRepeatable = false, isFresh = false, limitMs = Infinity } = {},
  ): Promise<FrameChannel> {
    const { dial, timeouts, signal } = this.#options;
    const timeoutMs = Math.min(limitMs, this.#limited(timeouts.connect));
    const options = { dial, signal, timeoutMs, isRepeatable, isFresh };
    this.#channel = await dialNode(this.#candidate.peerId, options);
    if (this.#cancelled !== undefined) throw this.#cancelled;
    return this.#channel;
  }

  /** Limits the wait for a node's first answer while another node may be tried. */
  #limited(ms: number): number {
    const { isLast, timeouts } = this.#options;
    if (isLast || this.#sentOffer === undefined || this.#ticket !== undefined) return ms;
    return Math.min(ms, Math.max(0, this.#startedAt + timeouts.answer - performance.now()));
  }

  /**
   * Offers the job. Returns the lost connection if the job may run although the answer did not arrive; the offer is
   * then repeated.
   */
  async #offer(): Promise<OpenSession | Disconnected> {
    const { onEvent, mayBegin } = this.#options;
    const offer = await makeOffer(this.#job, {
      nonce: this.#nonce,
      now: this.#offeredAt,
      mayBegin,
    });
    this.#sentOffer = offer;
    onEvent({ type: "connecting" });
    const channel = await this.#dial({ isRepeatable: offer.begin });
    onEvent({ type: "offering" });
    if (offer.begin) this.#mayRun();
    try {
      return await this.#sendOffer(channel, { isFirst: true });
    } catch (error) {
      if (!(error instanceof Disconnected) || !offer.begin || this.#cancelled !== undefined) {
        throw error;
      }
      channel.abort(error);
      return error;
    }
  }

  /** Records that the node may run the job from now on. */
  #mayRun(): void {
    this.report.ran = "maybe";
    this.#begunAt ??= performance.now();
  }

  /** Records that the job does not run before another message. */
  #cannotRun(): void {
    this.report.ran = "no";
    this.#begunAt = undefined;
  }

  /** Sends the offer and handles the answer. */
  async #sendOffer(channel: FrameChannel, { isFirst }: { isFirst: boolean }): Promise<OpenSession> {
    const { onEvent, timeouts, saveTicket } = this.#options;
    const { peerId } = this.#candidate;
    const ageMs = isFirst ? 0 : 1 + Math.ceil(performance.now() - this.#begunAt!);
    const offer = { ...this.#sentOffer!, age_ms: ageMs };
    const answer = await offerJob(channel, offer, {
      peerId,
      timeoutMs: this.#limited(timeouts.offer),
    })
      .catch((error) => {
        // The peer does not speak the protocol, so it has not read the offer.
        if (error instanceof PlasmError && error.code === "no-peer" && isFirst) this.#cannotRun();
        throw error;
      });
    if (answer.type === "reject") {
      // An earlier offer may still arrive, or its acceptance may be lost.
      if (isFirst) this.#cannotRun();
      throw statedError(answer.error);
    }
    const { job_id: jobId, secret, node_nonce: nodeNonce, need, begun } = answer;
    this.#reuseMs = answer.keeps_ms;
    const [nonce, offeredAt] = [this.#nonce, this.#offeredAt];
    this.#ticket = { peerId, jobId, secret, nodeNonce, nonce, offeredAt };
    this.report.jobId = jobId;
    this.report.sentBytes += offer.stdin_data?.length ?? 0;
    if (!begun) this.#cannotRun();
    if (this.#cancelled !== undefined) this.#sendCancel(channel, this.#ticket);
    await saveTicket?.(this.#ticket);
    onEvent({ type: "queued", jobId });
    return { channel, need: begun ? null : need };
  }

  /** Completes the job, reconnecting after each lost connection. */
  async #complete(start: OpenSession | Disconnected): Promise<AttemptResult> {
    let session = start;
    for (let [idle, before] = [0, ""];;) {
      if (session instanceof Disconnected) session = await this.#reconnect(session);
      const after = this.#progress(session.need);
      idle = after === before ? idle + 1 : 0;
      before = after;
      try {
        return await this.#finish(session);
      } catch (error) {
        if (!(error instanceof Disconnected) || this.#cancelled !== undefined) throw error;
        session.channel.abort(error);
        if (idle > MAX_IDLE_CONNECTIONS) throw error;
        session = error;
      }
    }
  }

  /** Returns the progress as text to compare. A node must not request content again that it had. */
  #progress(need: Need | null): string {
    for (const { hash, offset } of need ?? []) {
      const previous = this.#offsets.get(hash) ?? 0;
      if (offset < previous) {
        const text =
          `Cannot resume transfer: node had ${previous} bytes of ${hash}, requests from ${offset}`;
        throw new PlasmError("protocol", text);
      }
      this.#offsets.set(hash, offset);
    }
    return `${this.#stage.lastId} ${[...this.#offsets.values()]}`;
  }

  /**
   * Reconnects after a lost connection. A job that another node may run is not worth a wait: the connection may have
   * been replaced by a better one, but a node that is silent has failed.
   */
  async #reconnect(lost: Disconnected): Promise<OpenSession> {
    const { timeouts, signal, onEvent, retryMs = RETRY_MS } = this.#options;
    const isFresh = lost instanceof Silent;
    const mayMove = this.#mayMove();
    if (mayMove && isFresh) throw lost;
    onEvent({ type: "reconnecting", reason: lost.message });
    const forMs = mayMove ? Math.min(timeouts.reattach, MIN_RECONNECT_MS) : timeouts.reattach;
    const end = performance.now() + forMs;
    const resume = async (): Promise<OpenSession> => {
      const left = Math.min(MAX_RECONNECT_MS, end - performance.now());
      const ms = Math.max(MIN_RECONNECT_MS, left);
      return await deadline(this.#resume({ isFresh, limitMs: ms }), { ms, error: () => lost });
    };
    return await retry(resume, {
      minMs: retryMs,
      maxMs: MAX_RETRY_MS,
      forMs,
      ...(mayMove ? { retries: MOVE_RETRIES } : {}),
      signal,
      onFailure: () => this.#channel?.abort(new Error("The reconnect failed")),
      shouldRetry: (error) => this.#cancelled === undefined && isConnectionError(error),
    }).catch((error) => {
      throw isConnectionError(error) ? lost : error;
    });
  }

  /** Reports whether another node may run the job. */
  #mayMove(): boolean {
    const { isLast, isRepeatable } = this.#options;
    return !isLast && (isRepeatable || this.report.ran === "no");
  }

  /** Attaches to the job on a new connection, or repeats the offer if no answer was received. */
  async #resume(options: { isFresh: boolean; limitMs: number }): Promise<OpenSession> {
    const channel = await this.#dial(options);
    const session =
      await (this.#ticket === undefined
        ? this.#sendOffer(channel, { isFirst: false })
        : this.#attach(channel, this.#ticket));
    this.report.reconnects++;
    return session;
  }

  async #attach(channel: FrameChannel, ticket: ResumeTicket): Promise<OpenSession> {
    this.#reuseMs = 0;
    const answer = await attachToJob(channel, ticket, this.#stage.lastId);
    return { channel, need: answer.state === "transfer" ? answer.need : null };
  }

  /** Sends the needed content, receives all events and verifies the result. */
  async #finish({ channel, need }: OpenSession): Promise<AttemptResult> {
    const { timeouts, onEvent, output } = this.#options;
    const incoming = readPastAlive(channel);
    incoming.catch(() => {}); // awaited below, unless sending fails first
    if (need !== null) {
      await sendContent(channel, {
        job: this.#job,
        need,
        incoming,
        stallMs: timeouts.transfer,
        silenceMs: timeouts.silence,
        onSent: (sent, total, bytes) => {
          this.report.sentBytes += bytes;
          onEvent({ type: "sending", sent, total });
        },
      });
      this.#mayRun();
      const { job_id, node_nonce } = ticketFields(this.#ticket!);
      await channel.write({ type: "begin", job_id, node_nonce });
    }
    const finished = await receiveEvents(channel, {
      incoming,
      stage: this.#stage,
      output,
      timeouts,
      runLimitMs: this.#job.manifest.resources.timeout_seconds * 1000,
      onRan: (ran) => this.report.ran = ran,
      jobId: this.#ticket!.jobId,
      onEvent,
      cancel: (reason) => this.#cancel(reason),
    });
    onEvent({ type: "verifying" });
    const receipt = await this.#verify(finished.receipt);
    if (this.#cancelled !== undefined) {
      if (receipt.claim.status === "cancelled" && this.#stage.startedAt === undefined) {
        this.report.ran = "no";
      }
      await this.#acknowledge(channel);
      throw this.#cancelled;
    }
    await this.#acknowledge(channel);
    const { message, stack, leftBehind } = finished;
    return { receipt, message, stack, leftBehind };
  }

  async #verify(receipt: unknown): Promise<Receipt> {
    const begunAt = this.#begunAt;
    return await verifyResult(receipt, {
      job: this.#job,
      candidate: this.#candidate,
      jobId: this.#ticket!.jobId,
      nonce: this.#nonce,
      output: this.#options.output,
      offeredAt: this.#offeredAt,
      elapsedMs: begunAt === undefined ? undefined : performance.now() - begunAt,
    });
  }

  async #acknowledge(channel: FrameChannel): Promise<void> {
    // A released stream may carry another job: a late cancellation must not abort it.
    this.#channel = undefined;
    await acknowledgeResult(channel, this.#ticket!.jobId, { reuseMs: this.#reuseMs });
    await this.#options.saveTicket?.(undefined);
  }
}

function isConnectionError(error: Error): boolean {
  if (error instanceof Disconnected) return true;
  return ["no-peer", "peer-timeout"].includes(PlasmError.from(error).code);
}
