/**
 * Publishes the capabilities of this node: signs the document and stores provider records in the DHT.
 *
 * @module
 */
import type { PeerId } from "@libp2p/interface";
import type { Signer } from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import { type Capability, type CapabilityFields, signCapability } from "./capability.ts";
import { capabilityKey, type CapabilityTopic, topicsOf } from "./candidate.ts";
import { type EmitEvent, reasonOf } from "../network_events.ts";
import type { PlasmNode } from "../libp2p_node.ts";
import { withdrawRecord } from "../patches/provider_records.ts";
import { delay, forEachLimited, retry } from "../../util/async/mod.ts";

/** Validity of a document, in milliseconds: a node that vanished remains discoverable for this long. */
const VALIDITY_MS = 30 * 60 * 1000;
/** Interval between renewals of document and records, in milliseconds: two may fail before the document expires. */
const REFRESH_MS = VALIDITY_MS / 3;
/** Records stored concurrently; each one costs a lookup. */
const PROVIDE_PARALLEL = 4;
/** Time limit of a lookup, in milliseconds. */
const PROVIDE_TIMEOUT_MS = 60_000;
/** Delay after a record that no peer stored, in milliseconds; it doubles up to the renewal interval. */
const RETRY_MS = 5_000;
/** Time limit for the withdrawal of all records, in milliseconds. */
const WITHDRAW_MS = 1_000;
/** Most addresses in a document, by its schema. */
const MAX_ADDRESSES = 32;

/** Options of {@linkcode CapabilityPublisher}. */
export interface CapabilityPublisherOptions {
  node: PlasmNode;
  signer: Signer;
  emit: EmitEvent;
  /** Stops the renewals. */
  signal: AbortSignal;
}

/** Signs and renews the document and the records of one node. */
export class CapabilityPublisher {
  #options: CapabilityPublisherOptions;
  #fields: CapabilityFields | undefined;
  #document: Capability | undefined;
  #provided: readonly CapabilityTopic[] = [];
  /** Peers that store the record of each topic, by id, with the time at which they last stored it. */
  #holders = new Map<CapabilityTopic, Map<string, { peerId: PeerId; at: number }>>();
  #lastSeq = 0;
  #renewing: AbortController | undefined;
  #signing: Promise<void> = Promise.resolve();

  constructor(options: CapabilityPublisherOptions) {
    this.#options = options;
    // The document contains the addresses.
    options.node.libp2p.addEventListener("self:peer:update", () => {
      if (this.#fields === undefined || options.signal.aborted) return;
      const isSame = this.#addresses().join() === this.#document?.addresses.join();
      if (!isSame) void this.#sign().catch(() => {});
    });
  }

  /** Current document; undefined before the first is published. */
  get document(): Capability | undefined {
    return this.#document;
  }

  /**
   * Signs a new document. If the topics have changed, the records in the DHT are replaced in the background.
   *
   * @throws {PlasmError} `internal` if the document would violate its schema.
   */
  async publish(fields: CapabilityFields): Promise<void> {
    this.#fields = structuredClone(fields);
    await this.#sign();
    const topics = topicsOf(fields);
    const gone = this.#provided.filter((topic) => !topics.includes(topic));
    if (gone.length === 0 && topics.length === this.#provided.length) return;
    this.#provided = topics;
    // The DHT would renew them indefinitely.
    const { dht } = this.#options.node;
    for (const topic of gone) await dht.cancelReprovide(await capabilityKey(topic));
    void this.#withdraw(gone);
    this.#renewing?.abort();
    this.#renewing = new AbortController();
    void this.#renew(AbortSignal.any([this.#options.signal, this.#renewing.signal]));
  }

  /** Withdraws all records, so that they do not lead others to a node that has stopped. Takes at most a second. */
  async withdraw(): Promise<void> {
    await this.#withdraw([...this.#holders.keys()]);
  }

  /** Withdraws records from the connected peers that store them. */
  async #withdraw(topics: readonly CapabilityTopic[]): Promise<void> {
    const { libp2p, dht } = this.#options.node;
    const signal = AbortSignal.timeout(WITHDRAW_MS);
    const sending: Promise<void>[] = [];
    for (const topic of topics) {
      const key = await capabilityKey(topic);
      for (const { peerId: holder } of this.#holders.get(topic)?.values() ?? []) {
        if (libp2p.getConnections(holder).length === 0) continue;
        sending.push(withdrawRecord(dht, key, { holder, self: libp2p.peerId, signal }));
      }
      this.#holders.delete(topic);
    }
    await Promise.all(sending);
  }

  /** Each renewal may reach other peers; those of earlier ones keep the record until it expires. */
  #addHolder(topic: CapabilityTopic, peerId: PeerId): void {
    const now = Date.now();
    const holders = this.#holders.get(topic) ?? new Map();
    for (const [id, { at }] of holders) if (now - at > VALIDITY_MS) holders.delete(id);
    holders.set(peerId.toString(), { peerId, at: now });
    this.#holders.set(topic, holders);
  }

  /** Signs one document at a time, so that their sequence numbers are in order. */
  #sign(): Promise<void> {
    const next = this.#signing.catch(() => {}).then(() => this.#signNow());
    this.#signing = next;
    return next;
  }

  async #signNow(): Promise<void> {
    const { signer, emit } = this.#options;
    const now = Date.now();
    // The clock keeps the number increasing across restarts without a file.
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
    emit({ event: "capability-published", count: addresses.length });
  }

  #addresses(): string[] {
    const all = this.#options.node.libp2p.getMultiaddrs()
      .map((address) => address.toString().replace(/\/p2p\/[^/]+$/, ""));
    return [...new Set(all)].slice(0, MAX_ADDRESSES);
  }

  /** Stores the records and renews them, with a new document for each attempt after the first. */
  async #renew(signal: AbortSignal): Promise<void> {
    let isSigned = true;
    const attempt = async (): Promise<void> => {
      if (!isSigned) await this.#sign().catch(() => {});
      isSigned = false;
      await this.#provide(topicsOf(this.#fields!), signal);
    };
    try {
      for (;;) {
        await retry(attempt, { minMs: RETRY_MS, maxMs: REFRESH_MS, signal });
        await delay(REFRESH_MS, { signal });
      }
    } catch {
      // The signal aborted.
    }
  }

  /** @throws {Error} If not every record was stored. */
  async #provide(topics: readonly CapabilityTopic[], signal: AbortSignal): Promise<void> {
    const { node, emit } = this.#options;
    const start = performance.now();
    let provided = 0;
    let failure: unknown;
    await forEachLimited(topics, {
      limit: PROVIDE_PARALLEL,
      task: async (topic) => {
        try {
          for (const peerId of await provideKey(node, { topic, signal })) {
            this.#addHolder(topic, peerId);
          }
          provided++;
        } catch (error) {
          failure = error;
        }
      },
    });
    signal.throwIfAborted();
    emit({
      event: "provide",
      count: provided,
      latency_ms: Math.round(performance.now() - start),
      ...(failure === undefined ? {} : { error_code: "no-peer", reason: reasonOf(failure) }),
    });
    if (provided < topics.length) throw new Error(`Stored ${provided} of ${topics.length} records`);
  }
}

/** Stores the record of a topic and returns the peers that store it. */
async function provideKey(
  { dht }: PlasmNode,
  { topic, signal }: { topic: CapabilityTopic; signal: AbortSignal },
): Promise<Set<PeerId>> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(PROVIDE_TIMEOUT_MS)]);
  const holders = new Map<string, PeerId>();
  for await (const event of dht.provide(await capabilityKey(topic), { signal: limit })) {
    if (event.name === "PEER_RESPONSE" && event.messageName === "ADD_PROVIDER") {
      holders.set(event.from.toString(), event.from);
    }
  }
  if (holders.size === 0) {
    throw new PlasmError("no-peer", `Cannot provide ${topic}: no peer stored it`);
  }
  return new Set(holders.values());
}
