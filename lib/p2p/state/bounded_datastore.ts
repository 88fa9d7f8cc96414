/**
 * What libp2p keeps of others, in memory and within bounds. Anyone may put provider records into a
 * DHT server, and each peer that is heard of is remembered.
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

/** Entries of each kind; about 0.5 KiB each. A kind is the first part of the key. */
const MAX_ENTRIES = 16_384;
/** Kinds: libp2p has `peers`, `dht` and a handful more. */
const MAX_KINDS = 16;

/**
 * A datastore in memory that forgets the oldest entries of a kind. What is asked for by a whole path, as the
 * providers of one key are, is found without a look at the rest.
 */
export class BoundedDatastore extends MemoryDatastore {
  #kinds = new BoundedMap<string, Map<string, Key>>(MAX_KINDS);
  /** By all parts of the key but the last. */
  readonly #folders = new Map<string, Map<string, Key>>();
  #maxEntries: number;

  constructor(maxEntries: number = MAX_ENTRIES) {
    super();
    this.#maxEntries = maxEntries;
  }

  /** Puts an entry, which becomes the latest of its kind. */
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

  /** Entries among which a query's are. */
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
