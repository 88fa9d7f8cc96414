/**
 * Keeps downloaded modules on disk by their hash, and what each reference last led to.
 *
 * @module
 */
import { type Env, type Hash, isHash, parseJson, sha256, xdgDir } from "../core/mod.ts";
import { PlasmError } from "../core/errors/mod.ts";
import { escapeText } from "../util/mod.ts";

/** Default limit of all modules of a cache, in bytes. */
export const DEFAULT_CACHE_BYTES: number = 4 * 2 ** 30;

/** References remembered at most; the least recently used are forgotten. */
const MAX_REFERENCES = 1000;

/** Maximum size of the list of references, in bytes. */
const MAX_LIST_BYTES = 8 * 2 ** 20;

/** What a reference led to. */
export interface KnownReference {
  /** Hash of the module. */
  digest: Hash;
  /** The server's entity tag of it. @default {none} */
  etag?: string | undefined;
  /** When it was last used, in milliseconds of Unix time. */
  usedAt: number;
}

/** A module of the cache. */
export interface CachedModule {
  digest: Hash;
  bytes: number;
  /** When it was last used, in milliseconds of Unix time. */
  usedAt: number;
  /** References that led to it. */
  references: string[];
}

/** Options of a {@linkcode ModuleStore}. */
export interface ModuleStoreOptions {
  /** Limit of all modules, in bytes. @default {DEFAULT_CACHE_BYTES} */
  maxBytes?: number | undefined;
}

/**
 * Directory of the module cache: `$XDG_CACHE_HOME/plasm/modules`, else `~/.cache/plasm/modules`.
 *
 * @throws {PlasmError} `state` if neither variable is set
 */
export function moduleCacheDir(env: Env): string {
  const dir = xdgDir(env, "XDG_CACHE_HOME", ".cache");
  if (dir !== undefined) return `${dir}/plasm/modules`;
  throw new PlasmError("state", "Cannot find a cache: neither XDG_CACHE_HOME nor HOME is set", {
    hint: "Set XDG_CACHE_HOME to a directory that you can write to",
  });
}

/** Modules on disk. Several processes may use one directory. */
export class ModuleStore {
  readonly #dir: string;
  readonly #maxBytes: number;

  constructor(dir: string, { maxBytes = DEFAULT_CACHE_BYTES }: ModuleStoreOptions = {}) {
    this.#dir = dir;
    this.#maxBytes = maxBytes;
  }

  /** Returns a module, or undefined if it is not there; a damaged one is deleted. */
  async read(digest: Hash): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const path = this.#path(digest);
    let content: Uint8Array<ArrayBuffer>;
    try {
      content = await Deno.readFile(path);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw this.#error("read", error);
    }
    if (await sha256(content) === digest) {
      const now = new Date();
      await Deno.utime(path, now, now).catch(() => {}); // a cache that is read only
      return content;
    }
    await Deno.remove(path).catch(() => {});
    return undefined;
  }

  /**
   * Stores a module and deletes the least recently used ones beyond the limit.
   *
   * @throws {PlasmError} `state`
   */
  async write(digest: Hash, content: Uint8Array): Promise<void> {
    if (content.length > this.#maxBytes) return;
    try {
      await Deno.mkdir(this.#dir, { recursive: true, mode: 0o700 });
      await this.#replace(this.#path(digest), content);
      await this.prune({ keep: digest });
    } catch (error) {
      throw this.#error("write", error);
    }
  }

  /** What a reference last led to. */
  async lookUp(reference: string): Promise<KnownReference | undefined> {
    return (await this.#references()).get(reference);
  }

  /** Remembers what a reference leads to. @throws {PlasmError} `state` */
  async remember(reference: string, known: Omit<KnownReference, "usedAt">): Promise<void> {
    const all = await this.#references();
    all.delete(reference);
    all.set(reference, { ...known, usedAt: Date.now() });
    while (all.size > MAX_REFERENCES) all.delete(all.keys().next().value!);
    await this.#saveReferences(all);
  }

  /** Lists the modules, the most recently used first. */
  async list(): Promise<CachedModule[]> {
    const names = new Map<Hash, string[]>();
    for (const [reference, { digest }] of await this.#references()) {
      names.set(digest, [...names.get(digest) ?? [], reference]);
    }
    const modules: CachedModule[] = [];
    try {
      for await (const { name } of Deno.readDir(this.#dir)) {
        const digest = `sha256:${name.replace(/\.wasm$/, "")}`;
        if (!name.endsWith(".wasm") || !isHash(digest)) continue;
        const info = await Deno.stat(`${this.#dir}/${name}`).catch(() => undefined);
        if (info === undefined) continue; // deleted meanwhile
        const usedAt = info.mtime?.getTime() ?? 0;
        modules.push({ digest, bytes: info.size, usedAt, references: names.get(digest) ?? [] });
      }
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw this.#error("read", error);
    }
    return modules.sort((a, b) => b.usedAt - a.usedAt || (a.digest < b.digest ? -1 : 1));
  }

  /** Deletes a module. Returns whether it was there. @throws {PlasmError} `state` */
  async remove(digest: Hash): Promise<boolean> {
    try {
      await Deno.remove(this.#path(digest));
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return false;
      throw this.#error("write", error);
    }
    const all = await this.#references();
    for (const [reference, known] of all) if (known.digest === digest) all.delete(reference);
    await this.#saveReferences(all);
    return true;
  }

  /**
   * Deletes the least recently used modules until the rest has at most `maxBytes`.
   *
   * @returns the deleted modules
   */
  async prune(
    { maxBytes = this.#maxBytes, keep }: { maxBytes?: number; keep?: Hash } = {},
  ): Promise<CachedModule[]> {
    const deleted: CachedModule[] = [];
    let bytes = 0;
    for (const module of await this.list()) {
      bytes += module.bytes;
      if (bytes <= maxBytes || module.digest === keep) continue;
      if (await this.remove(module.digest)) deleted.push(module);
    }
    return deleted;
  }

  async #references(): Promise<Map<string, KnownReference>> {
    const found = new Map<string, KnownReference>();
    let text: Uint8Array;
    try {
      text = await Deno.readFile(`${this.#dir}/references.json`);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return found;
      throw this.#error("read", error);
    }
    try {
      const options = { maxBytes: MAX_LIST_BYTES, code: "state", what: "references" } as const;
      const list = parseJson(text, options) as [string, KnownReference][];
      for (const [reference, { digest, etag, usedAt }] of list) {
        if (!isHash(digest) || typeof reference !== "string") continue;
        found.set(reference, {
          digest,
          etag: typeof etag === "string" ? etag : undefined,
          usedAt: Number(usedAt),
        });
      }
    } catch { /* Damaged: it only saves downloads. */ }
    return found;
  }

  async #saveReferences(all: Map<string, KnownReference>): Promise<void> {
    try {
      await Deno.mkdir(this.#dir, { recursive: true, mode: 0o700 });
      const text = JSON.stringify([...all]);
      await this.#replace(`${this.#dir}/references.json`, new TextEncoder().encode(text));
    } catch (error) {
      throw this.#error("write", error);
    }
  }

  async #replace(path: string, content: Uint8Array): Promise<void> {
    const temporary = `${path}.${crypto.randomUUID()}.part`;
    try {
      await Deno.writeFile(temporary, content, { createNew: true, mode: 0o600 });
      await Deno.rename(temporary, path);
    } catch (error) {
      await Deno.remove(temporary).catch(() => {});
      throw error;
    }
  }

  #path(digest: Hash): string {
    return `${this.#dir}/${digest.slice("sha256:".length)}.wasm`;
  }

  #error(doing: string, error: unknown): PlasmError {
    if (error instanceof PlasmError) return error;
    const reason = error instanceof Error ? error.message : String(error);
    return new PlasmError("state", `Cannot ${doing} module cache: ${escapeText(reason)}`, {
      hint: "Set XDG_CACHE_HOME to a directory that you can write to",
      cause: error,
    });
  }
}
