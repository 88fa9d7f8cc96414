/**
 * Hash table of the names in a directory, optimized for few cache misses in large directories.
 *
 * @module
 */

/** Words per slot: the hash of a name, and its row plus one (0 if the slot is free). */
const SLOT_WORDS = 2;

/** Initial number of slots, a power of two: most directories have few names. */
const INITIAL_SLOTS = 8;

/** Fields per row: name, value, cookie. */
const ROW_FIELDS = 3;

/** Random hash seed, so that guests cannot choose names that collide. */
const SEED = crypto.getRandomValues(new Int32Array(1))[0]!;

/**
 * Names in insertion order, each with a value and an increasing cookie.
 *
 * Cache misses dominate lookups in large directories. A lookup touches four cache lines (slot, row, name, value), a
 * Map from names to entry objects twice as many.
 */
export class NameTable<Value> {
  /** Number of rows, including those without a value. */
  size = 0;
  #slots = new Int32Array(INITIAL_SLOTS * SLOT_WORDS);
  #rows: unknown[] = [];

  /** Row of a name; -1 if there is none. */
  rowOf(name: string): number {
    const slots = this.#slots;
    const hash = hashOf(name);
    const mask = slots.length - 1;
    for (let at = hash * SLOT_WORDS & mask;; at = at + SLOT_WORDS & mask) {
      const row = slots[at + 1]! - 1;
      if (row < 0) return -1;
      if (slots[at] === hash && this.#rows[row * ROW_FIELDS] === name) return row;
    }
  }

  /** Appends a new name; the cookie must be greater than all others. */
  add(name: string, value: Value, cookie: number): void {
    const own = detached(name);
    // At most half of the slots are used, which keeps probe sequences short.
    if (2 * SLOT_WORDS * this.size >= this.#slots.length) this.#double();
    put(this.#slots, hashOf(own), this.size++);
    this.#rows.push(own, value, cookie);
  }

  /** Name of an existing row. */
  nameAt(row: number): string {
    return this.#rows[row * ROW_FIELDS] as string;
  }

  /** Value of an existing row. */
  valueAt(row: number): Value {
    return this.#rows[row * ROW_FIELDS + 1] as Value;
  }

  /** Cookie of an existing row. */
  cookieAt(row: number): number {
    return this.#rows[row * ROW_FIELDS + 2] as number;
  }

  /** Replaces the value of an existing row. */
  setValueAt(row: number, value: Value): void {
    this.#rows[row * ROW_FIELDS + 1] = value;
  }

  #double(): void {
    const old = this.#slots;
    const slots = this.#slots = new Int32Array(2 * old.length);
    for (let at = 0; at < old.length; at += SLOT_WORDS) {
      if (old[at + 1] !== 0) put(slots, old[at]!, old[at + 1]! - 1);
    }
  }
}

function put(slots: Int32Array, hash: number, row: number): void {
  const mask = slots.length - 1;
  let at = hash * SLOT_WORDS & mask;
  while (slots[at + 1] !== 0) at = at + SLOT_WORDS & mask;
  slots[at] = hash;
  slots[at + 1] = row + 1;
}

/** Hashes a name. The final mixing matters because only the lowest bits select the slot. */
function hashOf(name: string): number {
  let hash = SEED;
  for (let i = 0; i < name.length; i++) {
    // 2^32 divided by the golden ratio, made odd (Fibonacci hashing).
    hash = Math.imul(hash ^ name.charCodeAt(i), 0x9e3779b1);
  }
  hash = Math.imul(hash ^ hash >>> 15, 0x85ebca6b);
  return hash ^ hash >>> 13;
}

/**
 * Copies a string. V8 represents a slice as a view of the original string: a name would retain a path of up to 4096
 * bytes that no limit counts.
 */
function detached(name: string): string {
  return ` ${name}`.slice(1);
}
