/**
 * The names of one directory.
 * @module
 */

/** Words of a slot: a name's hash, and one more than the row that it is in (0: the slot is free). */
const SLOT_WORDS = 2;

/** Slots of a new table; a power of two. Most directories have a few names. */
const FIRST_SLOTS = 8;

/** What a row holds, in this order: a name, what it leads to, its cookie. */
const ROW_FIELDS = 3;

// Where hashes begin, so that nobody outside can choose names that collide.
const SEED = crypto.getRandomValues(new Int32Array(1))[0]!;

/**
 * Names in the order in which they were added, each with a value and a cookie that rises.
 *
 * A lookup in a large directory costs what memory it touches, and here that is four lines of cache: a
 * slot, a row, the name, and what it leads to. A Map of names to entries touches twice as many.
 */
export class NameTable<Value> {
  /** Names that were added, those without a value too. */
  size = 0;
  #slots = new Int32Array(FIRST_SLOTS * SLOT_WORDS);
  #rows: unknown[] = [];

  /** The row of a name; -1 if it was never added. */
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

  /** Adds a name that is not in it. The cookie is above all others. */
  add(name: string, value: Value, cookie: number): void {
    const own = detached(name);
    // Half of the slots stay free, so that what is looked for is near where it should be.
    if (2 * SLOT_WORDS * this.size >= this.#slots.length) this.#double();
    put(this.#slots, hashOf(own), this.size++);
    this.#rows.push(own, value, cookie);
  }

  /** The name of a row, which must be there. */
  nameAt(row: number): string {
    return this.#rows[row * ROW_FIELDS] as string;
  }

  /** What the name of a row leads to, which must be there. */
  valueAt(row: number): Value {
    return this.#rows[row * ROW_FIELDS + 1] as Value;
  }

  /** The cookie of a row, which must be there. */
  cookieAt(row: number): number {
    return this.#rows[row * ROW_FIELDS + 2] as number;
  }

  /** Makes the name of a row lead elsewhere. */
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

/** Mixed after each unit, and at the end, for only the lowest bits tell the slot. */
function hashOf(name: string): number {
  let hash = SEED;
  for (let i = 0; i < name.length; i++) {
    // The constant is 2^32 over the golden ratio, made odd.
    hash = Math.imul(hash ^ name.charCodeAt(i), 0x9e3779b1);
  }
  hash = Math.imul(hash ^ hash >>> 15, 0x85ebca6b);
  return hash ^ hash >>> 13;
}

/**
 * The same text as a string of its own. V8 keeps a slice as a view of the whole string it was cut
 * from: a name would hold a path of up to 4096 bytes in memory that nobody counts.
 */
function detached(name: string): string {
  return ` ${name}`.slice(1);
}
