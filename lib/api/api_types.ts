/**
 * What the local API says, as schemas/openapi.json describes it: the contract between daemon and clients.
 * @module
 */
import type { JobStatus, Manifest, Receipt, Runtime } from "../core/mod.ts";
import type { JsonValue, PlasmErrorJson } from "../core/errors/mod.ts";

/**
 * Where a job stands. `finished` has a receipt, whatever its status; `failed` is the node's fault or
 * a module that could not begin; `interrupted` was running when the node stopped and may not run again.
 */
export type JobState = "queued" | "running" | "finished" | "failed" | "interrupted";

/** Order among one submitter's jobs. */
export type JobPriority = "low" | "normal" | "high";

/** Which node a job is to run on, when not this one. */
export interface JobTarget {
  /** A peer id, or a multiaddr that ends with one. Left out: whoever is found. */
  peer?: string;
  /** Such as `x86_64` or `aarch64`. */
  arch?: string;
  /** What one job may ask for there at least, in MiB. */
  min_memory_mb?: number;
  /** Nodes tried at most; 3 where left out. */
  attempts?: number;
  /** Whether the other node may know who asks; where left out a key of its own is used for each job. */
  as_node?: boolean;
}

/** The streams that a job writes. */
export type OutputStream = "stdout" | "stderr";

/** A job. Times are RFC 3339 in UTC. */
export interface JobJson {
  /** "job_" and 26 base32 digits. */
  id: string;
  /** `local`, `local:<label>`, or `peer:<peer id>`. */
  submitter: string;
  /** Where it stands. */
  state: JobState;
  /** How it ended, once `finished`. */
  status: JobStatus | null;
  /** The job's own, where it exited. */
  exit_code: number | null;
  /** What stopped it, where it did not simply exit. */
  message: string | null;
  /** Why there is no result, once `failed` or `interrupted`. */
  error: PlasmErrorJson | null;
  /** Jobs that start before it, while it is queued. */
  position: number | null;
  /** Order among its submitter's jobs. */
  priority: JobPriority;
  /** SHA-256 of the manifest's canonical JSON. */
  manifest_hash: string;
  /** SHA-256 of the module. */
  module_hash: string;
  /** SHA-256 of standard input; of a piped job null until it is over. */
  stdin_hash: string | null;
  /** What its receipt must carry. */
  nonce: string;
  /** Where else it runs; its receipt is then signed by the node there. null: here. */
  target: JobTarget | null;
  /** The other node that ran it, whose receipt this one has verified. null: this one, or none yet. */
  peer: string | null;
  /** How often it was started. */
  attempts: number;
  /** When it was accepted. */
  created_at: string;
  /** When it was last started. */
  started_at: string | null;
  /** When it was over. */
  finished_at: string | null;
  /** Whether its client gave it standard input and took its output while it ran: neither is kept. */
  piped: boolean;
  /** Length of standard output so far; of a piped job 0 until it is over. */
  stdout_bytes: number;
  /** Length of standard error so far. */
  stderr_bytes: number;
}

/** What `POST /v1/run` answers once the job is over. */
export interface JobResultJson {
  /** How it ended. */
  job: JobJson;
  /** null: it has no result, and `job.error` says why. */
  receipt: Receipt | null;
  /** Standard output in base64; null where it is too long for one answer. */
  stdout: string | null;
  /** Standard error in base64; null where it is too long for one answer. */
  stderr: string | null;
}

/** A job with its manifest. */
export type JobDetailJson = JobJson & { manifest: Manifest };

/** A page of jobs, the newest first. */
export interface JobPageJson {
  /** The jobs. */
  jobs: JobJson[];
  /** `before` of the next page; null on the last. */
  next: string | null;
}

/** An event; `Data` is base64 text on the wire and bytes in the client. */
export type ApiEvent<Data> =
  & { id: number; at: string }
  & (
    | { type: "queued"; position: number }
    | { type: "started"; attempt: number }
    | { type: OutputStream; offset: number; data: Data }
    /** The node stopped while the job ran; `rerun` says that it runs again: forget its output. */
    | { type: "interrupted"; rerun: boolean }
    | { type: "finished"; status: JobStatus; exit_code: number | null; message: string | null }
    | { type: "failed"; error: PlasmErrorJson }
  );

/** An event as it is sent. */
export type EventJson = ApiEvent<string>;

/** The node. */
export interface NodeJson {
  /** Its libp2p peer id. */
  peer_id: string;
  /** Its Ed25519 key in hex: what signs receipts. */
  public_key: string;
  /** What runs its jobs. */
  runtime: Runtime;
  /** What a manifest may require of it. */
  capabilities: string[];
  /** The most one job may ask for, in the manifest's units. */
  ceilings: Record<string, number>;
  /** What it is doing; memory in MiB. */
  load: {
    queued: number;
    running: number;
    concurrency: number;
    queue_max: number;
    memory_mb: number;
    memory_budget_mb: number;
  };
  /** null: the network is off. */
  network: Record<string, JsonValue> | null;
}

/** Whether jobs are taken and can be saved. */
export interface ReadinessJson {
  /** Whether all is well. */
  ready: boolean;
  /** What was looked at; `store` is "ok" or what is wrong. */
  checks: { accepting: boolean; store: string };
}

/** Versions of the node and its parts. */
export interface VersionJson {
  /** Name of the program. */
  name: string;
  /** Version of the program. */
  version: string;
  /** Version of Deno. */
  deno: string;
  /** Version of V8. */
  v8: string;
  /** Processor architecture. */
  arch: string;
}

/** Tells whether an event is the last of its job. */
export function isFinalEvent(event: { type: string; rerun?: boolean }): boolean {
  return event.type === "finished" || event.type === "failed" ||
    (event.type === "interrupted" && event.rerun === false);
}

/** What a node must offer; what is absent does not matter. */
export interface DiscoverQueryJson {
  /** Such as `x86_64` or `aarch64`. */
  arch?: string | undefined;
  /** Name of the node's program, such as `plasm`. */
  runtime?: string | undefined;
  /** Such as `preview1`. */
  wasi?: string | undefined;
  /** WebAssembly proposals, such as `simd`. */
  features?: readonly string[] | undefined;
  /** What one job may ask for at least, in MiB. */
  min_memory_mb?: number | undefined;
  /** What one job may ask for at least, in seconds. */
  min_timeout_seconds?: number | undefined;
  /** Cores at least. */
  min_cores?: number | undefined;
  /** Nodes after which the search ends. @default {10} */
  limit?: number | undefined;
  /** When the search ends. @default {30} */
  timeout_seconds?: number | undefined;
}

/** A node that was found. */
export interface FoundNodeJson {
  /** Its peer id. */
  peer_id: string;
  /** From asking for the document to having it. */
  latency_ms: number;
  /** Fit, latency and past behaviour, from 0 to 1; the higher the better. */
  score: number;
  /** How it was reached. */
  transport: string;
  /** Direct or by a relay. */
  path: "direct" | "relayed";
  /** The node's signed document, verified; see schemas/capability.json. */
  capability: JsonValue;
}

/** An open connection to a peer. */
export interface PeerJson {
  /** Its peer id. */
  peer_id: string;
  /** The address in use. */
  address: string;
  /** How it is connected. */
  transport: string;
  /** Who dialled. */
  direction: "inbound" | "outbound";
  /** Direct or by a relay. */
  path: "direct" | "relayed";
  /** The latest ping; null before the first. */
  latency_ms: number | null;
  /** RFC 3339. */
  opened_at: string;
  /** Streams open now. */
  streams: number;
}
