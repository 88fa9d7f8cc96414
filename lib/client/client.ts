/**
 * Client of a daemon's local API.
 * @module
 */
import type {
  DiscoverQueryJson,
  FoundNodeJson,
  JobDetailJson,
  JobJson,
  JobPageJson,
  JobResultJson,
  JobState,
  NodeJson,
  OutputStream,
  PeerJson,
  ReadinessJson,
  VersionJson,
} from "../api/mod.ts";
import { EMPTY_HASH, type ManifestOptions, type Receipt, sha256 } from "../core/mod.ts";
import { PlasmError } from "../core/errors/mod.ts";
import { type DaemonEvent, followEvents, type FollowOptions } from "./follow_events.ts";
import { lines } from "../util/mod.ts";
import { type PipeEvent, type PipeOptions, runPiped } from "./pipe.ts";
import type { JobSubmission, SubmitOptions } from "./submission.ts";
import {
  ANSWER_LINES,
  type DaemonAddress,
  DaemonTransport,
  type RequestOptions,
} from "./daemon_transport.ts";

/** Largest standard input that is sent within the submission, in bytes; more is sent as a separate input. */
const INLINE_STDIN_BYTES = 64 * 1024;

/** Filter of {@linkcode DaemonClient.jobs}. */
export interface ListOptions extends RequestOptions {
  /** Only jobs in this state. @default {all} */
  state?: JobState | undefined;
  /** Only jobs of this submitter. @default {all} */
  submitter?: string | undefined;
  /** Jobs in one page. @default {100} */
  limit?: number | undefined;
  /** `next` of the page before. @default {the newest} */
  before?: string | undefined;
}

/** A finished job with its output. */
export interface DaemonResult {
  /** The job. */
  job: JobJson;
  /** Its standard output. */
  stdout: Uint8Array;
  /** Its standard error. */
  stderr: Uint8Array;
  /** The receipt, not verified yet: see `verifyReceipt`. */
  receipt: Receipt;
}

/** Client of one daemon. Every method throws `no-daemon` if the daemon does not answer. */
export class DaemonClient implements Disposable {
  readonly #transport: DaemonTransport;

  /**
   * Finds the daemon; the first request connects.
   *
   * @throws {PlasmError} `no-daemon` when there is no socket
   */
  constructor(address: DaemonAddress = {}) {
    this.#transport = new DaemonTransport(address);
  }

  async #keep(kind: "modules" | "inputs", data: Uint8Array, signal?: AbortSignal): Promise<string> {
    const hash = await sha256(data);
    const path = `/v1/${kind}/${hash}`;
    try {
      await (await this.#transport.send(path, { method: "HEAD", signal })).body?.cancel();
      return hash;
    } catch (error) {
      if (!(error instanceof PlasmError) || error.code !== "not-found") throw error;
    }
    await this.#transport.json(path, {
      method: "PUT",
      body: data as Uint8Array<ArrayBuffer>,
      headers: { "content-type": "application/octet-stream" },
      signal,
    });
    return hash;
  }

  /** Sends a module, unless the daemon has it; returns its hash. */
  putModule(module: Uint8Array, options: RequestOptions = {}): Promise<string> {
    return this.#keep("modules", module, options.signal);
  }

  /** Sends an input, unless the daemon has it; returns its hash. */
  putInput(data: Uint8Array, options: RequestOptions = {}): Promise<string> {
    return this.#keep("inputs", data, options.signal);
  }

  /**
   * Submits a job and sends what the daemon lacks. The job is durable when this resolves.
   *
   * @param module Its bytes, or the hash that {@linkcode putModule} gave.
   * @throws {PlasmError} `over-limit`, `policy`, `queue-full`, `bad-manifest` and other errors of the daemon
   */
  async submit(module: Uint8Array | string, options: SubmitOptions = {}): Promise<JobJson> {
    return await this.#post("/v1/jobs", module, options);
  }

  /**
   * Runs a job and resolves to its result: in one request if the daemon has the module and the job is short.
   *
   * @param module Its bytes, or the hash that {@linkcode putModule} gave.
   * @throws {PlasmError} as {@linkcode submit} and {@linkcode result}
   */
  async run(module: Uint8Array | string, options: SubmitOptions = {}): Promise<DaemonResult> {
    const { signal } = options;
    const answer = await this.#post<JobResultJson | { job: JobJson }>("/v1/run", module, options);
    const { job } = answer;
    if (!("receipt" in answer)) return await this.result(job.id, { signal });
    if (job.error !== null) throw PlasmError.fromJSON(job.error);
    const { receipt } = answer;
    if (receipt === null) throw new PlasmError("protocol", "Cannot read answer: no receipt");
    const read = async (stream: OutputStream): Promise<Uint8Array> => {
      const text = answer[stream];
      if (text !== null) return Uint8Array.fromBase64(text);
      return await new Response(await this.output(job.id, stream, { signal })).bytes();
    };
    return { job, stdout: await read("stdout"), stderr: await read("stderr"), receipt };
  }

  /**
   * Runs a job and streams its standard input and output, of any length; the daemon stores neither. Consuming slowly applies
   * backpressure; returning early cancels the job. The job ends with this connection.
   *
   * @param module Its bytes, or the hash that {@linkcode putModule} gave.
   * @throws {PlasmError} as {@linkcode submit}; the error of a job without a result; `bad-receipt` if
   * the receipt does not match the daemon's key, what was sent and what was received; `no-daemon`, `protocol`
   */
  async *pipe(
    module: Uint8Array | string,
    options: PipeOptions = {},
  ): AsyncGenerator<PipeEvent, void, void> {
    const { stdin, ...rest } = options;
    const hash = typeof module === "string" ? module : await this.putModule(module, rest);
    const submission = await this.#submission(hash, rest);
    const { public_key: key } = await this.node(rest);
    yield* runPiped(this.#transport, submission, { stdin, key, signal: options.signal });
  }

  /** Posts a submission; if the daemon lacks the module, sends it and repeats the request. */
  async #post<T>(path: string, module: Uint8Array | string, options: SubmitOptions): Promise<T> {
    const hash = typeof module === "string" ? module : await sha256(module);
    const { signal } = options;
    const json = await this.#submission(hash, options);
    try {
      return await this.#transport.json(path, { method: "POST", json, signal });
    } catch (error) {
      const isLacking = error instanceof PlasmError && error.code === "not-found" &&
        error.details["hash"] === hash;
      if (!isLacking || typeof module === "string") throw error;
      await this.#keep("modules", module, signal);
      return await this.#transport.json(path, { method: "POST", json, signal });
    }
  }

  /** Body of a submission; content referenced by hash is sent first. */
  async #submission(module_hash: string, options: SubmitOptions): Promise<JobSubmission> {
    const { stdin, inputs, nonce, submitter, target, signal } = options;
    const manifest: ManifestOptions = { ...options.manifest, module_hash };
    if (inputs !== undefined) {
      const hashes: Record<string, string> = {};
      for (const [path, data] of Object.entries(inputs)) {
        hashes[path] = data.length === 0 ? EMPTY_HASH : await this.#keep("inputs", data, signal);
      }
      manifest.inputs = hashes;
    }
    const inline = stdin !== undefined && stdin.length <= INLINE_STDIN_BYTES;
    if (stdin !== undefined && !inline) {
      manifest.stdin_hash = await this.#keep("inputs", stdin, signal);
    }
    return {
      manifest,
      ...(inline ? { stdin: stdin.toBase64() } : {}),
      ...(nonce === undefined ? {} : { nonce }),
      ...(submitter === undefined ? {} : { submitter }),
      ...(target === undefined ? {} : { target: { ...target } }),
    };
  }

  /** Status of a job. @throws {PlasmError} `not-found` */
  job(id: string, options: RequestOptions = {}): Promise<JobDetailJson> {
    return this.#transport.json(`/v1/jobs/${encodeURIComponent(id)}`, options);
  }

  /** A page of jobs, newest first. */
  jobs(options: ListOptions = {}): Promise<JobPageJson> {
    const { signal, ...filter } = options;
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(filter)) {
      if (value !== undefined) query.set(name, String(value));
    }
    return this.#transport.json(`/v1/jobs?${query}`, { signal });
  }

  /** Cancels a job and waits until it has finished. @throws {PlasmError} `not-found` */
  cancel(id: string, options: RequestOptions = {}): Promise<JobJson> {
    const path = `/v1/jobs/${encodeURIComponent(id)}`;
    return this.#transport.json(path, { method: "DELETE", ...options });
  }

  /** Streams a job's events until it has finished; reconnects after a broken connection. */
  events(id: string, options: FollowOptions = {}): AsyncIterable<DaemonEvent> {
    return followEvents(this.#transport, encodeURIComponent(id), options);
  }

  /** Output of a job so far. @throws {PlasmError} `not-found` */
  async output(
    id: string,
    stream: OutputStream,
    options: RequestOptions & { offset?: number } = {},
  ): Promise<ReadableStream<Uint8Array>> {
    const { offset = 0, signal } = options;
    const path = `/v1/jobs/${encodeURIComponent(id)}/${stream}?offset=${offset}`;
    const { body } = await this.#transport.send(path, { signal });
    return body ?? new Blob().stream();
  }

  /** A job's receipt. @throws {PlasmError} `not-found`, `conflict` if it has not finished */
  receipt(id: string, options: RequestOptions = {}): Promise<Receipt> {
    return this.#transport.json(`/v1/jobs/${encodeURIComponent(id)}/receipt`, options);
  }

  /**
   * Receipt of a finished job.
   *
   * @throws {PlasmError} The error of a job without a result
   */
  async settledReceipt(job: JobJson, options: RequestOptions = {}): Promise<Receipt> {
    if (job.error !== null) throw PlasmError.fromJSON(job.error);
    return await this.receipt(job.id, options);
  }

  /**
   * Waits until a job has finished and collects its result.
   *
   * @throws {PlasmError} The error of a job without a result; `not-found`, `interrupted`
   */
  async result(id: string, options: RequestOptions = {}): Promise<DaemonResult> {
    for await (const event of this.events(id, options)) void event;
    const job = await this.job(id, options);
    const receipt = await this.settledReceipt(job, options);
    const read = async (stream: OutputStream): Promise<Uint8Array> =>
      await new Response(await this.output(id, stream, options)).bytes();
    return {
      job,
      stdout: await read("stdout"),
      stderr: await read("stderr"),
      receipt,
    };
  }

  /** Identity, limits and load of the node. */
  node(options: RequestOptions = {}): Promise<NodeJson> {
    return this.#transport.json("/v1/node", options);
  }

  /** Peers that the node is connected to. @throws {PlasmError} `no-peer` when the network is off */
  peers(options: RequestOptions = {}): Promise<{ peers: PeerJson[] }> {
    return this.#transport.json("/v1/peers", options);
  }

  /**
   * Finds nodes that run jobs; yields each as soon as it has answered.
   *
   * @throws {PlasmError} `no-peer` when the network is off
   */
  async *discover(
    query: DiscoverQueryJson = {},
    options: RequestOptions = {},
  ): AsyncGenerator<FoundNodeJson, void, void> {
    const response = await this.#transport.send("/v1/discover", {
      method: "POST",
      json: query,
      headers: { accept: "application/x-ndjson" },
      ...options,
    });
    for await (const line of lines(response.body, ANSWER_LINES)) {
      yield JSON.parse(line) as FoundNodeJson;
    }
  }

  /** Whether the node accepts jobs. */
  async ready(options: RequestOptions = {}): Promise<ReadinessJson> {
    return await this.#transport.json("/ready", { ...options, accept: [503] });
  }

  /** Versions of the node and its parts. */
  version(options: RequestOptions = {}): Promise<VersionJson> {
    return this.#transport.json("/version", options);
  }

  /** Metrics in Prometheus' text format. */
  async metrics(options: RequestOptions = {}): Promise<string> {
    return await (await this.#transport.send("/metrics", options)).text();
  }

  /** Closes pooled connections. */
  [Symbol.dispose](): void {
    this.#transport[Symbol.dispose]();
  }
}

/**
 * Connects to the daemon on this machine.
 *
 * @throws {PlasmError} `no-daemon` when there is no socket
 */
export function connectDaemon(address: DaemonAddress = {}): DaemonClient {
  return new DaemonClient(address);
}
