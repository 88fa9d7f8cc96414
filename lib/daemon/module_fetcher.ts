/**
 * Downloads modules by reference for clients, from the servers that the configuration lists.
 *
 * @module
 */
import type { Config } from "../config/mod.ts";
import { PlasmError } from "../core/errors/mod.ts";
import type { Env, Hash } from "../core/mod.ts";
import { fetchReference, parseReference, type ReferenceCache } from "../modules/mod.ts";
import { HostPolicy } from "../modules/policy/mod.ts";
import { BoundedMap } from "../util/mod.ts";
import type { BlobInfo, JobStore } from "./store/mod.ts";

/** Downloads at once: each holds its module in memory. */
const MAX_DOWNLOADS = 2;

/** Time limit of one download, in milliseconds: a server that sends slowly must not occupy a place for ever. */
const MAX_DOWNLOAD_MS = 600_000;

/** References whose module is remembered, so that an unchanged one is not downloaded again. */
const MAX_REFERENCES = 256;

/** Options of {@linkcode ModuleFetcher}. */
export interface ModuleFetcherOptions {
  store: JobStore;
  /** The current configuration. */
  config: () => Config;
  /** Looks up environment variables: of Docker's configuration and of certificates. */
  env: Env;
}

/** Downloads modules into the daemon's cache. */
export class ModuleFetcher {
  readonly #options: ModuleFetcherOptions;
  readonly #known = new BoundedMap<string, { digest: Hash; etag?: string | undefined }>(
    MAX_REFERENCES,
  );
  #downloads = 0;

  constructor(options: ModuleFetcherOptions) {
    this.#options = options;
  }

  /**
   * Stores the module that a reference names.
   *
   * @throws {PlasmError} `usage` if it names a file; `policy` if a server is not listed; `busy`; as `fetchModule()`
   */
  async fetch(reference: string, signal: AbortSignal): Promise<BlobInfo> {
    const parsed = parseReference(reference);
    if (parsed.kind === "file" || parsed.kind === "stdin") {
      throw new PlasmError("usage", "Cannot fetch module: the reference names a file", {
        hint: "Upload the file instead",
      });
    }
    const { modules: { hosts }, jobs: { ceilings: { module_bytes: maxBytes } } } = this.#options
      .config();
    const isStored = parsed.digest !== undefined &&
      this.#options.store.blobs.info(parsed.digest) !== undefined;
    if (hosts.length === 0 && !isStored && parsed.kind !== "hash") {
      throw new PlasmError("policy", "Cannot fetch module: the daemon downloads from no server", {
        hint:
          "List the server in modules.hosts of the daemon's configuration, or upload the module",
      });
    }
    if (this.#downloads >= MAX_DOWNLOADS) {
      throw new PlasmError("busy", `Cannot fetch module: ${MAX_DOWNLOADS} downloads are running`, {
        retryAfterMs: 1000,
        details: { allowed: MAX_DOWNLOADS },
      });
    }
    this.#downloads++;
    try {
      const { hash, module } = await fetchReference(parsed, {
        cache: this.#cache(maxBytes),
        env: this.#options.env,
        policy: new HostPolicy(hosts),
        maxBytes,
        signal: AbortSignal.any([signal, AbortSignal.timeout(MAX_DOWNLOAD_MS)]),
      });
      return { hash, size: module.length };
    } catch (error) {
      if (!(error instanceof PlasmError) || error.code !== "too-large") throw error;
      const setting = "jobs.ceilings.module_bytes";
      throw new PlasmError(
        "over-limit",
        `Cannot fetch module: it has more than the ${maxBytes} bytes that ${setting} allows`,
        { hint: `Raise ${setting} of the node`, details: { allowed: maxBytes } },
      );
    } finally {
      this.#downloads--;
    }
  }

  /** The daemon's store as a cache of downloads. */
  #cache(maxBytes: number): ReferenceCache {
    const { blobs } = this.#options.store;
    return {
      read: async (digest) =>
        blobs.info(digest) === undefined
          ? undefined
          : await blobs.read(digest, "module") as Uint8Array<ArrayBuffer>,
      write: async (hash, content) => {
        if (blobs.info(hash) !== undefined) return;
        const source = new Blob([content as Uint8Array<ArrayBuffer>]).stream();
        await blobs.put(source, { hash, maxBytes, what: "module" });
      },
      lookUp: (reference) => {
        const known = this.#known.get(reference);
        return Promise.resolve(known && { ...known, usedAt: 0 });
      },
      remember: (reference, known) => {
        this.#known.set(reference, known);
        return Promise.resolve();
      },
    };
  }
}
