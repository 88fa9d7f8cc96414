/**
 * Hosts jobs of peers with the same admission, queue and executors as local ones; deletes them when they finish.
 * @module
 */
import type { Config } from "../../config/mod.ts";
import { type Manifest, sha256 } from "../../core/mod.ts";
import type { Ceilings } from "../../sandbox/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import type {
  HostEvent,
  JobHost,
  OfferTerms,
  RemoteJobOffer,
  RemotePolicy,
} from "../../remote/server/mod.ts";
import { type BlobRef, contentOf } from "../../remote/wire/mod.ts";
import type { Jobs } from "../jobs/mod.ts";
import { type Availability, closedReason } from "./donor_policy.ts";
import { FINAL_STATES, type JobStore, type RecordedEvent } from "../store/mod.ts";

/** Interval at which the position of a queued job is checked, in milliseconds. */
const POSITION_CHECK_MS = 500;

/** Maximum wait for an event of a running job, in milliseconds; an event ends the wait. */
const EVENT_WAIT_MS = 60_000;

/** Maximum standard input stored in the job's row rather than as a blob, in bytes; the same as for local jobs. */
const SMALL_STDIN_BYTES = 16 * 1024;

/** Time after which a client whose content was evicted should retry, in milliseconds. */
const RETRY_AFTER_MS = 1000;

/** Longest pause of a transfer, in milliseconds; covers the outage of a mobile link. */
const TRANSFER_MS = 60_000;

/** Options of {@linkcode RemoteHost}. */
export interface RemoteHostOptions {
  store: JobStore;
  jobs: Jobs;
  config: () => Config;
}

/** Converts the configured policy and what it allows now for the protocol. */
export function remotePolicy(
  { network: { policy } }: Config,
  availability: Availability,
): RemotePolicy {
  return {
    submit: policy.submit,
    submitters: policy.submitters,
    closed: closedReason(availability),
    jobs: availability.reason === "load" ? availability.cores : undefined,
    jobsPerPeer: policy.jobs_per_peer,
    bytesPerPeer: policy.bytes_per_peer,
    halfOpenOffers: policy.half_open_offers,
    transferMs: TRANSFER_MS,
    orphanMs: policy.orphan_seconds * 1000,
    resultMs: policy.result_seconds * 1000,
  };
}

/** Ceilings for peers' jobs: the lower of the node's and the policy's. */
export function remoteCeilings({ jobs, network }: Config): Config["jobs"]["ceilings"] {
  const ceilings = { ...jobs.ceilings };
  for (const [name, value] of Object.entries(network.policy.ceilings)) {
    const key = name as keyof typeof network.policy.ceilings;
    if (value !== null) ceilings[key] = Math.min(ceilings[key], value);
  }
  return ceilings;
}

/**
 * Reads content into memory.
 *
 * @throws {PlasmError} `bad-input` if its hash differs
 */
async function readContent(
  source: AsyncIterable<Uint8Array>,
  { hash, size }: BlobRef,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(size);
  let at = 0;
  for await (const chunk of source) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  const found = await sha256(bytes);
  if (found === hash) return bytes;
  throw new PlasmError("bad-input", `Cannot store input: expected ${hash}, received ${found}`, {
    details: { asked: hash, sent: found },
  });
}

/** Runs jobs of peers. */
export class RemoteHost implements JobHost {
  readonly #options: RemoteHostOptions;
  /** Number of peers' jobs that need each input uploaded by peers. */
  readonly #inputUses = new Map<string, number>();
  /** Inputs of each job in {@linkcode #inputUses}. */
  readonly #inputsOf = new Map<string, string[]>();
  /** Small standard input of jobs that have not been submitted. */
  readonly #stdin = new Map<string, Uint8Array>();
  /** Submissions in progress, by job id. */
  readonly #submitting = new Map<string, Promise<unknown>>();

  constructor(options: RemoteHostOptions) {
    this.#options = options;
  }

  /** Deletes peers' jobs of an earlier process: their tickets are no longer valid. */
  async start(): Promise<void> {
    const { store } = this.#options;
    const stale = store.ofPeers();
    if (stale.length > 0) await store.delete(stale);
  }

  check(offer: RemoteJobOffer): OfferTerms {
    const { store, jobs, config } = this.#options;
    const { manifest, module, stdin } = offer;
    const ceilings = remoteCeilings(config());
    const sizes = new Map(contentOf(offer).map((ref) => [ref.hash, ref]));
    const position = jobs.check({
      manifest,
      ceilings,
      stdinHash: stdin.hash,
      blob: (hash) => sizes.get(hash),
    });
    // Request inputs even when stored: otherwise knowing a hash would grant access to its content.
    const isHere = store.blobs.info(module.hash)?.size === module.size;
    return {
      position,
      have: new Set(isHere ? [module.hash] : []),
      outputBytes: outputLimit(manifest, ceilings),
    };
  }

  async put(
    offer: RemoteJobOffer,
    { hash, size }: BlobRef,
    source: AsyncIterable<Uint8Array>,
  ): Promise<void> {
    const { jobId, module, stdin, inputs } = offer;
    const { blobs } = this.#options.store;
    const isModule = hash === module.hash;
    const isInput = isModule || inputs.some((input) => input.hash === hash);
    if (hash === stdin.hash && size <= SMALL_STDIN_BYTES && !isInput) {
      this.#stdin.set(jobId, await readContent(source, { hash, size }));
      return;
    }
    const isLocal = blobs.info(hash) !== undefined && !this.#inputUses.has(hash);
    if (!isModule && !isLocal) {
      this.#inputUses.set(hash, (this.#inputUses.get(hash) ?? 0) + 1);
      this.#inputsOf.set(jobId, [...this.#inputsOf.get(jobId) ?? [], hash]);
    }
    await blobs.put(source, { hash, maxBytes: size, what: isModule ? "module" : "input" });
  }

  async submit(offer: RemoteJobOffer): Promise<void> {
    const { jobs, config } = this.#options;
    const { jobId, peerId, manifest, nonce, stdin } = offer;
    const submitting = jobs.submit({
      submitter: `peer:${peerId}`,
      manifest,
      nonce,
      stdin: this.#stdin.get(jobId),
      stdinHash: stdin.hash,
      id: jobId,
      ceilings: remoteCeilings(config()),
      // Peers' jobs need no durability: a restart deletes them.
    }, { durability: "buffered" });
    this.#submitting.set(jobId, submitting.catch(() => {})); // thrown below
    try {
      await submitting;
    } catch (error) {
      if (!(error instanceof PlasmError) || error.code !== "not-found") throw error;
      throw new PlasmError(
        "busy",
        "Cannot accept job: its content was evicted by other jobs",
        {
          retryAfterMs: RETRY_AFTER_MS,
          cause: error,
        },
      );
    } finally {
      this.#stdin.delete(jobId);
      this.#submitting.delete(jobId);
    }
  }

  async *events(
    jobId: string,
    after: number,
    signal: AbortSignal,
  ): AsyncGenerator<HostEvent[], void, void> {
    const { store, jobs } = this.#options;
    let last = after;
    let position: number | undefined;
    await this.#submitting.get(jobId);
    if (store.get(jobId) === undefined) {
      const error = new PlasmError("busy", "Cannot accept job: it could not be stored", {
        retryAfterMs: RETRY_AFTER_MS,
      });
      yield [{ id: last + 1, at: Date.now(), type: "failed", error: error.toJSON() }];
      return;
    }
    while (!signal.aborted) {
      const job = store.get(jobId);
      if (job === undefined) return;
      const events = await store.eventsAfter(job, last);
      if (events.length > 0) {
        last = events.at(-1)!.id;
        for (const event of events) if (event.type === "queued") position = event.position;
        yield events.map((event) => this.#hostEvent(jobId, event));
      }
      const now = store.get(jobId);
      if (now === undefined) return;
      if (store.hasEventsAfter(now, last)) continue;
      if (FINAL_STATES.includes(now.state)) return;
      const place = jobs.position(now);
      if (place !== undefined && place !== position) {
        position = place;
        yield [{ id: last, at: Date.now(), type: "queued", position }];
        continue;
      }
      const timeoutMs = place === undefined ? EVENT_WAIT_MS : POSITION_CHECK_MS;
      await store.changes.wait(jobId, { signal, timeoutMs });
    }
  }

  #hostEvent(jobId: string, event: RecordedEvent): HostEvent {
    if (event.type !== "finished") return event;
    const { id, at, type, outcome: { message = null } } = event;
    const { receipt, backtrace, leftBehind = null } = this.#options.store.get(jobId) ?? {};
    const stack = backtrace?.map(({ offset }) => offset) ?? [];
    if (receipt) return { id, at, type, receipt, message, stack, leftBehind };
    const error = new PlasmError("internal", "Unexpected fault: the job has no receipt");
    return { id, at, type: "failed", error: error.toJSON() };
  }

  async cancel(jobId: string): Promise<void> {
    await this.#submitting.get(jobId);
    try {
      await this.#options.jobs.cancel(jobId);
    } catch (error) {
      // A stopping node has ended its running jobs and leaves the queued ones.
      const hasEnded = error instanceof PlasmError && ["not-found", "busy"].includes(error.code);
      if (!hasEnded) throw error;
    }
  }

  async delete({ jobId }: RemoteJobOffer): Promise<void> {
    const { store } = this.#options;
    this.#stdin.delete(jobId);
    const job = store.get(jobId);
    if (job !== undefined) await store.delete([job], { durability: "buffered" });
    for (const hash of this.#inputsOf.get(jobId) ?? []) {
      const rest = (this.#inputUses.get(hash) ?? 1) - 1;
      if (rest > 0) {
        this.#inputUses.set(hash, rest);
        continue;
      }
      this.#inputUses.delete(hash);
      store.blobs.discard(hash);
    }
    this.#inputsOf.delete(jobId);
  }
}

/** Maximum size of a job's output and output files together, in bytes. */
function outputLimit(
  { resources, outputs = [] }: Manifest,
  ceilings: Pick<Ceilings, "output_bytes" | "output_files_bytes">,
): number {
  const streams = resources.output_bytes ?? ceilings.output_bytes;
  if (outputs.length === 0) return streams;
  return streams + (resources.output_files_bytes ?? ceilings.output_files_bytes);
}
