/**
 * Under which keys of the DHT a node is found.
 * @module
 */
import { CID } from "multiformats/cid";
import * as raw from "multiformats/codecs/raw";
import { sha256 } from "multiformats/hashes/sha2";
import type { CapabilityFields } from "./capability.ts";

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
