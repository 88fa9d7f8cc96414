/**
 * One attempt to run a job on one node: from the first offer to a verified result, over as many connections
 * as it takes.
 * @module
 */
import { createNonce, type Receipt } from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import {
  Disconnected,
  type FrameChannel,
  JOB_VERSION,
  type MessageOf,
  type Need,
} from "../wire/mod.ts";
import {
  attachToJob,
  dialNode,
  makeOffer,
  offerJob,
  reconnect,
  ticketFields,
} from "./handshake.ts";
import type { ReceivedOutput } from "./received_output.ts";
import { acknowledgeResult, receiveEvents, type RunStage, verifyResult } from "./remote_result.ts";
import type {
  AttemptReport,
  PhaseTimeouts,
  RemoteCandidate,
  RemoteJob,
  RemoteProgress,
  ResumeTicket,
  RunOnPeersOptions,
} from "./remote_job.ts";
import { sendContent } from "./send_content.ts";

/** How long a node may take to say that a job is cancelled, in milliseconds. */
const CANCEL_MS = 3000;
/** Connections in a row that bring nothing new before the node counts as lost. */
const MAX_IDLE_CONNECTIONS = 20;

/** A connection on which the node has answered; `need` is null where the job has begun. */
interface Start {
  channel: FrameChannel;
  need: Need | null;
}

interface Finish {
  receipt: Receipt;
  message: string | null;
}

/** Options of {@linkcode RemoteAttempt}. */
export interface RemoteAttemptOptions
  extends Pick<RunOnPeersOptions, "dial" | "nonce" | "signal" | "saveTicket" | "retryMs"> {
  timeouts: PhaseTimeouts;
  output: ReceivedOutput;
  /** Whether the job may run before we have heard that it is accepted. */
  mayBegin: boolean;
  onProgress: (progress: RemoteProgress) => void;
  /** A job that was accepted before this process began. @default {the job is offered} */
  ticket?: ResumeTicket | undefined;
}

/** Talks with one node about one job. */
export class RemoteAttempt {
  /** What it came to so far. */
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
  readonly #stage: RunStage = { lastId: 0 };
  /** Where the node last asked for each content from. */
  readonly #offsets = new Map<string, number>();
  #ticket: ResumeTicket | undefined;
  /** What the node was offered, to be said again where the answer is lost. */
  #offered: MessageOf<"offer"> | undefined;
  /** When we let the job run; not known where an earlier process did. */
  #begunAt: number | undefined;
  #channel: FrameChannel | undefined;
  /** How long the node waits for another job on it, in milliseconds. */
  #keepsMs = 0;
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
  async run(): Promise<Finish> {
    const { signal } = this.#options;
    const onAbort = (): void => this.#cancel(PlasmError.from(signal?.reason));
    if (signal?.aborted) throw PlasmError.from(signal.reason);
    signal?.addEventListener("abort", onAbort);
    try {
      return await this.#converse(
        this.#ticket === undefined
          ? await this.#offer()
          : new Disconnected("The client was restarted"),
      );
    } catch (error) {
      this.#channel?.abort(new Error("Given up"));
      if (this.#cancelled !== undefined) throw this.#cancelled;
      if (!(error instanceof Disconnected)) throw error;
      throw new PlasmError("no-peer", `Lost peer ${this.#candidate.peerId}: ${error.message}`, {
        cause: error,
      });
    } finally {
      signal?.removeEventListener("abort", onAbort);
      clearTimeout(this.#cancelTimer);
    }
  }

  /** Cancels the job on the node; the conversation goes on to its end, but not for long. */
  #cancel(reason: PlasmError): void {
    if (this.#cancelled !== undefined) return;
    this.#cancelled = reason;
    const channel = this.#channel;
    if (channel === undefined) return;
    const ticket = this.#ticket;
    if (ticket === undefined && this.report.ran === "no") return channel.abort(reason);
    this.#cancelTimer = setTimeout(() => channel.abort(reason), CANCEL_MS);
    // What may run already can be named once it is accepted.
    if (ticket !== undefined) this.#sayCancel(channel, ticket);
  }

  #sayCancel(channel: FrameChannel, ticket: ResumeTicket): void {
    channel.write({ type: "cancel", version: JOB_VERSION, ...ticketFields(ticket) }).catch(
      () => {},
    );
  }

  async #dial({ allowReused = false } = {}): Promise<FrameChannel> {
    const { dial, timeouts, signal } = this.#options;
    const options = { dial, signal, timeoutMs: timeouts.connect, allowReused };
    this.#channel = await dialNode(this.#candidate.peerId, options);
    if (this.#cancelled !== undefined) throw this.#cancelled;
    return this.#channel;
  }

  /** Offers the job. An answer that is lost is asked for again only where the job may run without it. */
  async #offer(): Promise<Start | Disconnected> {
    const { onProgress, mayBegin } = this.#options;
    const { peerId } = this.#candidate;
    const offer = await makeOffer(this.#job, {
      nonce: this.#nonce,
      now: this.#offeredAt,
      mayBegin,
    });
    this.#offered = offer;
    onProgress({ peerId, phase: "connecting" });
    // Only for requests that are safe to repeat: the node may close a pooled stream at this moment.
    const channel = await this.#dial({ allowReused: offer.begin });
    onProgress({ peerId, phase: "offering" });
    if (offer.begin) this.#mayRun();
    try {
      return await this.#ask(channel, { isFirst: true });
    } catch (error) {
      if (!(error instanceof Disconnected) || !offer.begin || this.#cancelled !== undefined) {
        throw error;
      }
      channel.abort(error);
      return error;
    }
  }

  /** From here on the node may run it, whether or not we hear of it. */
  #mayRun(): void {
    this.report.ran = "maybe";
    this.#begunAt ??= performance.now();
  }

  /** The job starts only after another message to the node. */
  #runsNot(): void {
    this.report.ran = "no";
    this.#begunAt = undefined;
  }

  /** Makes the offer and hears the answer. */
  async #ask(channel: FrameChannel, { isFirst }: { isFirst: boolean }): Promise<Start> {
    const { onProgress, timeouts, saveTicket } = this.#options;
    const { peerId } = this.#candidate;
    const age = isFirst ? 0 : 1 + Math.ceil(performance.now() - this.#begunAt!);
    const offer = { ...this.#offered!, age_ms: age };
    const answer = await offerJob(channel, offer, { peerId, timeoutMs: timeouts.offer })
      .catch((error) => {
        // It does not speak the protocol, so it has not read the offer.
        if (error instanceof PlasmError && error.code === "no-peer" && isFirst) this.#runsNot();
        throw error;
      });
    if (answer.type === "reject") {
      // An offer before this one may still be on its way, or have been taken and lost.
      if (isFirst) this.#runsNot();
      throw PlasmError.fromJSON(answer.error);
    }
    const { job_id: jobId, secret, node_nonce: nodeNonce, need, begun } = answer;
    this.#keepsMs = answer.keeps_ms;
    const [nonce, offeredAt] = [this.#nonce, this.#offeredAt];
    this.#ticket = { peerId, jobId, secret, nodeNonce, nonce, offeredAt };
    this.report.jobId = jobId;
    this.report.sentBytes += offer.stdin_data?.length ?? 0;
    if (!begun) this.#runsNot();
    if (this.#cancelled !== undefined) this.#sayCancel(channel, this.#ticket);
    await saveTicket?.(this.#ticket);
    onProgress({ peerId, phase: "accepted", jobId });
    return { channel, need: begun ? null : need };
  }

  /** Talks to the end, over as many connections as it takes. */
  async #converse(start: Start | Disconnected): Promise<Finish> {
    let now = start;
    for (let [idle, before] = [0, ""];;) {
      if (now instanceof Disconnected) now = await this.#find(now);
      const after = this.#progress(now.need);
      idle = after === before ? idle + 1 : 0;
      before = after;
      try {
        return await this.#finish(now);
      } catch (error) {
        if (!(error instanceof Disconnected) || this.#cancelled !== undefined) throw error;
        now.channel.abort(error);
        if (idle > MAX_IDLE_CONNECTIONS) throw error;
        now = error;
      }
    }
  }

  /** What is done, as text to compare; a node that asks anew for what it had goes backwards. */
  #progress(need: Need | null): string {
    for (const { hash, offset } of need ?? []) {
      const had = this.#offsets.get(hash) ?? 0;
      if (offset < had) {
        const text = `Cannot go on: node had ${had} bytes of ${hash} and asks from ${offset}`;
        throw new PlasmError("protocol", text);
      }
      this.#offsets.set(hash, offset);
    }
    return `${this.#stage.lastId} ${[...this.#offsets.values()]}`;
  }

  /** Finds the node again after a lost connection. */
  async #find(lost: Disconnected): Promise<Start> {
    const { timeouts, signal, onProgress, retryMs } = this.#options;
    onProgress({ peerId: this.#candidate.peerId, phase: "reconnecting", reason: lost.message });
    return await reconnect(() => this.#return(), {
      forMs: timeouts.reattach,
      retryMs,
      signal,
      onFailure: () => {
        this.#channel?.abort(new Error("Given up"));
        return this.#cancelled !== undefined;
      },
    });
  }

  async #return(): Promise<Start> {
    const channel = await this.#dial();
    const start =
      await (this.#ticket === undefined
        ? this.#ask(channel, { isFirst: false })
        : this.#attach(channel, this.#ticket));
    this.report.reconnects++;
    return start;
  }

  async #attach(channel: FrameChannel, ticket: ResumeTicket): Promise<Start> {
    this.#keepsMs = 0;
    const answer = await attachToJob(channel, ticket, this.#stage.lastId);
    return { channel, need: answer.state === "transfer" ? answer.need : null };
  }

  /** Sends what is needed, then hears how the job goes. */
  async #finish({ channel, need }: Start): Promise<Finish> {
    const { timeouts, onProgress, output } = this.#options;
    const { peerId } = this.#candidate;
    const incoming = channel.read(["event", "alive", "reject"]);
    incoming.catch(() => {}); // awaited below, unless sending fails first
    if (need !== null) {
      await sendContent(channel, {
        job: this.#job,
        need,
        incoming,
        stallMs: timeouts.transfer,
        onSent: (sent, total, bytes) => {
          this.report.sentBytes += bytes;
          onProgress({ peerId, phase: "sending", sent, total });
        },
      });
      this.#mayRun();
      const { job_id, node_nonce } = ticketFields(this.#ticket!);
      await channel.write({ type: "begin", job_id, node_nonce });
    }
    const end = await receiveEvents(channel, {
      incoming,
      stage: this.#stage,
      output,
      timeouts,
      runLimitMs: this.#job.manifest.resources.timeout_seconds * 1000,
      onRan: (ran) => this.report.ran = ran,
      onProgress: (progress) => onProgress({ peerId, ...progress }),
      cancel: (reason) => this.#cancel(reason),
    });
    onProgress({ peerId, phase: "verifying" });
    const receipt = await this.#verify(end.receipt);
    if (this.#cancelled !== undefined) {
      if (receipt.status === "cancelled" && this.#stage.startedAt === undefined) {
        this.report.ran = "no";
      }
      await this.#end(channel);
      throw this.#cancelled;
    }
    await this.#end(channel);
    return { receipt, message: end.message };
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

  async #end(channel: FrameChannel): Promise<void> {
    // From here on it may be another job's.
    this.#channel = undefined;
    await acknowledgeResult(channel, this.#ticket!.jobId, { keepsMs: this.#keepsMs });
    await this.#options.saveTicket?.(undefined);
  }
}
