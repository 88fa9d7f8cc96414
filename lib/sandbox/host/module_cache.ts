/**
 * Which compiled modules an executor keeps for further jobs of its tenant. The parent decides, so
 * that both sides agree on what is there without asking.
 * @module
 */
import type { ModuleHeader } from "../ipc/mod.ts";

/** Modules at most: a tenant that runs more kinds of job than this in turn compiles them again. */
const MAX_MODULES = 8;

/**
 * Bytes of all kept modules together, as wasm: an executor that idles holds some five times as much
 * in generated code. CPython has 26 MB.
 */
const MAX_BYTES = 32 * 2 ** 20;

/** The modules that one executor has; the least recently used goes first. */
export class ModuleCache {
  /** Sizes in bytes by key, the least recently used first. */
  readonly #kept = new Map<string, number>();
  #bytes = 0;

  /** Whether the executor has a module. */
  has(key: string): boolean {
    return this.#kept.has(key);
  }

  /** Notes that a job with this module is about to be sent; what is returned goes with it. */
  use(key: string | undefined, bytes: number): ModuleHeader {
    if (key === undefined || bytes > MAX_BYTES) {
      return { key: null, isKept: false, bytes, forget: [] };
    }
    const isKept = this.#kept.has(key);
    this.forget(key);
    const forget: string[] = [];
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size < MAX_MODULES && this.#bytes + bytes <= MAX_BYTES) break;
      this.forget(oldest);
      forget.push(oldest);
    }
    this.#kept.set(key, bytes);
    this.#bytes += bytes;
    return { key, isKept, bytes, forget };
  }

  /** The executor does not have it after all. */
  forget(key: string): void {
    this.#bytes -= this.#kept.get(key) ?? 0;
    this.#kept.delete(key);
  }
}
