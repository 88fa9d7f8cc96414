/**
 * A node in memory for tests of the protocol: it keeps what comes, runs jobs as a test says, and signs
 * real receipts.
 * @module
 */
import { PlasmError } from "../../lib/errors.ts";
import { ephemeralIdentity, type Identity } from "../../lib/identity.ts";
import { sha256 } from "../../lib/job/hash.ts";
import { manifestHash } from "../../lib/job/manifest.ts";
import { type ReceiptFields, signReceipt } from "../../lib/job/receipt.ts";
import type { HostEvent, JobHost, OfferTerms, RemoteJobOffer } from "../../lib/protocol/host.ts";
import type { BlobRef } from "../../lib/protocol/messages.ts";
import { localRuntime } from "../../lib/sandbox/runtime.ts";

type NewEvent = HostEvent extends infer E ? E extends unknown ? Omit<E, "id" | "at"> : never
  : never;

interface Job {
  offer: RemoteJobOffer;
  events: HostEvent[];
  cancelled: boolean;
}

/** What a job does: yields output, ends when told. */
export type Program = (
  stdin: Uint8Array,
  job: { isCancelled: () => boolean; news: () => Promise<void> },
) => AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/** Writes its input backwards. */
export const reverse: Program = (stdin) => [stdin.toReversed()];

/** Writes something, then waits to be cancelled. */
export const hang: Program = async function* (_stdin, { isCancelled, news }) {
  yield new TextEncoder().encode("so far\n");
  while (!isCancelled()) await news();
};

/** A {@linkcode JobHost} in memory. */
export class FakeHost implements JobHost {
  readonly identity: Identity;
  /** Content by hash. */
  readonly blobs = new Map<string, Uint8Array>();
  readonly jobs = new Map<string, Job>();
  /** Ids of jobs that were submitted, in order. */
  readonly submitted: string[] = [];
  readonly forgotten: string[] = [];
  /** Bytes stored, counted as they came. */
  stored = 0;
  program: Program = reverse;
  /** Throws to refuse an offer. */
  refuse: (offer: RemoteJobOffer) => void = () => {};
  /** Changes a receipt before it is signed. */
  lie: (fields: ReceiptFields) => ReceiptFields = (fields) => fields;
  /** Changes an event before it is told. */
  twist: (event: HostEvent) => HostEvent = (event) => event;
  #wake = Promise.withResolvers<void>();

  constructor(identity: Identity) {
    this.identity = identity;
  }

  /** A host with a new key. */
  static async create(): Promise<FakeHost> {
    return new FakeHost(await ephemeralIdentity());
  }

  news(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }

  /** Waits until something is so. */
  async until(isSo: () => boolean): Promise<void> {
    while (!isSo()) await this.#wake.promise;
  }

  check(offer: RemoteJobOffer): OfferTerms {
    this.refuse(offer);
    const have = new Set([offer.module.hash].filter((hash) => this.blobs.has(hash)));
    return { position: 0, have, outputBytes: 2 ** 20 };
  }

  async put(
    _offer: RemoteJobOffer,
    { hash }: BlobRef,
    source: AsyncIterable<Uint8Array>,
  ): Promise<void> {
    const parts: Uint8Array[] = [];
    for await (const part of source) {
      parts.push(part.slice());
      this.stored += part.length;
      this.news();
    }
    const whole = new Uint8Array(await new Blob(parts as Uint8Array<ArrayBuffer>[]).arrayBuffer());
    const found = await sha256(whole);
    if (found !== hash) {
      throw new PlasmError("bad-input", `Cannot keep content: asked for ${hash}, sent ${found}`);
    }
    this.blobs.set(hash, whole);
  }

  submit(offer: RemoteJobOffer): Promise<void> {
    const job: Job = { offer, events: [], cancelled: false };
    this.jobs.set(offer.jobId, job);
    this.submitted.push(offer.jobId);
    this.#tell(job, { type: "queued", position: 0 });
    void this.#run(job);
    return Promise.resolve();
  }

  #tell(job: Job, event: NewEvent): void {
    const id = job.events.length + 1;
    job.events.push(this.twist({ id, at: Date.now(), ...event } as HostEvent));
    this.news();
  }

  async #run(job: Job): Promise<void> {
    const { offer } = job;
    const startedAt = Date.now();
    this.#tell(job, { type: "started", attempt: 1 });
    const stdin = this.blobs.get(offer.stdin.hash) ?? new Uint8Array();
    const parts: Uint8Array[] = [];
    let offset = 0;
    const steps = this.program(stdin, {
      isCancelled: () => job.cancelled,
      news: () => this.#wake.promise,
    });
    for await (const data of steps) {
      parts.push(data);
      this.#tell(job, { type: "stdout", offset, data });
      offset += data.length;
    }
    const stdout = new Uint8Array(await new Blob(parts as Uint8Array<ArrayBuffer>[]).arrayBuffer());
    const finishedAt = Date.now();
    const receipt = await signReceipt(
      this.lie({
        job_id: offer.jobId,
        nonce: offer.nonce,
        manifest_hash: await manifestHash(offer.manifest),
        module_hash: offer.module.hash,
        stdin_hash: offer.stdin.hash,
        stdout_hash: await sha256(stdout),
        stdout_bytes: stdout.length,
        stderr_hash: await sha256(new Uint8Array()),
        stderr_bytes: 0,
        status: job.cancelled ? "cancelled" : "exited",
        exit_code: job.cancelled ? null : 0,
        usage: {
          wall_time_ms: finishedAt - startedAt,
          cpu_time_ms: 0,
          memory_peak_bytes: 65536,
        },
        started_at: new Date(startedAt).toISOString(),
        finished_at: new Date(finishedAt).toISOString(),
        runtime: localRuntime(),
      }),
      this.identity,
    );
    this.#tell(job, { type: "finished", receipt, message: null });
  }

  async *events(jobId: string, after: number, signal: AbortSignal): AsyncGenerator<HostEvent[]> {
    const wake = (): void => this.news();
    signal.addEventListener("abort", wake);
    try {
      for (let last = after; !signal.aborted;) {
        const job = this.jobs.get(jobId);
        if (job === undefined) return;
        const event = job.events.find(({ id }) => id > last);
        if (event === undefined) {
          if (job.events.at(-1)?.type === "finished") return;
          await this.#wake.promise;
          continue;
        }
        last = event.id;
        yield [event];
      }
    } finally {
      signal.removeEventListener("abort", wake);
    }
  }

  async cancel(jobId: string): Promise<void> {
    const job = this.jobs.get(jobId);
    if (job === undefined) return;
    job.cancelled = true;
    this.news();
    await this.until(() => job.events.at(-1)?.type === "finished");
  }

  forget({ jobId }: RemoteJobOffer): Promise<void> {
    this.jobs.delete(jobId);
    this.forgotten.push(jobId);
    this.news();
    return Promise.resolve();
  }
}
