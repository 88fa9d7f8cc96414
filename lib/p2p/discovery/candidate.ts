/**
 * Maps search criteria to DHT keys, and matches and scores the nodes found.
 *
 * @module
 */
import * as raw from "multiformats/codecs/raw";
import type { Capability, CapabilityFields } from "./capability.ts";
import type { Path, Transport } from "../network_events.ts";
import type { PeerRecord } from "../state/peer_state.ts";
import { CID } from "multiformats/cid";
import { sha256 } from "multiformats/hashes/sha2";

/** Requirements for a node. It must meet all that are present. */
export interface DiscoverCriteria {
  /** Architecture, such as `x86_64` or `aarch64`. */
  arch?: string | undefined;
  /** Name of the node's program, such as `plasm`. */
  runtime?: string | undefined;
  /** WASI version, such as `preview1`. */
  wasi?: string | undefined;
  /** WebAssembly proposals, such as `simd`. */
  features?: readonly string[] | undefined;
  /** Lowest acceptable memory limit of one job, in MiB. */
  minMemoryMb?: number | undefined;
  /** Lowest acceptable time limit of one job, in seconds. */
  minTimeoutSeconds?: number | undefined;
  /** Lowest acceptable number of CPU cores. */
  minCores?: number | undefined;
}

/** Node that meets the criteria. */
export interface Candidate {
  peerId: string;
  /** Verified document. */
  capability: Capability;
  /** Time to request and receive the document, in milliseconds. */
  latencyMs: number;
  /** Score from 0 to 1; higher is better. */
  score: number;
  transport: Transport;
  path: Path;
}

/** Most selective topic of the criteria. */
export function topicFor({ arch }: DiscoverCriteria): CapabilityTopic {
  return arch === undefined ? "node" : `arch:${arch}`;
}

/** Reports whether a node meets the criteria. */
export function isMatch(capability: Capability, criteria: DiscoverCriteria): boolean {
  const { runtime, wasi, features, limits, cpu_cores, availability } = capability;
  return (availability?.accepting ?? true) &&
    (criteria.arch === undefined || runtime.arch === criteria.arch) &&
    (criteria.runtime === undefined || runtime.name === criteria.runtime) &&
    (criteria.wasi === undefined || wasi.includes(criteria.wasi)) &&
    (criteria.features ?? []).every((feature) => features.includes(feature)) &&
    limits.memory_mb >= (criteria.minMemoryMb ?? 0) &&
    limits.timeout_seconds >= (criteria.minTimeoutSeconds ?? 0) &&
    cpu_cores >= (criteria.minCores ?? 0);
}

/** Latency that halves the score, in milliseconds. */
const HALF_LATENCY_MS = 100;

/** Factor for a relayed connection, which is limited and shared. */
const RELAYED_FACTOR = 0.5;

/** Free share of slots that a node without successful jobs can claim at most. */
const MAX_UNPROVEN_FREE = 0.5;

/**
 * Computes a node's score from 0 to 1: the product of its free share of slots, its proximity and the success rate of its
 * jobs, of which refused ones are not successes. By Laplace's rule the success rate of an unknown node is one half. A node's own statement of its load counts
 * in proportion to that rate: what exceeds {@linkcode MAX_UNPROVEN_FREE} must be proven by jobs.
 */
export function scoreOf(
  { load }: Capability,
  { latencyMs, path, record }: { latencyMs: number; path: Path; record: PeerRecord },
): number {
  const busy = load.running + load.queued;
  const claimed = load.slots === 0 ? 0 : load.slots / (load.slots + busy);
  const jobs = record.succeeded + record.failed + record.refused;
  const proven = record.succeeded / (jobs + 1);
  const free = Math.min(claimed, MAX_UNPROVEN_FREE + (1 - MAX_UNPROVEN_FREE) * proven);
  const proximity = HALF_LATENCY_MS / (HALF_LATENCY_MS + latencyMs);
  const successRate = (record.succeeded + 1) / (jobs + 2);
  return free * proximity * successRate * (path === "relayed" ? RELAYED_FACTOR : 1);
}

/**
 * Topic of a provider record. Each topic of a node costs about 40 messages in every renewal, and nearly all nodes have
 * the other capabilities in common: a search reads them in the documents.
 */
export type CapabilityTopic = "node" | `arch:${string}`;

/** Prefix of hashed topics; a new key format needs a new number. */
const PREFIX = "plasm:capability:1:";

/** Computes the DHT key of a topic: the CIDv1 (raw, SHA-256) of `plasm:capability:1:` and the topic. */
export async function capabilityKey(topic: CapabilityTopic): Promise<CID> {
  return CID.createV1(raw.code, await sha256.digest(new TextEncoder().encode(PREFIX + topic)));
}

/** Topics under which a node with these capabilities is provided. */
export function topicsOf({ runtime }: CapabilityFields): CapabilityTopic[] {
  return ["node", `arch:${runtime.arch}`];
}
