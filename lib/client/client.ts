/**
 * Client of a daemon's local API.
 *
 * @module
 */
import type {
  ConfigInEffectJson,
  DiscoverQueryJson,
  EventJson,
  FoundNodeJson,
  JobDetailJson,
  JobJson,
  JobPageJson,
  JobResultJson,
  JobState,
  JobTarget,
  NodeJson,
  PeerJson,
  ReadinessJson,
  ReloadJson,
  VersionJson,
} from "../api/mod.ts";
import {
  FilesInMemory,
  type Hash,
  type JobDescription,
  type JobEvent,
  manifestOf,
  type Measured,
  type Receipt,
  sha256,
} from "../core/mod.ts";
import { PlasmError } from "../core/errors/mod.ts";
import { followEvents, followJob, type FollowOptions } from "./follow_events.ts";
import { forEachLimited } from "../util/async/mod.ts";
import { lines } from "../util/mod.ts";
import { type PipeSubmission, runPiped } from "./pipe.ts";
import {
  type DaemonAddress,
  DaemonTransport,
  type RequestOptions,
  RESPONSE_LINES,
} from "./daemon_transport.ts";

/** Maximum size of standard input sent within the submission, in bytes; more is uploaded as a separate input. */
const INLINE_STDIN_BYTES = 64 * 1024;

/** Most inputs that are uploaded at once: the daemon waits for the disk for each. */
const MAX_UPLOADS = 16;

/** Options of a submission. */
export interface SubmitOptions extends RequestOptions, JobDescription {
  /** Standard input. @default {empty} */
  stdin?: Uint8Array | undefined;
  /** 64 hex digits that the receipt must carry. @default {chosen by the daemon} */
  nonce?: string | undefined;
  /** Submitter of the job; the queue takes submitters in turn. @default {none} */
  submitter?: string | undefined;
  /** Runs the job on another node, `{}` on any; the receipt is that node's. @default {this node} */
  target?: JobTarget | undefined;
}

/** Options of {@linkcode DaemonClient.pipe}. */
export interface PipeOptions extends Omit<SubmitOptions, "stdin" | "target"> {
  /**
   * Standard input, read as the job consumes it. An object with `read()`, such as `Deno.stdin`, is prefetched into
   * reused memory and never closed.
   * @default {empty}
   */
  stdin?:
    | ReadableStream<Uint8Array>
    | { read(into: Uint8Array): Promise<number | null> }
    | Uint8Array
    | undefined;
  /**
   * What the caller measures of the `files` events, which the receipt is then compared with: an `OutputFilesReader` that
   * reads each event before the next.
   * @default {measured by the client}
   */
  files?: { readonly files: { [path: string]: Measured } } | undefined;
}

/** Filter of {@linkcode DaemonClient.jobs}. */
export interface ListOptions extends RequestOptions {
  /** State of the jobs. @default {all} */
  state?: JobState | undefined;
  /** Submitter of the jobs. @default {all} */
  submitter?: string | undefined;
  /** Maximum number of jobs in the page. @default {100} */
  limit?: number | undefined;
  /** `next` of the previous page. @default {the newest jobs} */
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
  /** Output files by guest path; an empty directory has a path that ends in a slash, and no content. */
  outputs: Map<string, Uint8Array>;
  /** The receipt, which is not verified: see `verifyReceipt`. */
  receipt: Receipt;
}

/**
 * Client of one daemon. Every method throws `no-daemon` if the daemon does not respond.
 *
 * @example
 * ```ts
 * import { DaemonClient, verifyReceipt } from "@plasm/plasm";
 * import { assertEquals } from "@std/assert";
 *
 * // Starts a daemon for this example; an installed one is found by connectDaemon().
 * const dir = await Deno.makeTempDir();
 * const socket = `${dir}/plasm.sock`;
 * const daemon = new Deno.Command(Deno.execPath(), {
 *   args: ["task", "-q", "plasm", "daemon", "--state-dir", dir, "--socket", socket],
 *   stderr: "piped",
 * }).spawn();
 * const log = daemon.stderr.getReader();
 * await log.read(); // The first line is logged when the daemon listens.
 *
 * using client = new DaemonClient({ socket });
 * const module = await Deno.readFile("examples/hello/hello.wasm");
 * const { id } = await client.submit(module);
 * const { job, stdout, receipt } = await client.result(id);
 * assertEquals(job.state, "finished");
 * const { public_key: key } = await client.node();
 * await verifyReceipt(receipt, { key, jobId: id, module, stdout });
 *
 * daemon.kill();
 * await log.cancel();
 * await daemon.status;
 * await Deno.remove(dir, { recursive: true });
 * ```
 */
export class DaemonClient implements Disposable {
  readonly #transport: DaemonTransport;

  /**
   * Finds the socket of the daemon. The first request connects.
   *
   * @throws {PlasmError} `no-daemon` if there is no socket
   */
  constructor(address: DaemonAddress = {}) {
    this.#transport = new DaemonTransport(address);
  }

  async #upload(
    kind: "modules" | "inputs",
    data: Uint8Array,
    { signal, hash }: RequestOptions & { hash: string },
  ): Promise<string> {
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

  /** Uploads a module unless the daemon has it. Returns its hash. */
  async putModule(module: Uint8Array, options: RequestOptions = {}): Promise<string> {
    return await this.#upload("modules", module, { ...options, hash: await sha256(module) });
  }

  /**
   * Has the daemon download the module that `https://…`, `oci://HOST/REPO[:TAG|@sha256:…]` or `sha256:…` names, from the
   * servers that its configuration lists. Returns the module's hash.
   *
   * @throws {PlasmError} `policy` if a server is not listed; as `fetchModule()`
   */
  async fetchModule(reference: string, { signal }: RequestOptions = {}): Promise<string> {
    const { hash } = await this.#transport.json<{ hash: string }>("/v1/modules", {
      method: "POST",
      json: { reference },
      signal,
    });
    return hash;
  }

  /** Reads a module that the daemon has stored. @throws {PlasmError} `not-found` */
  async module(hash: string, options: RequestOptions = {}): Promise<Uint8Array> {
    return await this.#transport.read(`/v1/modules/${hash}`, (body) => body.bytes(), options);
  }

  /** Uploads an input unless the daemon has it. Returns its hash. */
  async putInput(data: Uint8Array, options: RequestOptions = {}): Promise<string> {
    return await this.#upload("inputs", data, { ...options, hash: await sha256(data) });
  }

  /**
   * Submits a job and uploads content that the daemon lacks. The job is durable when this resolves.
   *
   * @param module Its bytes, or the hash that {@linkcode putModule} returned.
   * @throws {PlasmError} `over-limit`, `policy`, `queue-full`, `bad-manifest` and other errors of the daemon
   */
  async submit(module: Uint8Array | string, options: SubmitOptions = {}): Promise<JobJson> {
    return await this.#post("/v1/jobs", module, options);
  }

  /**
   * Runs a job and resolves to its result: in one request if the daemon has the module and the job is short.
   *
   * @param module Its bytes, or the hash that {@linkcode putModule} returned.
   * @throws {PlasmError} as {@linkcode submit} and {@linkcode result}
   */
  async run(module: Uint8Array | string, options: SubmitOptions = {}): Promise<DaemonResult> {
    const { signal } = options;
    const response = await this.#post<JobResultJson | { job: JobJson }>("/v1/run", module, options);
    const { job } = response;
    if (!("receipt" in response)) return await this.result(job.id, { signal });
    if (job.error !== null) throw PlasmError.fromJSON(job.error);
    const { receipt } = response;
    if (receipt === null) {
      throw new PlasmError("protocol", "Cannot read response: it has no receipt");
    }
    const read = async (stream: "stdout" | "stderr"): Promise<Uint8Array> => {
      const text = response[stream];
      if (text !== null) return Uint8Array.fromBase64(text);
      return await this.#outputBytes(job.id, stream, { signal });
    };
    return {
      job,
      stdout: await read("stdout"),
      stderr: await read("stderr"),
      outputs: await this.#outputFiles(job.id, receipt, { signal }),
      receipt,
    };
  }

  /**
   * Runs a job and streams its standard input and output, of any length; the daemon stores neither. Consuming slowly applies
   * backpressure; returning early cancels the job. The job ends with this connection. The `data` of an event is overwritten
   * when the next event is requested: copy it to keep it.
   *
   * @param module Its bytes, or the hash that {@linkcode putModule} returned.
   * @throws {PlasmError} as {@linkcode submit}; the error of a job without a result; `bad-receipt` if
   * the receipt does not match the daemon's key, what was sent and what was received; `no-daemon`, `protocol`
   */
  async *pipe(
    module: Uint8Array | string,
    options: PipeOptions = {},
  ): AsyncGenerator<JobEvent, void, void> {
    const { stdin, files, ...rest } = options;
    const hash = typeof module === "string" ? module : await this.putModule(module, rest);
    const submission = await this.#submission(hash, rest);
    const { public_key: key } = await this.node(rest);
    yield* runPiped(this.#transport, submission, { stdin, files, key, signal: options.signal });
  }

  /** Posts a submission. If the daemon lacks the module, uploads it and repeats the request. */
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
      await this.#upload("modules", module, { signal, hash });
      return await this.#transport.json(path, { method: "POST", json, signal });
    }
  }

  /** Builds the body of a submission, after uploading the content that it references. */
  async #submission(module_hash: string, options: SubmitOptions): Promise<PipeSubmission> {
    const { stdin, inputs, nonce, submitter, target, signal } = options;
    // A map instead of assignments to an object: a file may be named __proto__.
    const hashes = new Map<string, Hash>();
    for (const [path, data] of Object.entries(inputs ?? {})) hashes.set(path, await sha256(data));
    const inline = stdin !== undefined && stdin.length <= INLINE_STDIN_BYTES;
    const stdinHash = stdin === undefined || inline ? undefined : await sha256(stdin);
    const manifest = manifestOf(options, {
      module: module_hash,
      // Inputs that only the manifest names are stored already.
      inputs: inputs && Object.fromEntries(hashes),
      stdin: stdinHash,
    });
    const content = new Map<string, Uint8Array>();
    for (const [path, data] of Object.entries(inputs ?? {})) {
      if (data.length > 0) content.set(hashes.get(path)!, data);
    }
    await forEachLimited([...content], {
      limit: MAX_UPLOADS,
      task: async ([hash, data]) => void await this.#upload("inputs", data, { signal, hash }),
    });
    if (stdinHash !== undefined) await this.#upload("inputs", stdin!, { signal, hash: stdinHash });
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

  /**
   * Streams a job's events until it has finished. Reconnects after a broken connection; events are neither lost nor repeated.
   * `finished` has no receipt: see {@linkcode receipt}.
   *
   * @throws {PlasmError} The error of a job without a result; `not-found`, `interrupted`; `no-daemon` if the daemon
   * does not respond for `patienceMs`
   */
  follow(id: string, options: FollowOptions = {}): AsyncGenerator<JobEvent, void, void> {
    return followJob(this.#transport, id, options);
  }

  /** Streams a job's events as {@linkcode follow} does, in the form of the HTTP API. A job without a result is an event here. */
  events(id: string, options: FollowOptions = {}): AsyncGenerator<EventJson, void, void> {
    return followEvents(this.#transport, id, options);
  }

  /** Reads all output of a finished job. */
  async #outputBytes(
    id: string,
    stream: "stdout" | "stderr",
    options: RequestOptions,
  ): Promise<Uint8Array> {
    const path = `/v1/jobs/${encodeURIComponent(id)}/${stream}`;
    return await this.#transport.read(path, (response) => response.bytes(), options);
  }

  /**
   * Output of a job so far. The stream fails with `interrupted` if the signal aborts.
   *
   * @throws {PlasmError} `not-found`
   */
  async output(
    id: string,
    stream: "stdout" | "stderr",
    options: RequestOptions & { offset?: number } = {},
  ): Promise<ReadableStream<Uint8Array>> {
    const { offset = 0, signal } = options;
    const path = `/v1/jobs/${encodeURIComponent(id)}/${stream}?offset=${offset}`;
    const { body } = await this.#transport.send(path, { signal });
    return this.#transport.translated(body ?? new Blob().stream(), signal);
  }

  /**
   * Tar archive of a finished job's output files. The stream fails with `interrupted` if the signal aborts. With
   * `follow` it is that of a job in any state: from `offset` on, until the job ends or writes nothing for 15 seconds.
   *
   * @throws {PlasmError} `not-found` if the job returned no files, `conflict` if it has not finished; not with `follow`
   */
  async outputArchive(
    id: string,
    options: RequestOptions & { follow?: boolean; offset?: number } = {},
  ): Promise<ReadableStream<Uint8Array>> {
    const { signal } = options;
    const { body } = await this.#transport.send(archivePath(id, options), { signal });
    return this.#transport.translated(body ?? new Blob().stream(), signal);
  }

  /**
   * Parts of the archive as of {@linkcode outputArchive}, for large ones. Each is overwritten when the next is requested:
   * copy it to keep it.
   *
   * @throws {PlasmError} as {@linkcode outputArchive}
   */
  outputArchiveParts(
    id: string,
    options: RequestOptions & { follow?: boolean; offset?: number } = {},
  ): AsyncGenerator<Uint8Array, void, void> {
    return this.#transport.download(archivePath(id, options), options);
  }

  /** Reads all output files into memory. */
  async #outputFiles(
    id: string,
    receipt: Receipt,
    options: RequestOptions,
  ): Promise<Map<string, Uint8Array>> {
    const paths = Object.keys(receipt.claim.outputs);
    if (paths.length === 0) return new Map();
    const files = new FilesInMemory(paths);
    for await (const data of this.outputArchiveParts(id, options)) await files.add(data);
    return files.content;
  }

  /**
   * Receipts of all nodes that returned a job's result: several if its target has `agree`.
   *
   * @throws {PlasmError} `not-found`, `conflict` if it has not finished
   */
  receipts(id: string, options: RequestOptions = {}): Promise<Receipt[]> {
    return this.#transport.json(`/v1/jobs/${encodeURIComponent(id)}/receipts`, options);
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
   * Waits until a job has finished and collects its result; `outputs: false` leaves out its output files, which
   * {@linkcode outputArchive} streams.
   *
   * @throws {PlasmError} The error of a job without a result; `not-found`, `interrupted`
   */
  async result(
    id: string,
    { outputs = true, ...options }: RequestOptions & { outputs?: boolean } = {},
  ): Promise<DaemonResult> {
    for await (const event of this.events(id, options)) void event;
    // As POST /v1/run describes the job: without its manifest.
    const { manifest: _manifest, ...job } = await this.job(id, options);
    const receipt = await this.settledReceipt(job, options);
    const read = async (stream: "stdout" | "stderr"): Promise<Uint8Array> =>
      await this.#outputBytes(id, stream, options);
    return {
      job,
      stdout: await read("stdout"),
      stderr: await read("stderr"),
      outputs: outputs ? await this.#outputFiles(id, receipt, options) : new Map(),
      receipt,
    };
  }

  /** Identity, limits and load of the node. */
  node(options: RequestOptions = {}): Promise<NodeJson> {
    return this.#transport.json("/v1/node", options);
  }

  /** The configuration that the daemon uses. */
  config(options: RequestOptions = {}): Promise<ConfigInEffectJson> {
    return this.#transport.json("/v1/config", options);
  }

  /**
   * Reads the daemon's configuration again and applies the keys that need no restart.
   *
   * @throws {PlasmError} `bad-config` if it is invalid; the former one stays in effect
   */
  reload(options: RequestOptions = {}): Promise<ReloadJson> {
    return this.#transport.json("/v1/reload", { method: "POST", ...options });
  }

  /** Peers that the node is connected to. @throws {PlasmError} `disabled` if the network is off */
  peers(options: RequestOptions = {}): Promise<{ peers: PeerJson[] }> {
    return this.#transport.json("/v1/peers", options);
  }

  /**
   * Finds nodes that run jobs. Yields each as soon as it has responded.
   *
   * @throws {PlasmError} `disabled` if the network is off
   */
  async *discover(
    query: DiscoverQueryJson = {},
    options: RequestOptions = {},
  ): AsyncGenerator<FoundNodeJson, void, void> {
    const { body } = await this.#transport.send("/v1/discover", {
      method: "POST",
      json: query,
      headers: { accept: "application/x-ndjson" },
      ...options,
    });
    if (body === null) return;
    const text = this.#transport.translated(body, options.signal);
    for await (const line of lines(text, RESPONSE_LINES)) {
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
    return await this.#transport.read("/metrics", (response) => response.text(), options);
  }

  /** Closes pooled connections. */
  [Symbol.dispose](): void {
    this.#transport[Symbol.dispose]();
  }
}

function archivePath(
  id: string,
  { follow = false, offset = 0 }: { follow?: boolean; offset?: number },
): string {
  const query = follow ? `?follow=true&offset=${offset}` : "";
  return `/v1/jobs/${encodeURIComponent(id)}/outputs.tar${query}`;
}

/**
 * Connects to the daemon on this machine.
 *
 * @throws {PlasmError} `no-daemon` if there is no socket
 *
 * @example
 * ```ts
 * import { connectDaemon } from "@plasm/plasm";
 * import { assertEquals } from "@std/assert";
 *
 * // Starts a daemon for this example; an installed one is found by connectDaemon().
 * const dir = await Deno.makeTempDir();
 * const socket = `${dir}/plasm.sock`;
 * const daemon = new Deno.Command(Deno.execPath(), {
 *   args: ["task", "-q", "plasm", "daemon", "--state-dir", dir, "--socket", socket],
 *   stderr: "piped",
 * }).spawn();
 * const log = daemon.stderr.getReader();
 * await log.read(); // The first line is logged when the daemon listens.
 *
 * using client = connectDaemon({ socket });
 * const module = await Deno.readFile("examples/hello/hello.wasm");
 * const { stdout } = await client.run(module, { stdin: new TextEncoder().encode("Hello, World") });
 * assertEquals(new TextDecoder().decode(stdout), "dlroW ,olleH");
 *
 * daemon.kill();
 * await log.cancel();
 * await daemon.status;
 * await Deno.remove(dir, { recursive: true });
 * ```
 */
export function connectDaemon(address: DaemonAddress = {}): DaemonClient {
  return new DaemonClient(address);
}
