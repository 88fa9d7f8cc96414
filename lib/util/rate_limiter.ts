/**
 * Limits the request rate of each peer with a token bucket.
 *
 * @module
 */

import { BoundedMap } from "./collections.ts";

/** Options of {@linkcode RateLimiter}. */
export interface RateLimiterOptions {
  /** Requests a peer may make at once after an idle period. */
  burst: number;
  /** Requests a second in the long run. */
  perSecond: number;
  /**
   * Peers tracked; beyond it the peer seen longest ago is evicted.
   * @default {4096}
   */
  maxPeers?: number;
  /**
   * The clock, in milliseconds.
   * @default {performance.now}
   */
  now?: () => number;
}

interface Bucket {
  tokens: number;
  at: number;
}

/** Token bucket per peer. */
export class RateLimiter {
  #options: Required<RateLimiterOptions>;
  #buckets: BoundedMap<string, Bucket>;

  constructor(options: RateLimiterOptions) {
    this.#options = { maxPeers: 4096, now: () => performance.now(), ...options };
    this.#buckets = new BoundedMap(this.#options.maxPeers);
  }

  /** Counts requests (default one); returns false, without counting, if the peer exceeds its limit. */
  take(peer: string, count = 1): boolean {
    const { burst, perSecond, now } = this.#options;
    const at = now();
    const last = this.#buckets.get(peer) ?? { tokens: burst, at };
    const tokens = Math.min(burst, last.tokens + (at - last.at) / 1000 * perSecond);
    const isAllowed = tokens >= count;
    this.#buckets.set(peer, { tokens: isAllowed ? tokens - count : tokens, at });
    return isAllowed;
  }

  /** Number of peers tracked. */
  get size(): number {
    return this.#buckets.size;
  }
}
