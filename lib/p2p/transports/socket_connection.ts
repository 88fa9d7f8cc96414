/**
 * Sockets as libp2p connections: message streams with backpressure in both directions.
 *
 * @module
 */
import {
  AbstractMultiaddrConnection,
  type AbstractMultiaddrConnectionInit,
  type SendResult,
} from "@libp2p/utils";
import type { AbortOptions } from "@libp2p/interface";

/** Iterable bytes; libp2p's Uint8ArrayList, whose package is not ours to import. */
type ByteList = Parameters<AbstractMultiaddrConnection["sendData"]>[0];

/** Bytes queued before backpressure is applied: two Yamux windows of a fast stream. */
const HIGH_WATER_BYTES = 512 * 1024;
/**
 * Small writes (a Yamux header is 12 bytes, a tag of Noise 16) are joined up to this before they reach the
 * socket: a chunk of content, which is two messages of Noise, in one.
 */
const JOIN_BYTES = 132 * 1024;
/** Above this they are joined in memory that is used again: new memory costs ten times as much as to copy. */
const REUSE_ABOVE_BYTES = 8 * 1024;
/** What the last large join of any connection was made in, unless one uses it. */
let spare: Uint8Array | undefined;
/** How long a closing side waits for the other to have read everything. */
const LINGER_MS = 1_000;

/** What a {@linkcode SocketConnection} is made of. */
export interface SocketConnectionInit extends AbstractMultiaddrConnectionInit {
  pipe: BytePipe;
}

/** A libp2p connection over a {@linkcode BytePipe}. */
export class SocketConnection extends AbstractMultiaddrConnection {
  #pipe: BytePipe;
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #joined: Uint8Array | undefined;
  #writing = false;
  #reading = false;
  #finishing = false;
  #drained: PromiseWithResolvers<void> | undefined;
  #ended = Promise.withResolvers<void>();

  constructor(init: SocketConnectionInit) {
    super(init);
    this.#pipe = init.pipe;
    void this.#readAll();
  }

  /** Takes all bytes; says stop once too many wait for the socket. */
  sendData(data: ByteList): SendResult {
    for (const chunk of data) this.#queue.push(chunk);
    this.#queuedBytes += data.byteLength;
    const sentBytes = data.byteLength;
    void this.#writeAll();
    return { sentBytes, canSendMore: this.#queuedBytes < HIGH_WATER_BYTES };
  }

  /**
   * Ends writing once everything is written, then waits a moment for the other side's end: to
   * close a socket with unread bytes would reset it and could cost the other side its last bytes.
   */
  async sendClose(options: AbortOptions = {}): Promise<void> {
    const signal = linger(options.signal);
    try {
      if (this.#writing) {
        this.#drained ??= Promise.withResolvers();
        await orAborted(this.#drained.promise, signal);
      }
      this.#finishing = true;
      await orAborted(this.#pipe.finish(), signal);
      void this.#readAll();
      await orAborted(this.#ended.promise, signal);
    } catch {
      // Out of patience, or the other side is gone: either way the end is the same.
    } finally {
      this.#pipe.destroy();
    }
  }

  sendReset(): void {
    this.#pipe.destroy();
  }

  /** The read loop sees the status; the socket's own window then fills up. */
  sendPause(): void {}

  sendResume(): void {
    void this.#readAll();
  }

  async #readAll(): Promise<void> {
    if (this.#reading) return;
    this.#reading = true;
    try {
      while (this.readStatus !== "paused" || this.status !== "open") {
        const chunk = await this.#pipe.read();
        if (chunk === null) {
          this.#onEnd();
          return;
        }
        this.onData(chunk);
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#reading = false;
    }
  }

  async #writeAll(): Promise<void> {
    if (this.#writing) return;
    this.#writing = true;
    try {
      // A large write of the muxer is several messages of Noise. Small ones have waited for each other there.
      await null;
      while (this.#queue.length > 0) {
        const batch = this.#nextBatch();
        await this.#pipe.write(batch);
        spare = this.#joined ?? spare;
        this.#joined = undefined;
        this.#queuedBytes -= batch.byteLength;
        if (this.#queuedBytes === 0 && this.writableNeedsDrain) this.safeDispatchEvent("drain");
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#writing = false;
      this.#drained?.resolve();
    }
  }

  #nextBatch(): Uint8Array {
    let count = 0;
    let bytes = 0;
    for (const chunk of this.#queue) {
      if (count > 0 && bytes + chunk.byteLength > JOIN_BYTES) break;
      bytes += chunk.byteLength;
      count++;
    }
    const chunks = this.#queue.splice(0, count);
    if (chunks.length === 1) return chunks[0]!;
    const batch = this.#space(bytes);
    let offset = 0;
    for (const chunk of chunks) {
      batch.set(chunk, offset);
      offset += chunk.byteLength;
    }
    return batch;
  }

  /** Memory to join in: this connection's alone until it is written. */
  #space(bytes: number): Uint8Array {
    if (bytes <= REUSE_ABOVE_BYTES) return new Uint8Array(bytes);
    this.#joined = spare ?? new Uint8Array(JOIN_BYTES);
    spare = undefined;
    return this.#joined.subarray(0, bytes);
  }

  /** libp2p never half-closes a whole connection: the other side's end is the connection's. */
  #onEnd(): void {
    this.#ended.resolve();
    if (this.status !== "open") return;
    this.onTransportClosed();
    void this.sendClose();
  }

  #fail(error: unknown): void {
    this.#ended.resolve();
    this.#queue = [];
    this.#queuedBytes = 0;
    // Everything of ours is written: whether the other side ends or resets now is the same to us.
    if (this.#finishing) return;
    this.#pipe.destroy();
    if (this.status !== "open" && this.status !== "closing") return;
    if (isReset(error)) this.onRemoteReset();
    else this.abort(error instanceof Error ? error : new Error(String(error)));
  }
}

function linger(signal: AbortSignal | undefined): AbortSignal {
  const limit = AbortSignal.timeout(LINGER_MS);
  return signal === undefined ? limit : AbortSignal.any([signal, limit]);
}

function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason);
  if (signal.aborted) onAbort();
  else signal.addEventListener("abort", onAbort, { once: true });
  return Promise.race([promise, aborted.promise]).finally(() =>
    signal.removeEventListener("abort", onAbort)
  );
}

/** A duplex of bytes over one socket. Never read or written twice at the same time. */
export interface BytePipe {
  /** The next bytes, null once the other side has ended its writing. Each result is a new buffer. */
  read(): Promise<Uint8Array | null>;
  /** Resolves when the transport has taken all bytes. */
  write(data: Uint8Array): Promise<void>;
  /** Ends writing after what was written; the other side reads to the end. */
  finish(): Promise<void>;
  /** Releases the socket. What is under way fails. May be called again. */
  destroy(): void;
}

/** A socket that someone opened to us. */
export interface AcceptedPipe {
  pipe: BytePipe;
  remote: Deno.NetAddr;
}

/** A bound socket. */
export interface PipeServer {
  /** Where it is bound, the port filled in. */
  readonly address: Deno.NetAddr;
  /**
   * Takes connections until {@linkcode PipeServer.close}. The handler is called for each; a
   * connection that fails before it is whole is dropped silently.
   */
  accept(handler: (accepted: AcceptedPipe) => void): Promise<void>;
  /** Stops accepting. What was accepted lives on. May be called again. */
  close(): void;
}

/** Whether an error says that the other side tore the connection down. */
export function isReset(error: unknown): boolean {
  return error instanceof Deno.errors.ConnectionReset ||
    error instanceof Deno.errors.BrokenPipe ||
    error instanceof Deno.errors.ConnectionAborted;
}
