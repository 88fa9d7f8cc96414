/**
 * Binds the job protocol to a libp2p network: adapts streams, serves jobs and finds candidates.
 *
 * @module
 */
import type { Stream } from "@libp2p/interface";
import type { Resources } from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import type { Candidate, DiscoverCriteria, PlasmNetwork } from "../../p2p/mod.ts";
import { MAX_STREAM_WINDOW_BYTES } from "../../p2p/dialer/mod.ts";
import { wasiVersionOf } from "../../sandbox/mod.ts";
import type { BlobSource, RemoteCandidate } from "../client/mod.ts";
import type { JobServer } from "../server/mod.ts";
import { type ByteStream, Disconnected, JOB_PROTOCOL } from "../wire/mod.ts";

/** Byte stream that can carry another request. */
export interface ReusableByteStream extends ByteStream {
  /** Resolves when the peer has closed its side or the connection is lost. */
  readonly ended: Promise<void>;
  /** Reports whether both sides can still write and no received bytes are unread. */
  isQuiet(): boolean;
}

/** Unread bytes that trigger backpressure. */
const HIGH_WATER_BYTES = 256 * 1024;

/**
 * Bytes that libp2p buffers for a paused stream; more reset it. A pause takes effect once the muxer's window is
 * full, and one frame may exceed the window.
 */
const PAUSED_BYTES: number = MAX_STREAM_WINDOW_BYTES + 2 ** 20;

/** Adapts a libp2p stream to a byte stream. */
export function byteStreamOf(stream: Stream): ReusableByteStream {
  const queue: Uint8Array[] = [];
  let queued = 0;
  let ended = false;
  let fault: Error | undefined;
  let wake: (() => void) | undefined;
  const end = Promise.withResolvers<void>();
  stream.maxReadBufferLength = PAUSED_BYTES;

  const wakeReader = (): void => {
    wake?.();
    wake = undefined;
  };
  let resuming = false;
  const setFlowing = (flowing: boolean): void => {
    // Both methods throw then. Creating the error is expensive, and every stream gets here when it ends.
    if (stream.readStatus === "closed" || stream.readStatus === "closing") return;
    try {
      if (!flowing) return stream.pause();
      resuming = true;
      stream.resume();
    } catch {
      // The stream has closed in the meantime.
    } finally {
      resuming = false;
    }
    // Resuming delivers all buffered bytes, possibly too many again.
    if (flowing && !ended && queued > HIGH_WATER_BYTES) setFlowing(false);
  };
  stream.addEventListener("message", ({ data }) => {
    if (ended) return;
    // Joining the pieces would cost memory and time, and most readers do not need it.
    for (const piece of data instanceof Uint8Array ? [data] : data) queue.push(piece);
    queued += data.byteLength;
    // Pausing while libp2p resumes would pause only the stream; the muxer would then fill the stream's buffer.
    if (queued > HIGH_WATER_BYTES && !resuming) setFlowing(false);
    wakeReader();
  });
  stream.addEventListener("remoteCloseWrite", () => {
    setFlowing(true);
    ended = true;
    end.resolve();
    wakeReader();
  });
  stream.addEventListener("close", ({ error }) => {
    // Deliver what was received before the end.
    setFlowing(true);
    if (!ended && error !== undefined) fault ??= new Disconnected(error.message, { cause: error });
    ended = true;
    end.resolve();
    wakeReader();
  });
  const isClosed = (): boolean => stream.status !== "open" && stream.status !== "closing";

  return {
    ended: end.promise,
    isQuiet: () => !ended && queue.length === 0 && stream.status === "open",
    async read() {
      while (true) {
        const bytes = queue.shift();
        if (bytes !== undefined) {
          queued -= bytes.length;
          if (queued <= HIGH_WATER_BYTES / 2) setFlowing(true);
          return bytes;
        }
        if (ended || isClosed()) {
          if (fault !== undefined) throw fault;
          return null;
        }
        await new Promise<void>((resolve) => wake = resolve);
      }
    },
    async write(bytes) {
      try {
        stream.send(bytes);
        // Wait until libp2p has encrypted the bytes: they may change afterwards, and the muxer's window stays the
        // only buffer. A stream that was reset reports forever that it needs draining; its end is reported once.
        while (!isClosed() && (stream.writeBufferLength > 0 || stream.writableNeedsDrain)) {
          await drained(stream);
        }
      } catch (error) {
        throw fault ?? new Disconnected("The connection is closed", { cause: error });
      }
      if (isClosed()) throw fault ?? new Disconnected("The connection is closed");
    },
    async close() {
      await stream.close().catch(() => {}); // already closed with its connection
    },
    abort(reason) {
      fault ??= new Disconnected(reason.message, { cause: reason });
      ended = true;
      queue.length = 0;
      stream.abort(reason);
      wakeReader();
    },
    endRead() {
      ended = true;
      wakeReader();
    },
  };
}

function drained(stream: Stream): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (event: Event): void => {
      for (const name of ["drain", "idle", "close"] as const) {
        stream.removeEventListener(name, settle);
      }
      if (event.type === "close") reject(new Error("The stream closed"));
      else resolve();
    };
    for (const name of ["drain", "idle", "close"] as const) stream.addEventListener(name, settle);
  });
}

/**
 * Streams of one connection: sixteen for jobs, which have a limit of their own, and a few that wait for the next
 * request.
 */
const MAX_STREAMS = 20;

/**
 * Requests of one peer per second, sustained and in a burst: as many small jobs as a node can run one after the
 * other. Refusing one takes less than a millisecond.
 */
const REQUESTS_PER_SECOND = 500;

/** Time limit for a search for nodes, in milliseconds. */
const FIND_MS = 20_000;

/** Candidates to find for each attempt: some are offline or busy when they are asked. */
const CANDIDATES_PER_ATTEMPT = 3;

/** Starts serving jobs to peers. */
export async function serveJobs(network: PlasmNetwork, server: JobServer): Promise<void> {
  await network.handle(
    JOB_PROTOCOL,
    (stream, { peerId, takeRequest }) =>
      server.serve(byteStreamOf(stream), peerId, { takeRequest }),
    { maxStreams: MAX_STREAMS, burst: REQUESTS_PER_SECOND, perSecond: REQUESTS_PER_SECOND },
  );
}

/** Length of a module's header, which tells a component from a core module, in bytes. */
const HEADER_BYTES = 8;

/** Options of {@linkcode findCandidates}. */
export interface FindCandidatesOptions {
  /** Asks only this node: a peer id, or a multiaddr that ends with one. @default {all nodes that match} */
  peer?: string | undefined;
  /** Resources that the job asks for. */
  resources: Resources;
  /** The job's module; its header decides which version of WASI the node needs. */
  module: Pick<BlobSource, "read">;
  /** CPU architecture. @default {any} */
  arch?: string | undefined;
  /** Minimum memory limit of the node, in MiB. @default {what the job asks for} */
  minMemoryMb?: number | undefined;
  /** Maximum number of attempts. @default {3} */
  attempts?: number | undefined;
  /** Age up to which an earlier answer of a node spares a search, in milliseconds. @default {0} */
  maxAgeMs?: number | undefined;
  /** Aborts the search. @default {never} */
  signal?: AbortSignal | undefined;
}

/** Criteria for the nodes that can run a job. */
export async function jobCriteria(
  { resources, module, arch, minMemoryMb = 0 }: Pick<
    FindCandidatesOptions,
    "resources" | "module" | "arch" | "minMemoryMb"
  >,
): Promise<DiscoverCriteria> {
  return {
    wasi: wasiVersionOf(await module.read(0, HEADER_BYTES)),
    arch,
    minMemoryMb: Math.max(resources.memory_mb, minMemoryMb),
    minTimeoutSeconds: resources.timeout_seconds,
    minCores: resources.cpu_cores,
  };
}

/** Options of {@linkcode askNamedNode}. */
export interface AskNamedNodeOptions extends Pick<FindCandidatesOptions, "module"> {
  /** Asks the node for its capabilities. */
  query: () => Promise<Pick<Candidate, "peerId" | "capability">>;
}

/**
 * Asks the node that a job names.
 *
 * @throws {PlasmError} `policy` if the node does not run the module's version of WASI; as `query`
 */
export async function askNamedNode(
  { query, module }: AskNamedNodeOptions,
): Promise<RemoteCandidate> {
  const wasi = wasiVersionOf(await module.read(0, HEADER_BYTES));
  const found = await query();
  const { capability } = found;
  if (!capability.wasi.includes(wasi)) throw lacksWasi(wasi, capability.wasi);
  return remoteCandidate(found);
}

/**
 * Searches for nodes that can run a job, or asks the given one.
 *
 * @throws {PlasmError} `policy` if the given node does not run the module's version of WASI
 */
export async function* findCandidates(
  network: PlasmNetwork,
  options: FindCandidatesOptions,
): AsyncGenerator<RemoteCandidate> {
  const { peer, module, attempts = 3, maxAgeMs = 0, signal } = options;
  if (peer !== undefined) {
    // The network remembers the address of a multiaddr for the dial that follows.
    const query = () => network.queryPeer(peer, signal === undefined ? {} : { signal });
    yield await askNamedNode({ query, module });
    return;
  }
  const criteria = await jobCriteria(options);
  const limit = CANDIDATES_PER_ATTEMPT * attempts;
  const recent = maxAgeMs > 0 ? network.recentCandidates(criteria, { maxAgeMs, limit }) : [];
  for (const candidate of recent) yield remoteCandidate(candidate);
  const tried = new Set(recent.map(({ peerId }) => peerId));
  const found = network.discover(criteria, { signal, limit, timeoutMs: FIND_MS });
  for await (const candidate of found) {
    if (!tried.has(candidate.peerId)) yield remoteCandidate(candidate);
  }
}

function lacksWasi(needed: string, has: readonly string[]): PlasmError {
  return new PlasmError(
    "policy",
    `Cannot use node: the module needs WASI ${needed}, node has ${has.join(", ")}`,
    {
      hint: "Name another node, or build the module for a version that the node has",
      details: { needed, has: [...has] },
    },
  );
}

/** Converts a discovered node to a candidate for a job. */
export function remoteCandidate(
  { peerId, capability }: Pick<Candidate, "peerId" | "capability">,
): RemoteCandidate {
  return { peerId, runtime: capability.runtime, cores: capability.cpu_cores };
}
