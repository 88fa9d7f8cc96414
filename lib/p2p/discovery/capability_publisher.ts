/**
 * Publishes the capabilities of this node: a signed document on request, and provider records in
 * the DHT for who looks.
 * @module
 */
import type { Signer } from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import { type Capability, type CapabilityFields, signCapability } from "./capability.ts";
import { capabilityKey, type CapabilityTopic, topicsOf } from "./candidate.ts";
import { type EmitEvent, reasonOf } from "../network_events.ts";
import type { PlasmNode } from "../libp2p_node.ts";
import { forEachLimited, sleep } from "../../util/async/mod.ts";

/** How long a document is valid: a node that vanished is believed in no longer than this. */
const VALIDITY_MS = 30 * 60 * 1000;
/** When document and records are renewed: one failed renewal costs nothing. */
const REFRESH_MS = VALIDITY_MS / 3;
/** Records published concurrently; each one is a lookup. */
const PROVIDE_PARALLEL = 4;
/** A lookup that takes longer will not get better. */
const PROVIDE_TIMEOUT_MS = 60_000;
/** Delay after records that no peer stored; it doubles up to the refresh interval. */
const RETRY_MS = 5_000;
/** Schema's own bound. */
const MAX_ADDRESSES = 32;

/** What a {@linkcode CapabilityPublisher} works with. */
export interface CapabilityPublisherOptions {
  node: PlasmNode;
  signer: Signer;
  emit: EmitEvent;
  /** Ends it. */
  signal: AbortSignal;
}

/** Keeps one node's document and records. */
export class CapabilityPublisher {
  #options: CapabilityPublisherOptions;
  #fields: CapabilityFields | undefined;
  #document: Capability | undefined;
  #provided: readonly CapabilityTopic[] = [];
  #lastSeq = 0;
  #renewing: AbortController | undefined;
  #signing: Promise<void> = Promise.resolve();

  constructor(options: CapabilityPublisherOptions) {
    this.#options = options;
    // Addresses are part of the document.
    options.node.libp2p.addEventListener("self:peer:update", () => {
      if (this.#fields === undefined || options.signal.aborted) return;
      const isSame = this.#addresses().join() === this.#document?.addresses.join();
      if (!isSame) void this.#sign().catch(() => {});
    });
  }

  /** The document as it is now; undefined before the first is published. */
  get document(): Capability | undefined {
    return this.#document;
  }

  /**
   * Signs a new document. Where what can be looked for has changed, the records in the DHT follow
   * in the background.
   *
   * @throws {PlasmError} `internal` where the document would not follow its schema
   */
  async publish(fields: CapabilityFields): Promise<void> {
    this.#fields = structuredClone(fields);
    await this.#sign();
    const topics = topicsOf(fields);
    const gone = this.#provided.filter((topic) => !topics.includes(topic));
    if (gone.length === 0 && topics.length === this.#provided.length) return;
    this.#provided = topics;
    // The DHT would renew them for ever.
    const { dht } = this.#options.node;
    for (const topic of gone) await dht.cancelReprovide(await capabilityKey(topic));
    this.#renewing?.abort();
    this.#renewing = new AbortController();
    void this.#renew(AbortSignal.any([this.#options.signal, this.#renewing.signal]));
  }

  /** One at a time, so that sequence numbers and documents stay in step. */
  #sign(): Promise<void> {
    const next = this.#signing.catch(() => {}).then(() => this.#signNow());
    this.#signing = next;
    return next;
  }

  async #signNow(): Promise<void> {
    const { signer, emit } = this.#options;
    const now = Date.now();
    // The clock makes the number grow over restarts without a file.
    const seq = Math.max(this.#lastSeq + 1, now);
    const addresses = this.#addresses();
    this.#document = await signCapability(this.#fields!, {
      signer,
      seq,
      addresses,
      issuedAt: now,
      validityMs: VALIDITY_MS,
    });
    this.#lastSeq = seq;
    emit({ event: "capability_published", count: addresses.length });
  }

  #addresses(): string[] {
    const all = this.#options.node.libp2p.getMultiaddrs()
      .map((address) => address.toString().replace(/\/p2p\/[^/]+$/, ""));
    return [...new Set(all)].slice(0, MAX_ADDRESSES);
  }

  async #renew(signal: AbortSignal): Promise<void> {
    let retryMs = RETRY_MS;
    while (!signal.aborted) {
      const isProvided = await this.#provide(topicsOf(this.#fields!), signal);
      const restMs = isProvided ? REFRESH_MS : retryMs;
      retryMs = isProvided ? RETRY_MS : Math.min(retryMs * 2, REFRESH_MS);
      await sleep(restMs, signal);
      if (!signal.aborted) await this.#sign().catch(() => {});
    }
  }

  async #provide(topics: readonly CapabilityTopic[], signal: AbortSignal): Promise<boolean> {
    const { node, emit } = this.#options;
    const start = performance.now();
    let provided = 0;
    let failure: unknown;
    await forEachLimited(topics, {
      limit: PROVIDE_PARALLEL,
      task: async (topic) => {
        try {
          await provideKey(node, { topic, signal });
          provided++;
        } catch (error) {
          failure = error;
        }
      },
    });
    if (signal.aborted) return false;
    emit({
      event: "provide",
      count: provided,
      latency_ms: Math.round(performance.now() - start),
      ...(failure === undefined ? {} : { error_code: "no-peer", reason: reasonOf(failure) }),
    });
    return provided === topics.length;
  }
}

async function provideKey(
  { dht }: PlasmNode,
  { topic, signal }: { topic: CapabilityTopic; signal: AbortSignal },
): Promise<void> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(PROVIDE_TIMEOUT_MS)]);
  let taken = 0;
  for await (const event of dht.provide(await capabilityKey(topic), { signal: limit })) {
    if (event.name === "PEER_RESPONSE" && event.messageName === "ADD_PROVIDER") taken++;
  }
  if (taken === 0) throw new PlasmError("no-peer", `Cannot provide ${topic}: no peer took it`);
}
