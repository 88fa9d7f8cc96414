/**
 * Serves the job protocol to peers: answers offers, receives content, runs jobs on the host and sends their events.
 *
 * @module
 */
import type { JobHost, RemotePolicy } from "./job_host.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import {
  type ByteStream,
  type ClientRequest,
  Disconnected,
  FrameChannel,
  JOB_VERSION,
  type MessageOf,
  readNextRequest,
  REQUESTS,
  STREAM_REUSE_MS,
} from "../wire/mod.ts";
import { ANSWER_MS, deadline } from "../../util/async/mod.ts";
import { sendEvents } from "./send_events.ts";
import type { Session } from "./session.ts";
import { SessionTable } from "./session_table.ts";

/** What the server tells its owner; the daemon logs it. */
export interface ServeEvent {
  event: "offer-accepted" | "offer-refused" | "job-attached" | "job-forgotten" | "peer-misbehaved";
  peer_id: string;
  job_id?: string | undefined;
  error_code?: string | undefined;
  reason?: string | undefined;
}

/** Options of {@linkcode JobServer}. */
export interface JobServerOptions {
  host: JobHost;
  /** Asked at every decision, so that it may change. */
  policy: () => RemotePolicy;
  /** Unix milliseconds. @default {Date.now} */
  now?: (() => number) | undefined;
  /** Milliseconds of a steady clock. @default {performance.now} */
  steadyNow?: (() => number) | undefined;
  /** Receives events. Must not throw. @default {none} */
  log?: ((event: ServeEvent) => void) | undefined;
}

/** Options of {@linkcode JobServer.serve}. */
export interface ServeOptions {
  /** Asked before each conversation but the first: whether the peer may begin another. @default {it may} */
  mayAgain?: () => boolean;
}

/** How long a client that has opened a stream may think before it says what it wants. */
const OPENING_MS = 10_000;

/** Reason for stopping the events of a job. Shared: creating an error each time costs more. */
const ENOUGH = new Error("The conversation is over");

/** How a conversation about a session begins. */
interface ConverseOptions {
  /** The last event that the client has. */
  after: number;
  /** Whether the job may run as soon as nothing is needed. @default {false} */
  mayBegin?: boolean;
  /** What is said first. */
  greet: () => MessageOf<"accept"> | MessageOf<"attached">;
}

/** Takes jobs of peers and runs them on a {@linkcode JobHost}. */
export class JobServer {
  readonly #options: JobServerOptions;
  readonly #sessions: SessionTable;

  constructor(options: JobServerOptions) {
    this.#options = options;
    this.#sessions = new SessionTable(options);
  }

  /** Sessions by phase, for metrics. */
  get counts(): SessionTable["counts"] {
    return this.#sessions.counts;
  }

  /** Bytes received from all peers, whether or not they were of use. */
  receivedBytes = 0;

  /** Serves the requests on one stream one after the other; resolves when the last has finished or failed. */
  async serve(
    stream: ByteStream,
    peerId: string,
    { mayAgain = () => true }: ServeOptions = {},
  ): Promise<void> {
    const channel = new FrameChannel(stream);
    let counted = 0;
    try {
      const timeoutMs = Math.min(OPENING_MS, this.#options.policy().transferMs);
      let opening: ClientRequest | undefined = await channel.read(REQUESTS, { timeoutMs });
      while (opening !== undefined) {
        const isKept = await this.#answer(opening, channel, peerId);
        this.receivedBytes += channel.received - counted;
        counted = channel.received;
        if (!isKept) break;
        opening = await readNextRequest(channel, mayAgain);
      }
      await deadline(channel, ANSWER_MS, channel.close());
      channel.endRead(); // whatever else it says is not kept
    } catch (error) {
      await this.#refuse(channel, { error, peerId });
    } finally {
      this.receivedBytes += channel.received - counted;
    }
  }

  /** Holds one conversation; tells whether another may follow. */
  async #answer(opening: ClientRequest, channel: FrameChannel, peerId: string): Promise<boolean> {
    if (opening.type === "offer") return await this.#onOffer(opening, channel, peerId);
    if (opening.type === "attach") await this.#onAttach(opening, channel, peerId);
    else await this.#sessions.remove(this.#sessions.find(opening), cancelled());
    return false;
  }

  async #refuse(
    channel: FrameChannel,
    { error, peerId }: { error: unknown; peerId: string },
  ): Promise<void> {
    if (error instanceof Disconnected) return channel.abort(error);
    const { code, message } = PlasmError.from(error);
    const told = code === "internal"
      // What a fault of ours says is for our log, not for a stranger.
      ? new PlasmError("internal", "Unexpected fault of the node")
      : PlasmError.from(error);
    const event = code === "protocol" || code === "slow-request"
      ? "peer-misbehaved"
      : "offer-refused";
    this.#log({ event, peer_id: peerId, error_code: code, reason: message });
    try {
      await deadline(
        channel,
        ANSWER_MS,
        channel.write({ type: "reject", error: { ...told.toJSON() } }),
      );
      await deadline(channel, ANSWER_MS, channel.close());
    } catch {
      channel.abort(new Error(message));
    }
  }

  #log(event: ServeEvent): void {
    this.#options.log?.(event);
  }

  async #onOffer(
    message: MessageOf<"offer">,
    channel: FrameChannel,
    peerId: string,
  ): Promise<boolean> {
    const { session, isRepeated } = await this.#sessions.accept(message, peerId);
    const { jobId } = session.offer;
    const event = isRepeated ? "job-attached" : "offer-accepted";
    this.#log({ event, peer_id: peerId, job_id: jobId });
    let keepsMs = 0;
    await this.#converse(session, channel, {
      after: 0,
      mayBegin: message.begin,
      greet: () => {
        // After a transfer the channel holds memory for its chunks.
        keepsMs = session.phase === "transfer" ? 0 : STREAM_REUSE_MS;
        return {
          type: "accept",
          version: JOB_VERSION,
          job_id: jobId,
          secret: session.secret,
          node_nonce: session.nonce,
          nonce: message.nonce,
          manifest_hash: message.manifest_hash,
          need: session.need,
          begun: session.phase !== "transfer",
          keeps_ms: keepsMs,
          position: session.terms.position,
          expires_in_ms: this.#options.policy().transferMs,
        };
      },
    });
    return keepsMs > 0;
  }

  async #onAttach(
    message: MessageOf<"attach">,
    channel: FrameChannel,
    peerId: string,
  ): Promise<void> {
    const session = this.#sessions.find(message);
    const { jobId, nonce } = session.offer;
    this.#log({ event: "job-attached", peer_id: peerId, job_id: jobId });
    await this.#converse(session, channel, {
      after: message.after,
      greet: () => ({
        type: "attached",
        job_id: jobId,
        nonce,
        state: session.phase === "transfer" ? "transfer" : "begun",
        need: session.need,
      }),
    });
  }

  async #converse(
    session: Session,
    channel: FrameChannel,
    { after, mayBegin = false, greet }: ConverseOptions,
  ): Promise<void> {
    const { signal, detach } = await session.attach(channel);
    try {
      if (!this.#sessions.has(session)) throw new PlasmError("not-found", "The job was given up");
      const begins = mayBegin && session.phase === "transfer" && session.need.length === 0;
      if (begins) session.phase = "begun";
      const greeting = deadline(channel, ANSWER_MS, channel.write(greet()));
      greeting.catch(() => {}); // awaited below, unless the job is not taken
      if (begins) await this.#options.host.submit(session.offer);
      await greeting;
      if (session.phase === "transfer") await this.#receive(session, channel);
      if (await this.#follow(session, channel, { after, signal })) {
        // The request has finished normally: nothing must be reset.
        await this.#forget(session, "its result was taken", { detached: detach })
          .catch((error) => this.#failed(session, error));
      }
    } catch (error) {
      // A broken connection may come back; what was wrong stays wrong.
      if (!(error instanceof Disconnected)) {
        const { message } = PlasmError.from(error);
        await this.#forget(session, message, { detached: detach });
      }
      throw error;
    } finally {
      detach();
      this.#expire(session);
    }
  }

  /** Takes content until the client says that it is all. */
  async #receive(session: Session, channel: FrameChannel): Promise<void> {
    const { transferMs } = this.#options.policy();
    const slow = (error: unknown): never => {
      if (!(error instanceof PlasmError) || error.code !== "peer-timeout") throw error;
      throw new PlasmError(
        "slow-request",
        `Cannot wait for job's content: nothing came in ${transferMs} ms`,
        { details: { waited_ms: transferMs } },
      );
    };
    while (session.phase === "transfer") {
      session.pace.check(transferMs);
      const message = await channel.read(["chunk", "begin", "cancel"], { timeoutMs: transferMs })
        .catch(slow);
      if (message.type === "chunk") await session.take(message);
      else if (message.type === "cancel") throw cancelled();
      else await this.#begin(session, message);
    }
  }

  async #begin(session: Session, message: MessageOf<"begin">): Promise<void> {
    if (message.job_id !== session.offer.jobId || message.node_nonce !== session.nonce) {
      throw new PlasmError("protocol", "Cannot begin job: begin names another acceptance");
    }
    const [lacking] = session.need;
    if (lacking !== undefined) {
      throw new PlasmError(
        "protocol",
        `Cannot begin job: ${lacking.hash} is here to byte ${lacking.offset} only`,
        { details: { hash: lacking.hash, offset: lacking.offset } },
      );
    }
    session.phase = "begun";
    await this.#options.host.submit(session.offer);
  }

  /** Sends events and hears the client; tells whether the result was taken. */
  async #follow(
    session: Session,
    channel: FrameChannel,
    { after, signal }: { after: number; signal: AbortSignal },
  ): Promise<boolean> {
    const { host } = this.#options;
    const { jobId } = session.offer;
    const { orphanMs, resultMs } = this.#options.policy();
    const stop = new AbortController();
    const either = AbortSignal.any([signal, stop.signal]);
    // A client that has come back over another connection does not read this one any more.
    signal.addEventListener("abort", () => channel.abort(new Error("Replaced")));
    const sending = sendEvents(channel, {
      events: host.events(jobId, after, either),
      signal: either,
      stallMs: orphanMs,
      onOver: () => session.phase = "over",
    });
    sending.catch(() => stop.abort(ENOUGH));
    const hear = async (): Promise<boolean> => {
      while (true) {
        const heard = await channel.read(["cancel", "taken"]);
        if (heard.type === "cancel") await host.cancel(jobId);
        else if (heard.job_id === jobId) return true;
        else throw new PlasmError("protocol", "Cannot forget job: taken names another");
      }
    };
    const hearing = hear();
    hearing.catch(() => {}); // awaited below, unless sending fails first
    try {
      await Promise.race([sending, hearing]);
      return await deadline(channel, resultMs, hearing);
    } finally {
      stop.abort(ENOUGH);
      await sending.catch(() => {}); // it fails as hearing does, or was told to stop
    }
  }

  /** Schedules the end of a session without a client. */
  #expire(session: Session): void {
    if (!this.#sessions.has(session)) return;
    const { transferMs, orphanMs, resultMs } = this.#options.policy();
    const [ms, why] = {
      transfer: [transferMs, "its client did not come back to send the rest"],
      begun: [orphanMs, "its client did not come back"],
      over: [resultMs, "its result was not taken"],
    }[session.phase] as [number, string];
    session.after(ms, () => void this.#forget(session, why));
  }

  async #forget(
    session: Session,
    reason: string,
    { detached }: { detached?: () => void } = {},
  ): Promise<void> {
    const { jobId, peerId } = session.offer;
    this.#log({ event: "job-forgotten", peer_id: peerId, job_id: jobId, reason });
    detached?.();
    await this.#sessions.remove(session, new Error(reason));
  }

  /** A job was taken and could not be forgotten: what its client says next has nothing to do with it. */
  #failed({ offer: { jobId, peerId } }: Session, error: unknown): never {
    const { code, message } = PlasmError.from(error);
    const event = "job-forgotten";
    this.#log({ event, peer_id: peerId, job_id: jobId, error_code: code, reason: message });
    throw new Disconnected("The job could not be forgotten", { cause: error });
  }

  /** Stops all jobs of peers. */
  async close(): Promise<void> {
    await this.#sessions.close();
  }
}

function cancelled(): PlasmError {
  return new PlasmError("interrupted", "The client cancelled the job");
}
