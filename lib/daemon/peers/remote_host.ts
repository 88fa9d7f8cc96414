/**
 * Hosts jobs of peers with the same admission, queue and executors as local ones; deletes them when they finish.
 * @module
 */
import type { Config } from "../../config/mod.ts";
import { sha256 } from "../../core/mod.ts";
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
import { FINAL_STATES, type JobStore, type RecordedEvent } from "../store/mod.ts";

/** How often the position of a waiting job is looked at, in milliseconds. */
const POSITION_MS = 500;

/** How long to wait for news of a job that runs: news wake it before that. */
const NEWS_MS = 60_000;

/**
 * Standard input up to here is kept with its job, not as a file: most jobs have little. In bytes, the
 * same as for local jobs.
 */
const SMALL_STDIN_BYTES = 16 * 1024;

/** How long to wait for a job that was just taken to be stored with others, in milliseconds. */
const STORED_MS = 100;

/** How soon a client whose content was evicted should ask again, in milliseconds. */
const AGAIN_MS = 1000;

/** Longest pause of a transfer, in milliseconds: a mobile link may be gone for as long. */
const TRANSFER_MS = 60_000;

/** What a remote host works with. */
export interface RemoteHostOptions {
  store: JobStore;
  jobs: Jobs;
  config: () => Config;
}

/** The configured policy, as the protocol wants it. */
export function remotePolicy({ network: { policy } }: Config): RemotePolicy {
  return {
    submit: policy.submit,
    submitters: policy.submitters,
    jobsPerPeer: policy.jobs_per_peer,
    bytesPerPeer: policy.bytes_per_peer,
    halfOpenOffers: policy.half_open_offers,
    transferMs: TRANSFER_MS,
    orphanMs: policy.orphan_seconds * 1000,
    resultMs: policy.result_seconds * 1000,
  };
}

/** The most that a job of a peer may ask for: the lower of the node's ceilings and the policy's. */
export function remoteCeilings({ jobs, network }: Config): Config["jobs"]["ceilings"] {
  const ceilings = { ...jobs.ceilings };
  for (const [name, value] of Object.entries(network.policy.ceilings)) {
    const key = name as keyof typeof network.policy.ceilings;
    if (value !== null) ceilings[key] = Math.min(ceilings[key], value);
  }
  return ceilings;
}

/**
 * Reads content that is held in memory.
 *
 * @throws {PlasmError} `bad-input` where it is not what was said
 */
async function readSmall(
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
  throw new PlasmError("bad-input", `Cannot keep input: asked for ${hash}, sent ${found}`, {
    details: { asked: hash, sent: found },
  });
}

/** Runs jobs of peers. */
export class RemoteHost implements JobHost {
  readonly #options: RemoteHostOptions;
  /** Inputs that peers' jobs brought, and how many of these jobs hold each. */
  readonly #inputs = new Map<string, number>();
  readonly #held = new Map<string, string[]>();
  /** Small standard input of jobs that are not submitted yet. */
  readonly #stdin = new Map<string, Uint8Array>();
  readonly #submitting = new Map<string, Promise<unknown>>();

  constructor(options: RemoteHostOptions) {
    this.#options = options;
  }

  /** Deletes peers' jobs of an earlier process, whose tickets are no longer valid. */
  async start(): Promise<void> {
    const { store } = this.#options;
    const left = store.ofPeers();
    if (left.length > 0) await store.delete(left);
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
      outputBytes: manifest.resources.output_bytes ?? ceilings.output_bytes,
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
      this.#stdin.set(jobId, await readSmall(source, { hash, size }));
      return;
    }
    const isOthers = blobs.info(hash) !== undefined && !this.#inputs.has(hash);
    if (!isModule && !isOthers) {
      this.#inputs.set(hash, (this.#inputs.get(hash) ?? 0) + 1);
      this.#held.set(jobId, [...this.#held.get(jobId) ?? [], hash]);
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
      // A node that stops forgets its peers' jobs: no power cut can take what would be kept.
    }, { durability: "buffered" });
    this.#submitting.set(jobId, submitting.catch(() => {})); // thrown below
    try {
      await submitting;
    } catch (error) {
      if (!(error instanceof PlasmError) || error.code !== "not-found") throw error;
      throw new PlasmError(
        "busy",
        "Cannot accept job: its content had to make room for other jobs'",
        {
          retryAfterMs: AGAIN_MS,
          cause: error,
        },
      );
    } finally {
      this.#stdin.delete(jobId);
      this.#submitting.delete(jobId);
    }
  }

  /** Waits until a job that was taken is in the store; false where it could not be kept. */
  async #isStored(jobId: string, signal: AbortSignal): Promise<boolean> {
    const { store } = this.#options;
    const isThere = (): boolean => store.get(jobId) !== undefined;
    if (isThere()) return true;
    await store.changes.wait(jobId, { signal, timeoutMs: STORED_MS });
    if (isThere()) return true;
    await store.sync();
    return isThere();
  }

  async *events(
    jobId: string,
    after: number,
    signal: AbortSignal,
  ): AsyncGenerator<HostEvent[], void, void> {
    const { store, jobs } = this.#options;
    let last = after;
    let position: number | undefined;
    if (!await this.#isStored(jobId, signal)) {
      const error = new PlasmError("busy", "Cannot keep job: there was no room for it", {
        retryAfterMs: AGAIN_MS,
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
        yield events.map((event) => this.#tell(jobId, event));
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
      const timeoutMs = place === undefined ? NEWS_MS : POSITION_MS;
      await store.changes.wait(jobId, { signal, timeoutMs });
    }
  }

  #tell(jobId: string, event: RecordedEvent): HostEvent {
    if (event.type !== "finished") return event;
    const { id, at, type, message } = event;
    const receipt = this.#options.store.get(jobId)?.receipt;
    if (receipt) return { id, at, type, receipt, message };
    const error = new PlasmError("internal", "Unexpected fault: the job has no receipt");
    return { id, at, type: "failed", error: error.toJSON() };
  }

  async cancel(jobId: string): Promise<void> {
    await this.#submitting.get(jobId);
    try {
      await this.#isStored(jobId, AbortSignal.abort());
      await this.#options.jobs.cancel(jobId);
    } catch (error) {
      // A node that stops has ended its jobs, and leaves those that wait.
      const isOver = error instanceof PlasmError && ["not-found", "busy"].includes(error.code);
      if (!isOver) throw error;
    }
  }

  async forget({ jobId }: RemoteJobOffer): Promise<void> {
    const { store } = this.#options;
    this.#stdin.delete(jobId);
    const job = store.get(jobId);
    if (job !== undefined) await store.delete([job], { durability: "buffered" });
    for (const hash of this.#held.get(jobId) ?? []) {
      const rest = (this.#inputs.get(hash) ?? 1) - 1;
      if (rest > 0) {
        this.#inputs.set(hash, rest);
        continue;
      }
      this.#inputs.delete(hash);
      store.blobs.discard(hash);
    }
    this.#held.delete(jobId);
  }
}
