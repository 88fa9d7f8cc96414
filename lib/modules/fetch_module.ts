/**
 * Fetches the module that a reference names.
 *
 * @module
 */
import { type Env, type Hash, isHash, sha256 } from "../core/mod.ts";
import { PlasmError } from "../core/errors/mod.ts";
import { escapeText } from "../util/mod.ts";
import { Downloader } from "./download.ts";
import type { HostPolicy } from "./policy/mod.ts";
import { moduleCacheDir, ModuleStore } from "./module_store.ts";
import { type ModuleReference, parseReference } from "./reference.ts";
import { pullModule } from "./registry.ts";

/** Largest module that is fetched by default, in bytes. */
export const MAX_FETCHED_BYTES: number = 512 * 2 ** 20;

/** Options of {@linkcode fetchModule}. */
export interface FetchModuleOptions {
  /**
   * Whether to use only modules of the cache.
   * @default {false}
   */
  offline?: boolean | undefined;
  /**
   * Most bytes of the module.
   * @default {MAX_FETCHED_BYTES}
   */
  maxBytes?: number | undefined;
  /**
   * Directory of the cache.
   * @default {$XDG_CACHE_HOME/plasm/modules, else ~/.cache/plasm/modules}
   */
  cacheDir?: string | undefined;
  /**
   * Looks up environment variables: of the cache, of Docker's configuration and of certificates.
   * @default {Deno.env.get}
   */
  env?: ((name: string) => string | undefined) | undefined;
  /**
   * Called with each piece of a download: bytes received, and bytes in total if the server says how many.
   * @default {nothing}
   */
  onProgress?: ((received: number, total: number | undefined) => void) | undefined;
  /** Aborts the download. @default {never} */
  signal?: AbortSignal | undefined;
}

/** A fetched module. */
export interface FetchedModule {
  /** The module. */
  module: Uint8Array<ArrayBuffer>;
  /** Its hash. */
  hash: Hash;
}

/** Where a module is fetched from: neither a file nor standard input. */
export type RemoteReference = Extract<ModuleReference, { kind: "url" | "oci" | "hash" }>;

/**
 * Fetches the module that `https://…`, `oci://HOST/REPO[:TAG|@sha256:…]` or `sha256:…` names, from the cache if it holds it.
 * `#sha256=…` pins the content.
 *
 * @throws {PlasmError} `usage` for a reference that is malformed or names a file; `unreachable`, `not-found`,
 * `unauthorized`, `policy`, `too-large`, `protocol`, `bad-module` if the content has another hash; `state`; `interrupted`
 *
 * @example
 * ```ts
 * import { fetchModule, sha256 } from "@plasm/plasm";
 * import { assertEquals } from "@std/assert";
 *
 * const hello = await Deno.readFile("examples/hello/hello.wasm");
 * await using server = Deno.serve({ port: 0, onListen: () => {} }, () => new Response(hello));
 * const pin = (await sha256(hello)).replace(":", "=");
 * const cacheDir = await Deno.makeTempDir();
 * const url = `http://localhost:${server.addr.port}/hello.wasm#${pin}`;
 * assertEquals((await fetchModule(url, { cacheDir })).module, hello);
 * await Deno.remove(cacheDir, { recursive: true });
 * ```
 */
export async function fetchModule(
  reference: string,
  options: FetchModuleOptions = {},
): Promise<FetchedModule> {
  const parsed = parseReference(reference);
  if (parsed.kind === "file" || parsed.kind === "stdin") {
    throw new PlasmError("usage", "Cannot fetch module: the reference names a file", {
      hint: "Read it with Deno.readFile",
    });
  }
  const { env = (name) => Deno.env.get(name) } = options;
  const cache = new ModuleStore(options.cacheDir ?? moduleCacheDir(env));
  return await fetchReference(parsed, { ...options, env, cache });
}

/** Where fetched modules are stored, such as a {@linkcode ModuleStore}. */
export type ReferenceCache = Pick<ModuleStore, "read" | "write" | "lookUp" | "remember">;

/** Options of {@linkcode fetchReference}. */
export interface FetchReferenceOptions extends Omit<FetchModuleOptions, "cacheDir" | "env"> {
  /** Stores what is fetched. */
  cache: ReferenceCache;
  /** Looks up environment variables. */
  env: Env;
  /** Servers that it may use. @default {all} */
  policy?: HostPolicy | undefined;
}

/**
 * Fetches the module of a parsed reference into a cache.
 *
 * @throws {PlasmError} as {@linkcode fetchModule}; `policy` if the policy does not allow a server
 */
export async function fetchReference(
  reference: RemoteReference,
  options: FetchReferenceOptions,
): Promise<FetchedModule> {
  const fetched = await new Fetch(reference, options).run();
  const { maxBytes = MAX_FETCHED_BYTES } = options;
  if (fetched.module.length > maxBytes) {
    throw new PlasmError(
      "too-large",
      `Cannot use module: it has ${fetched.module.length} bytes, ${maxBytes} are allowed`,
      { details: { allowed: maxBytes } },
    );
  }
  return fetched;
}

/** Fetches one module. */
class Fetch {
  readonly #reference: RemoteReference;
  readonly #name: string;
  readonly #options: FetchReferenceOptions;
  readonly #cache: ReferenceCache;
  readonly #env: Env;

  constructor(reference: RemoteReference, options: FetchReferenceOptions) {
    this.#reference = reference;
    this.#options = options;
    this.#cache = options.cache;
    this.#env = options.env;
    this.#name = nameOf(reference);
  }

  async run(): Promise<FetchedModule> {
    const { digest } = this.#reference;
    const pinned = digest === undefined ? undefined : await this.#cache.read(digest);
    if (digest !== undefined && pinned !== undefined) return { module: pinned, hash: digest };
    if (this.#reference.kind === "hash") throw this.#notCached("no module of this hash is there");
    const known = await this.#cache.lookUp(this.#name);
    if (this.#options.offline || isImmutable(this.#reference)) {
      const module = known && await this.#cache.read(known.digest);
      if (known !== undefined && module !== undefined) {
        return this.#checked({ module, hash: known.digest });
      }
      if (this.#options.offline) throw this.#notCached("it has not been downloaded before");
    }
    using downloader = new Downloader({
      caFile: this.#env("SSL_CERT_FILE") || undefined,
      policy: this.#options.policy,
    });
    const { etag, ...fetched } = this.#reference.kind === "oci"
      ? await this.#pull(this.#reference, downloader)
      : await this.#download(this.#reference.url, downloader);
    this.#checked(fetched);
    await this.#cache.write(fetched.hash, fetched.module);
    await this.#cache.remember(this.#name, { digest: fetched.hash, etag });
    return fetched;
  }

  async #pull(
    reference: Extract<ModuleReference, { kind: "oci" }>,
    downloader: Downloader,
  ): Promise<FetchedModule & { etag?: undefined }> {
    const { maxBytes = MAX_FETCHED_BYTES, onProgress, signal } = this.#options;
    const { digest, content } = await pullModule(reference, {
      downloader,
      maxBytes,
      env: this.#env,
      known: (hash) => this.#cache.read(hash),
      onProgress: onProgress && (({ received, total }) => onProgress(received, total)),
      signal,
    });
    return { module: content, hash: digest };
  }

  async #download(
    url: URL,
    downloader: Downloader,
  ): Promise<FetchedModule & { etag?: string | undefined }> {
    const { maxBytes = MAX_FETCHED_BYTES, onProgress, signal } = this.#options;
    const known = await this.#cache.lookUp(this.#name);
    const cached = known?.etag === undefined ? undefined : await this.#cache.read(known.digest);
    const { status, headers, content } = await downloader.get(url, {
      maxBytes,
      headers: cached === undefined ? {} : { "if-none-match": known!.etag! },
      accept: cached === undefined ? [] : [304],
      onProgress: onProgress && (({ received, total }) => onProgress(received, total)),
      signal,
    });
    if (status === 304) return { module: cached!, hash: known!.digest, etag: known!.etag };
    const etag = headers.get("etag") ?? undefined;
    return { module: content, hash: await sha256(content), etag };
  }

  #checked(fetched: FetchedModule): FetchedModule {
    const { digest } = this.#reference;
    if (digest === undefined || fetched.hash === digest) return fetched;
    throw new PlasmError(
      "bad-module",
      `Cannot use ${this.#name}: it is pinned to ${digest}, its content hashes to ${fetched.hash}`,
      {
        hint: "Do not run it unless you know why it changed; then pin the new hash",
        details: { expected: digest, actual: fetched.hash },
      },
    );
  }

  #notCached(why: string): PlasmError {
    return new PlasmError("not-found", `Cannot find ${this.#name} in the module cache: ${why}`, {
      hint: "List the cache with plasm modules ls, fill it with plasm modules pull REFERENCE",
    });
  }
}

/** Reports whether a reference always leads to the same content. */
function isImmutable(reference: RemoteReference): boolean {
  return reference.kind === "oci" && isHash(reference.version);
}

/** Printable name of a reference without its pin. */
function nameOf(reference: RemoteReference): string {
  if (reference.kind === "url") return escapeText(reference.url.href);
  if (reference.kind === "hash") return reference.digest;
  const { registry, repository, version } = reference;
  return escapeText(`oci://${registry}/${repository}${isHash(version) ? "@" : ":"}${version}`);
}
