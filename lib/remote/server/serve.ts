/**
 * Serves the job protocol to peers: answers offers, receives content, runs jobs on the host and sends their events.
 *
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import {
  ALIVE_MS,
  type ByteStream,
  Disconnected,
  DOCUMENT_VERSION,
  EVENT_DATA_BYTES,
  type EventBody,
  FrameChannel,
  type MessageOf,
  STREAM_REUSE_MS,
} from "../wire/mod.ts";
import type { HostEvent, JobHost, RemotePolicy } from "./job_host.ts";
import { type Session, SessionTable } from "./sessions.ts";

/** Log event of a {@linkcode JobServer}. */
export interface ServeEvent {
  /** What happened. */
  event: "offer-accepted" | "offer-refused" | "job-attached" | "job-deleted" | "peer-misbehaved";
  /** Peer id of the client. */
  peer_id: string;
  /** Id of the job, if there is one. */
  job_id?: string | undefined;
  /** Error code; absent on success. */
  error_code?: string | undefined;
  /** Error message, or why the job was deleted. */
  reason?: string | undefined;
}

/** Options of {@linkcode JobServer}. */
export interface JobServerOptions {
  /** Runs the jobs. */
  host: JobHost;
  /** Current policy, read at every decision. */
  policy: () => RemotePolicy;
  /** Unix milliseconds. @default {Date.now} */
  now?: (() => number) | undefined;
  /** Monotonic clock, in milliseconds. @default {performance.now} */
  steadyNow?: (() => number) | undefined;
  /** Receives log events. Must not throw. @default {none} */
  log?: ((event: ServeEvent) => void) | undefined;
  /** Interval of keep-alive messages, in milliseconds. @default {2500} */
  aliveMs?: number | undefined;
}

/** Options of {@linkcode JobServer.serve}. */
export interface ServeOptions {
  /** Counts each request after the first against the peer's rate limit; false rejects it. @default {accepts all} */
  takeRequest?: () => boolean;
}

/** Messages that open a request. */
const REQUESTS = ["offer", "attach", "cancel"] as const;

type ClientRequest = MessageOf<(typeof REQUESTS)[number]>;

/** Time limit for the first request on a stream, in milliseconds. */
const FIRST_REQUEST_MS = 10_000;

/** Retry-After of a peer that exceeds its rate limit, in milliseconds. */
const RETRY_AFTER_MS = 1000;

/** Reason for stopping the events of a job. Shared, because creating an error for each request is expensive. */
const REQUEST_ENDED = new Error("The request has ended");

/** Options of a request for a session. */
interface RunSessionOptions {
  /** Last event that the client has. */
  after: number;
  /** Whether the job may start as soon as nothing is needed. @default {false} */
  mayBegin?: boolean;
  /** Creates the answer to the request. */
  answer: () => MessageOf<"accept"> | MessageOf<"attached">;
}

/** Accepts jobs of peers and runs them on a {@linkcode JobHost}. */
export class JobServer {
  readonly #options: JobServerOptions;
  readonly #sessions: SessionTable;

  constructor(options: JobServerOptions) {
    this.#options = options;
    this.#sessions = new SessionTable(options);
  }

  /** Number of sessions by phase, for metrics. */
  get counts(): SessionTable["counts"] {
    return this.#sessions.counts;
  }

  /** Bytes received from all peers, valid or not. */
  receivedBytes = 0;

  /** Serves the requests on one stream in sequence; resolves when the last has finished or failed. */
  async serve(
    stream: ByteStream,
    peerId: string,
    { takeRequest = () => true }: ServeOptions = {},
  ): Promise<void> {
    const channel = new FrameChannel(stream);
    let counted = 0;
    try {
      const timeoutMs = Math.min(FIRST_REQUEST_MS, this.#options.policy().transferMs);
      let request: ClientRequest | undefined = await channel.read(REQUESTS, { timeoutMs });
      while (request !== undefined) {
        const isReusable = await this.#handle(request, channel, peerId);
        this.receivedBytes += channel.received - counted;
        counted = channel.received;
        if (!isReusable) break;
        request = await readNextRequest(channel, takeRequest);
      }
      await channel.limit(channel.close());
      channel.endRead();
    } catch (error) {
      await this.#reject(channel, { error, peerId });
    } finally {
      this.receivedBytes += channel.received - counted;
    }
  }

  /** Handles one request; returns whether another one may follow. */
  async #handle(request: ClientRequest, channel: FrameChannel, peerId: string): Promise<boolean> {
    if (request.type === "offer") return await this.#onOffer(request, channel, peerId);
    if (request.type === "attach") await this.#onAttach(request, channel, peerId);
    else await this.#sessions.remove(this.#sessions.find(request), cancelled());
    return false;
  }

  async #reject(
    channel: FrameChannel,
    { error, peerId }: { error: unknown; peerId: string },
  ): Promise<void> {
    if (error instanceof Disconnected) return channel.abort(error);
    const { code, message } = PlasmError.from(error);
    const answer = code === "internal"
      // Details of internal faults go to the log, not to the peer.
      ? new PlasmError("internal", "Unexpected fault of the node")
      : PlasmError.from(error);
    const event = code === "protocol" || code === "slow-request"
      ? "peer-misbehaved"
      : "offer-refused";
    this.#log({ event, peer_id: peerId, error_code: code, reason: message });
    try {
      await channel.limit(channel.write({ type: "reject", error: { ...answer.toJSON() } }));
      await channel.limit(channel.close());
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
    let reuseMs = 0;
    await this.#runSession(session, channel, {
      after: 0,
      mayBegin: message.begin,
      answer: () => {
        // After a transfer the channel holds memory for its chunks.
        reuseMs = session.phase === "transfer" ? 0 : STREAM_REUSE_MS;
        return {
          type: "accept",
          version: DOCUMENT_VERSION,
          job_id: jobId,
          secret: session.secret,
          node_nonce: session.nonce,
          nonce: message.nonce,
          manifest_hash: message.manifest_hash,
          need: session.need,
          begun: session.phase !== "transfer",
          keeps_ms: reuseMs,
          position: session.terms.position,
          expires_in_ms: this.#options.policy().transferMs,
        };
      },
    });
    return reuseMs > 0;
  }

  async #onAttach(
    message: MessageOf<"attach">,
    channel: FrameChannel,
    peerId: string,
  ): Promise<void> {
    const session = this.#sessions.find(message);
    const { jobId, nonce } = session.offer;
    this.#log({ event: "job-attached", peer_id: peerId, job_id: jobId });
    await this.#runSession(session, channel, {
      after: message.after,
      answer: () => ({
        type: "attached",
        job_id: jobId,
        nonce,
        state: session.phase === "transfer" ? "transfer" : "begun",
        need: session.need,
      }),
    });
  }

  async #runSession(
    session: Session,
    channel: FrameChannel,
    { after, mayBegin = false, answer }: RunSessionOptions,
  ): Promise<void> {
    const { signal, detach } = await session.attach(channel);
    try {
      if (!this.#sessions.has(session)) throw new PlasmError("not-found", "The job was deleted");
      const begins = mayBegin && session.phase === "transfer" && session.need.length === 0;
      if (begins) session.phase = "begun";
      const answering = channel.limit(channel.write(answer()));
      answering.catch(() => {}); // awaited below, unless submit() throws
      if (begins) await this.#options.host.submit(session.offer);
      await answering;
      if (session.phase === "transfer") await this.#receive(session, channel);
      if (await this.#follow(session, channel, { after, signal })) {
        // The request has finished normally: nothing must be reset.
        await this.#delete(session, "its result was acknowledged", { detach })
          .catch((error) => this.#deleteFailed(session, error));
      }
    } catch (error) {
      // The client can resume after a lost connection, but not after an error.
      if (!(error instanceof Disconnected)) {
        const { message } = PlasmError.from(error);
        await this.#delete(session, message, { detach });
      }
      throw error;
    } finally {
      detach();
      this.#expire(session);
    }
  }

  /** Receives content until the client sends `begin`, and sends keep-alive messages meanwhile. */
  async #receive(session: Session, channel: FrameChannel): Promise<void> {
    using _keepAlive = sendKeepAlives(channel, this.#options.aliveMs);
    const { transferMs } = this.#options.policy();
    const tooSlow = (error: unknown): never => {
      if (!(error instanceof PlasmError) || error.code !== "peer-timeout") throw error;
      throw new PlasmError(
        "slow-request",
        `Transfer is too slow: nothing received within ${transferMs} ms`,
        { details: { waited_ms: transferMs } },
      );
    };
    while (session.phase === "transfer") {
      session.rate.check(transferMs);
      const message = await channel.read(["chunk", "begin", "cancel"], { timeoutMs: transferMs })
        .catch(tooSlow);
      if (message.type === "chunk") await session.receive(message);
      else if (message.type === "cancel") throw cancelled();
      else await this.#begin(session, message);
    }
  }

  async #begin(session: Session, message: MessageOf<"begin">): Promise<void> {
    if (message.job_id !== session.offer.jobId || message.node_nonce !== session.nonce) {
      throw new PlasmError("protocol", "Cannot begin job: begin names another acceptance");
    }
    const [missing] = session.need;
    if (missing !== undefined) {
      throw new PlasmError(
        "protocol",
        `Cannot begin job: ${missing.hash} is incomplete, received ${missing.offset} bytes`,
        { details: { hash: missing.hash, offset: missing.offset } },
      );
    }
    session.phase = "begun";
    await this.#options.host.submit(session.offer);
  }

  /** Sends events and reads messages of the client; returns true once the client has acknowledged the result. */
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
    // The client has reconnected and does not read this connection any more.
    signal.addEventListener("abort", () => channel.abort(new Error("Replaced")));
    const sending = sendEvents(channel, {
      events: host.events(jobId, after, either),
      signal: either,
      stallMs: orphanMs,
      aliveMs: this.#options.aliveMs,
      onLast: () => session.phase = "over",
    });
    sending.catch(() => stop.abort(REQUEST_ENDED));
    const readAcknowledgement = async (): Promise<boolean> => {
      while (true) {
        const message = await channel.read(["cancel", "taken"]);
        if (message.type === "cancel") await host.cancel(jobId);
        else if (message.job_id === jobId) return true;
        else throw new PlasmError("protocol", "Cannot delete job: taken names another job");
      }
    };
    const acknowledged = readAcknowledgement();
    acknowledged.catch(() => {}); // awaited below, unless sending fails first
    try {
      await Promise.race([sending, acknowledged]);
      return await channel.limit(acknowledged, { ms: resultMs });
    } finally {
      stop.abort(REQUEST_ENDED);
      await sending.catch(() => {}); // fails as reading does, or was stopped
    }
  }

  /** Schedules the deletion of a session whose client does not reconnect. */
  #expire(session: Session): void {
    if (!this.#sessions.has(session)) return;
    const { transferMs, orphanMs, resultMs } = this.#options.policy();
    const [ms, reason] = {
      transfer: [transferMs, "its client did not resume the transfer"],
      begun: [orphanMs, "its client did not reconnect"],
      over: [resultMs, "its result was not acknowledged"],
    }[session.phase] as [number, string];
    session.expireAfter(ms, () => void this.#delete(session, reason));
  }

  async #delete(
    session: Session,
    reason: string,
    { detach }: { detach?: () => void } = {},
  ): Promise<void> {
    const { jobId, peerId } = session.offer;
    this.#log({ event: "job-deleted", peer_id: peerId, job_id: jobId, reason });
    detach?.();
    await this.#sessions.remove(session, new Error(reason));
  }

  /**
   * Logs that an acknowledged job could not be deleted. Closes the stream without a `reject`, which would refer to
   * the next request.
   */
  #deleteFailed({ offer: { jobId, peerId } }: Session, error: unknown): never {
    const { code, message } = PlasmError.from(error);
    const event = "job-deleted";
    this.#log({ event, peer_id: peerId, job_id: jobId, error_code: code, reason: message });
    throw new Disconnected("The job could not be deleted", { cause: error });
  }

  /** Stops and deletes all jobs of peers. */
  async close(): Promise<void> {
    await this.#sessions.close();
  }
}

function cancelled(): PlasmError {
  return new PlasmError("interrupted", "The client cancelled the job");
}

/**
 * Waits for the client's next request on a stream.
 *
 * @returns `undefined` if there is none in time or the client has disconnected
 * @throws {PlasmError} `protocol`; `busy` if the peer exceeds its rate limit
 */
async function readNextRequest(
  channel: FrameChannel,
  takeRequest: () => boolean,
): Promise<ClientRequest | undefined> {
  let request: ClientRequest;
  try {
    request = await channel.read(REQUESTS, { timeoutMs: STREAM_REUSE_MS });
  } catch (error) {
    if (error instanceof Disconnected) return undefined;
    if (error instanceof PlasmError && error.code === "peer-timeout") return undefined;
    throw error;
  }
  if (takeRequest()) return request;
  throw new PlasmError("busy", "Cannot accept job: too many requests per second", {
    retryAfterMs: RETRY_AFTER_MS,
  });
}

/** Sends keep-alive messages until disposal. */
function sendKeepAlives(channel: FrameChannel, intervalMs: number = ALIVE_MS): Disposable {
  let isWriting = false;
  const timer = setInterval(() => {
    if (isWriting) return;
    // If the keep-alive cannot be sent, the connection has failed; the next event fails the same way.
    isWriting = true;
    channel.write({ type: "alive" }).then(() => isWriting = false, () => {});
  }, intervalMs);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

/** Options of {@linkcode sendEvents}. */
export interface SendEventsOptions {
  /** Events of the job; each batch is sent in as few writes as possible. */
  events: AsyncIterable<readonly HostEvent[]>;
  /** Stops sending. */
  signal: AbortSignal;
  /** Longest time that the client may block a write, in milliseconds. */
  stallMs: number;
  /** Interval of keep-alive messages, in milliseconds. @default {2500} */
  aliveMs?: number | undefined;
  /** Called before the last event of the job is sent. */
  onLast: () => void;
}

/**
 * Sends the events of a job up to the last, and keep-alive messages in between. Small events of a batch share a
 * write; output waits until the output before it is written, so that a slow client costs no memory.
 *
 * @throws {Disconnected} if the connection is lost
 */
export async function sendEvents(
  channel: FrameChannel,
  { events, signal, stallMs, aliveMs, onLast }: SendEventsOptions,
): Promise<void> {
  using keepAlive = sendKeepAlives(channel, aliveMs);
  let lastId = 0;
  for await (const batch of events) {
    let writes: Promise<void>[] = [];
    let bytes = 0;
    for (const event of batch) {
      if (signal.aborted) return;
      const bodies = bodiesOf(event);
      if (isLast(event)) {
        // Messages after the last event belong to the next request.
        keepAlive[Symbol.dispose]();
        onLast();
      }
      for (const [at, body] of bodies.entries()) {
        // A client that has only a part of an event requests all of it again.
        const id = at === bodies.length - 1 ? event.id : lastId;
        const written = channel.write({ type: "event", id, at: event.at, body });
        written.catch(() => {}); // awaited below, unless the loop ends before
        writes.push(written);
        bytes += "data" in body ? body.data.length : 0;
        if (bytes < EVENT_DATA_BYTES) continue;
        await channel.limit(Promise.all(writes), { ms: stallMs });
        [writes, bytes] = [[], 0];
      }
      lastId = event.id;
    }
    await channel.limit(Promise.all(writes), { ms: stallMs });
  }
}

function isLast(event: HostEvent): boolean {
  const { type } = event;
  return type === "finished" || type === "failed" || (type === "interrupted" && !event.rerun);
}

/** Message bodies of an event; long output is split. */
function bodiesOf(event: HostEvent): EventBody[] {
  switch (event.type) {
    case "queued":
      return [{ event: "queued", position: event.position }];
    case "started":
      return [{ event: "started", attempt: event.attempt }];
    case "interrupted":
      return [{ event: "interrupted", rerun: event.rerun }];
    case "finished":
      return [{
        event: "finished",
        receipt: { ...event.receipt },
        message: event.message?.slice(0, 1000) ?? null,
        stack: [...event.stack],
        left_behind: event.leftBehind ?? null,
      }];
    case "failed":
      return [{ event: "failed", error: { ...event.error } }];
    case "stdout":
    case "stderr":
    case "files": {
      const { type, offset, data } = event;
      const bodies: EventBody[] = [];
      for (let at = 0; at < data.length; at += EVENT_DATA_BYTES) {
        const part = data.subarray(at, at + EVENT_DATA_BYTES);
        bodies.push({ event: type, offset: offset + at, data: part });
      }
      return bodies;
    }
  }
}
