/**
 * Bounded in-memory datastore for libp2p. Any peer can add provider records to a DHT server, and libp2p stores every
 * peer that it learns of.
 *
 * @module
 */
import { MemoryDatastore } from "datastore-core";
import { BoundedMap } from "../../util/mod.ts";

type Key = Parameters<MemoryDatastore["put"]>[0];
type Options = Parameters<MemoryDatastore["put"]>[2];
type Query = Parameters<MemoryDatastore["query"]>[0];

interface Pair {
  key: Key;
  value: Uint8Array;
}

/** Entries of each kind, of about 0.5 KiB each. A kind is the first part of the key. */
const MAX_ENTRIES = 16_384;

/** Kinds; libp2p uses `peers`, `dht` and a few more. */
const MAX_KINDS = 16;

/**
 * Datastore in memory that evicts the oldest entries of each kind. A query by a complete path, such as for the providers
 * of one key, does not scan other entries.
 */
export class BoundedDatastore extends MemoryDatastore {
  #kinds = new BoundedMap<string, Map<string, Key>>(MAX_KINDS);
  /** Keys by their parent path: all parts but the last. */
  readonly #folders = new Map<string, Map<string, Key>>();
  #maxEntries: number;

  constructor(maxEntries: number = MAX_ENTRIES) {
    super();
    this.#maxEntries = maxEntries;
  }

  /** Stores an entry and makes it the newest of its kind. */
  override put(key: Key, value: Uint8Array, options?: Options): Key | Promise<Key> {
    const [, kind = ""] = key.toString().split("/");
    const entries = this.#kinds.get(kind) ?? new Map<string, Key>();
    this.#kinds.set(kind, entries);
    entries.delete(key.toString());
    entries.set(key.toString(), key);
    if (entries.size > this.#maxEntries) {
      const [oldest] = entries.values();
      this.delete(oldest!);
    }
    const path = folderOf(key.toString());
    const folder = this.#folders.get(path) ?? new Map<string, Key>();
    this.#folders.set(path, folder.set(key.toString(), key));
    return super.put(key, value, options);
  }

  /** Deletes an entry. */
  override delete(key: Key, options?: Options): void | Promise<void> {
    const [, kind = ""] = key.toString().split("/");
    this.#kinds.get(kind)?.delete(key.toString());
    const path = folderOf(key.toString());
    const folder = this.#folders.get(path);
    folder?.delete(key.toString());
    if (folder?.size === 0) this.#folders.delete(path);
    return super.delete(key, options);
  }

  /** Yields the entries that a query filters. */
  override *_all(query: Query, options?: Options): ReturnType<MemoryDatastore["_all"]> {
    const folder = this.#folders.get(query.prefix?.replace(/\/$/, "") ?? "");
    if (folder === undefined) return yield* super._all(query, options) as Generator<Pair>;
    for (const key of folder.values()) {
      options?.signal?.throwIfAborted();
      yield { key, value: this.get(key) as Uint8Array };
    }
  }
}

function folderOf(key: string): string {
  return key.slice(0, key.lastIndexOf("/"));
}
