/**
 * Search criteria, the DHT keys that they map to, and the score of the nodes found.
 *
 * @module
 */
import * as raw from "multiformats/codecs/raw";
import type { Capability, CapabilityFields } from "./capability.ts";
import type { Path, Transport } from "../network_events.ts";
import type { PeerRecord } from "../state/reputation.ts";
import { CID } from "multiformats/cid";
import { sha256 } from "multiformats/hashes/sha2";

/** What a node must offer. All of it; what is absent does not matter. */
export interface DiscoverCriteria {
  /** Such as `x86_64` or `aarch64`. */
  arch?: string | undefined;
  /** Name of the node's program, such as `plasm`. */
  runtime?: string | undefined;
  /** Such as `preview1`. */
  wasi?: string | undefined;
  /** WebAssembly proposals, such as `simd`. */
  features?: readonly string[] | undefined;
  /** What one job may ask for at least, in MiB. */
  minMemoryMb?: number | undefined;
  /** What one job may ask for at least, in seconds. */
  minTimeoutSeconds?: number | undefined;
  minCores?: number | undefined;
}

/** A node that offers what is looked for. */
export interface Candidate {
  peerId: string;
  /** Verified. */
  capability: Capability;
  /** From asking for the document to having it. */
  latencyMs: number;
  /** From 0 to 1; the higher the better. */
  score: number;
  transport: Transport;
  path: Path;
}

/** The topic that leaves the fewest nodes to ask. */
export function topicFor({ features, arch, wasi, runtime }: DiscoverCriteria): CapabilityTopic {
  const [feature] = features ?? [];
  if (feature !== undefined) return `feature:${feature}`;
  if (arch !== undefined) return `arch:${arch}`;
  if (wasi !== undefined) return `wasi:${wasi}`;
  return runtime === undefined ? "node" : `runtime:${runtime}`;
}

/** Whether a node offers all that is looked for. */
export function isMatch(capability: Capability, criteria: DiscoverCriteria): boolean {
  const { runtime, wasi, features, limits, cpu_cores } = capability;
  return (criteria.arch === undefined || runtime.arch === criteria.arch) &&
    (criteria.runtime === undefined || runtime.name === criteria.runtime) &&
    (criteria.wasi === undefined || wasi.includes(criteria.wasi)) &&
    (criteria.features ?? []).every((feature) => features.includes(feature)) &&
    limits.memory_mb >= (criteria.minMemoryMb ?? 0) &&
    limits.timeout_seconds >= (criteria.minTimeoutSeconds ?? 0) &&
    cpu_cores >= (criteria.minCores ?? 0);
}

/** Latency that counts half. */
const HALF_LATENCY_MS = 100;
/** A relayed connection is capped and shared: it is taken where there is no other. */
const RELAYED_WORTH = 0.5;

/**
 * How good a choice a node is, from 0 to 1: the product of what is free, how near it is, and how
 * often it kept its word (Laplace's rule: an unknown one counts half).
 */
export function scoreOf(
  { load }: Capability,
  { latencyMs, path, record }: { latencyMs: number; path: Path; record: PeerRecord },
): number {
  const busy = load.running + load.queued;
  const free = load.slots === 0 ? 0 : load.slots / (load.slots + busy);
  const near = HALF_LATENCY_MS / (HALF_LATENCY_MS + latencyMs);
  const kept = (record.succeeded + 1) / (record.succeeded + record.failed + 2);
  return free * near * kept * (path === "relayed" ? RELAYED_WORTH : 1);
}

/** What a key stands for: `node`, or a kind and its value, such as `arch:x86_64`. */
export type CapabilityTopic =
  | "node"
  | `runtime:${string}`
  | `arch:${string}`
  | `wasi:${string}`
  | `feature:${string}`;

/** A new format of key gets a new number. */
const PREFIX = "plasm:capability:1:";

/** The DHT key of a topic: the CIDv1 (raw, SHA-256) of `plasm:capability:1:` and the topic. */
export async function capabilityKey(topic: CapabilityTopic): Promise<CID> {
  return CID.createV1(raw.code, await sha256.digest(new TextEncoder().encode(PREFIX + topic)));
}

/** All topics under which a node with these capabilities is found. */
export function topicsOf({ runtime, wasi, features }: CapabilityFields): CapabilityTopic[] {
  return [
    "node",
    `runtime:${runtime.name}`,
    `arch:${runtime.arch}`,
    ...wasi.map((level): CapabilityTopic => `wasi:${level}`),
    ...features.map((feature): CapabilityTopic => `feature:${feature}`),
  ];
}
