/**
 * Admission control for local and remote jobs: limits, required content and queue capacity.
 * @module
 */
import type { Config, JobsConfig } from "../../config/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import {
  createJobId,
  createNonce,
  EMPTY_HASH,
  type Hash,
  type Manifest,
  manifestHash,
  sha256,
} from "../../core/mod.ts";
import { type Ceilings, checkModuleSections, limitsOf, WASI_VERSIONS } from "../../sandbox/mod.ts";
import { BoundedMap } from "../../util/mod.ts";
import type { BlobInfo, Durability, JobRecord, JobStore, JobTarget } from "../store/mod.ts";

/** Capabilities that a manifest may require of this node. */
export const NODE_CAPABILITIES: readonly string[] = WASI_VERSIONS.map((version) =>
  `wasi-${version}`
);

/** Job to be admitted. */
export interface AdmissionRequest {
  manifest: Manifest;
  /** Ceilings that apply. */
  ceilings: Ceilings & { input_bytes: number };
  /** Blob of standard input, if stored. @default {empty} */
  stdinHash?: string | undefined;
  /** Looks up a module or input. */
  blob: (hash: string) => BlobInfo | undefined;
  /** Whether a peer runs it and checks its own limits. @default {false} */
  isRemote?: boolean | undefined;
}

/** Current load and limits of the node. */
export interface Capacity {
  config: JobsConfig;
  /** Queued jobs. */
  waiting: number;
  /** Memory of running jobs, in MiB. */
  runningMemoryMb: number;
  /** Estimated time until a queue slot frees up, in milliseconds. */
  retryAfterMs: number;
}

function overLimit(
  message: string,
  { setting, ...details }: { setting: string; asked: number; allowed: number },
): PlasmError {
  return new PlasmError("over-limit", message, { hint: `Raise ${setting} of the node`, details });
}

function find(request: AdmissionRequest, hash: string, what: string): BlobInfo {
  const found = request.blob(hash);
  if (found !== undefined) return found;
  throw new PlasmError("not-found", `Cannot accept job: its ${what} ${hash} is not stored`, {
    hint: `Send the ${what} first`,
    details: { hash },
  });
}

/** Checks the limits of the node that runs the job. */
function checkAsked({ manifest, ceilings }: AdmissionRequest, capacity: Capacity): void {
  limitsOf(manifest.resources, ceilings);
  const asked = manifest.resources.memory_mb;
  const budget = capacity.config.memory_budget_mb;
  if (asked > budget) {
    const message = `Cannot accept job: asked ${asked} MB, memory budget is ${budget} MB`;
    throw overLimit(message, { setting: "jobs.memory_budget_mb", asked, allowed: budget });
  }
  const lacking = manifest.capabilities.filter((name) => !NODE_CAPABILITIES.includes(name));
  if (lacking.length > 0) {
    throw new PlasmError(
      "policy",
      `Cannot accept job: needs ${lacking.join(", ")}, node has ${NODE_CAPABILITIES.join(", ")}`,
      { details: { lacking, has: [...NODE_CAPABILITIES] } },
    );
  }
}

/**
 * Checks a job against the node's fixed limits.
 *
 * @returns the hashes of the required blobs
 * @throws {PlasmError} `over-limit`, `policy`, `not-found`
 */
export function checkJob(request: AdmissionRequest, capacity: Capacity): Set<string> {
  const { manifest, ceilings } = request;
  if (request.isRemote !== true) checkAsked(request, capacity);
  const module = find(request, manifest.module_hash, "module");
  if (module.size > ceilings.module_bytes) {
    const message = `Cannot accept job: module has ${module.size} bytes, ` +
      `node allows ${ceilings.module_bytes}`;
    const { module_bytes: allowed } = ceilings;
    throw overLimit(message, {
      setting: "jobs.ceilings.module_bytes",
      asked: module.size,
      allowed,
    });
  }
  const needed = new Set([manifest.module_hash]);
  const inputs = new Set([
    ...Object.values(manifest.inputs ?? {}),
    ...(request.stdinHash === undefined ? [] : [request.stdinHash]),
  ]);
  inputs.delete(EMPTY_HASH);
  for (const hash of inputs) {
    const { size } = find(request, hash, "input");
    if (size > ceilings.input_bytes) {
      const message = `Cannot accept job: an input has ${size} bytes, ` +
        `node allows ${ceilings.input_bytes}`;
      const { input_bytes: allowed } = ceilings;
      throw overLimit(message, { setting: "jobs.ceilings.input_bytes", asked: size, allowed });
    }
    needed.add(hash);
  }
  return needed;
}

/**
 * Checks that the queue has a free slot.
 *
 * @throws {PlasmError} `queue-full` with figures and a retry time
 */
export function checkQueueCapacity(manifest: Manifest, capacity: Capacity): void {
  const { config, waiting, runningMemoryMb, retryAfterMs } = capacity;
  if (waiting < config.queue_max) return;
  const free = Math.max(0, config.memory_budget_mb - runningMemoryMb);
  throw new PlasmError(
    "queue-full",
    `Cannot accept job: ${waiting} jobs are queued, node allows ${config.queue_max}; ` +
      `asked ${manifest.resources.memory_mb} MB, ${free} MB free`,
    {
      hint: `Try again in ${Math.ceil(retryAfterMs / 1000)} s`,
      retryAfterMs,
      details: {
        waiting,
        queue_max: config.queue_max,
        asked_memory_mb: manifest.resources.memory_mb,
        free_memory_mb: free,
      },
    },
  );
}

/** Maximum number of modules known to be runnable. */
const MAX_RUNNABLE = 1024;

/** Keys of modules known to be runnable: most jobs repeat one. */
const runnable = new BoundedMap<string, true>(MAX_RUNNABLE);

/**
 * Refuses a module that no node can run before the job gets an id, as clients do that check it themselves.
 *
 * @throws {PlasmError} `bad-module`, `job-memory`, `over-limit`
 */
async function checkStoredModule(manifest: Manifest, store: JobStore): Promise<void> {
  const { module_hash, profile, resources } = manifest;
  const key = `${module_hash} ${resources.memory_mb} ${profile}`;
  if (runnable.get(key)) return;
  await checkModuleSections(await store.blobs.read(module_hash, "module"), manifest);
  runnable.set(key, true);
}

/** Job to be admitted. */
export interface Submission {
  /** `local`, `local:<label>`, or `peer:<peer id>`. */
  submitter: string;
  manifest: Manifest;
  /** Hash of the manifest, if already computed. @default {computed} */
  manifestHash?: Hash | undefined;
  /** The client's nonce for the receipt. @default {a random one} */
  nonce?: string | undefined;
  /** Standard input. @default {the input of manifest.stdin_hash, else empty} */
  stdin?: Uint8Array | undefined;
  /** Whether its client streams stdin and output. @default {false} */
  piped?: boolean | undefined;
  /** Hash of standard input that is already stored as an input. @default {the hash of stdin} */
  stdinHash?: string | undefined;
  /** Job id. @default {a random one} */
  id?: string | undefined;
  /** Remote target. @default {a local run} */
  target?: JobTarget | undefined;
  /** Ceilings in place of the node's. @default {jobs.ceilings} */
  ceilings?: Partial<Config["jobs"]["ceilings"]> | undefined;
}

/** Options of {@linkcode acceptJob}. */
export interface AcceptOptions {
  store: JobStore;
  capacity: Capacity;
  /** Queue position for its first event. */
  position: number;
  /** Durability of the job when `acceptJob()` resolves. @default {"fsync"} */
  durability?: Durability | undefined;
}

/** Maximum standard input stored in the job's row, in bytes. */
const INLINE_STDIN_BYTES = 16 * 1024;

/** Stores standard input: in the job's row when small, else as a blob. */
async function storeStdin(
  { stdin, stdinHash, manifest }: Submission,
  options: { store: JobStore; maxBytes: number },
): Promise<{ hash: string; inline?: Uint8Array | undefined }> {
  if (stdin === undefined) return { hash: stdinHash ?? manifest.stdin_hash ?? EMPTY_HASH };
  const hash = await sha256(stdin);
  if (manifest.stdin_hash !== undefined && manifest.stdin_hash !== hash) {
    throw new PlasmError(
      "bad-input",
      `Cannot accept job: stdin has hash ${hash}, manifest names ${manifest.stdin_hash}`,
      { details: { asked: manifest.stdin_hash, sent: hash } },
    );
  }
  if (stdin.length === 0) return { hash };
  if (stdin.length <= Math.min(INLINE_STDIN_BYTES, options.maxBytes)) {
    return { hash, inline: stdin };
  }
  const { blobs } = options.store;
  if (blobs.info(hash) === undefined) {
    const source = new Blob([stdin as Uint8Array<ArrayBuffer>]).stream();
    await blobs.put(source, { hash, maxBytes: options.maxBytes, what: "stdin" });
  }
  return { hash };
}

/**
 * Checks a job and stores it with the requested durability.
 *
 * @throws {PlasmError} `over-limit`, `policy`, `not-found`, `bad-module`, `job-memory`, `bad-input`, `too-large`, `state`
 */
export async function acceptJob(
  submission: Submission,
  options: AcceptOptions,
): Promise<JobRecord> {
  const { manifest, submitter, nonce = createNonce(), id = createJobId(), target } = submission;
  const { store, capacity } = options;
  const ceilings = { ...capacity.config.ceilings, ...submission.ceilings };
  const { piped = false } = submission;
  const { hash, inline } = await storeStdin(submission, { store, maxBytes: ceilings.input_bytes });
  const stdinHash = piped ? null : hash;
  const blobs = checkJob(
    {
      manifest,
      ceilings,
      // Standard input sent with the job needs no stored blob.
      stdinHash: inline === undefined ? stdinHash ?? undefined : undefined,
      blob: (hash) => store.blobs.info(hash),
      isRemote: target !== undefined,
    },
    capacity,
  );
  await checkStoredModule(manifest, store);
  const job = {
    id,
    submitter,
    manifest,
    manifestHash: submission.manifestHash ?? await manifestHash(manifest),
    nonce,
    moduleHash: manifest.module_hash,
    stdinHash,
    priority: manifest.priority,
    idempotent: manifest.idempotent,
    ceilings,
    createdAt: Date.now(),
    piped,
    target,
    stdin: inline,
  };
  const { position, durability } = options;
  return await store.accept(job, {
    blobs,
    position,
    durability,
    isNew: submission.id === undefined,
  });
}
