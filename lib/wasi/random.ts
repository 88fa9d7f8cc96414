/**
 * Provides the random bytes of a job: from the system, or from a seed in the deterministic profile.
 *
 * @module
 */

/** Source of the bytes that `random_get`, /dev/random and /dev/urandom return. */
export interface RandomSource {
  /** Fills a view of guest memory. */
  fill(target: Uint8Array): void;
}

/** Most bytes per call of `crypto.getRandomValues` (Web Crypto, section 10.1.1). */
const SYSTEM_CHUNK_BYTES = 65_536;

/** The system's random numbers. */
export const SYSTEM_RANDOM: RandomSource = {
  fill(target) {
    // Web Crypto rejects shared memory.
    const isShared = !(target.buffer instanceof ArrayBuffer);
    for (let at = 0; at < target.length; at += SYSTEM_CHUNK_BYTES) {
      const chunk = target.subarray(at, at + SYSTEM_CHUNK_BYTES);
      if (isShared) chunk.set(crypto.getRandomValues(new Uint8Array(chunk.length)));
      else crypto.getRandomValues(chunk as Uint8Array<ArrayBuffer>);
    }
  },
};

/** Size of a seed, in bytes. */
const SEED_BYTES = 32;

/** Size of a block of ChaCha20, in bytes. */
const BLOCK_BYTES = 64;

/** "expand 32-byte k" as little-endian words. */
const CONSTANTS = [0x61707865, 0x3320646e, 0x79622d32, 0x6b206574] as const;

/** Index of the block counter in the state. */
const COUNTER = 12;

const DOUBLE_ROUNDS = 10;

/**
 * The keystream of ChaCha20 (RFC 8439, section 2.3) with the seed as key, a nonce of zeros and a counter that starts
 * at 0. Each call continues where the last one ended. After 2^32 blocks the counter carries into the first word of
 * the nonce.
 */
export class SeededRandom implements RandomSource {
  readonly #state = new Uint32Array(16);
  readonly #block = new Uint8Array(BLOCK_BYTES);
  /** Number of bytes of the current block that have been used. */
  #used = BLOCK_BYTES;

  /** @param seed 32 bytes. */
  constructor(seed: Uint8Array) {
    if (seed.length !== SEED_BYTES) {
      throw new RangeError(`Cannot use seed: it has ${seed.length} bytes, expected ${SEED_BYTES}`);
    }
    this.#state.set(CONSTANTS);
    const view = new DataView(seed.buffer, seed.byteOffset, seed.length);
    for (let word = 0; word < SEED_BYTES / 4; word++) {
      this.#state[4 + word] = view.getUint32(4 * word, true);
    }
  }

  fill(target: Uint8Array): void {
    for (let at = 0; at < target.length;) {
      if (this.#used === BLOCK_BYTES) this.#nextBlock();
      const count = Math.min(BLOCK_BYTES - this.#used, target.length - at);
      target.set(this.#block.subarray(this.#used, this.#used + count), at);
      this.#used += count;
      at += count;
    }
  }

  #nextBlock(): void {
    const state = this.#state;
    const x = state.slice();
    for (let round = 0; round < DOUBLE_ROUNDS; round++) {
      for (let quarter = 0; quarter < QUARTERS.length; quarter++) {
        quarterRound(x, QUARTERS[quarter]!);
      }
    }
    const view = new DataView(this.#block.buffer);
    for (let word = 0; word < 16; word++) view.setUint32(4 * word, x[word]! + state[word]!, true);
    this.#used = 0;
    if (++state[COUNTER]! === 0) state[COUNTER + 1]!++;
  }
}

/** Four words of the state. */
interface Quarter {
  readonly a: number;
  readonly b: number;
  readonly c: number;
  readonly d: number;
}

/** The words of a double round's quarter rounds: four columns, then four diagonals (RFC 8439, section 2.3). */
const QUARTERS: readonly Quarter[] = [0, 1].flatMap((shift) =>
  [0, 1, 2, 3].map((a) => ({
    a,
    b: 4 + (a + shift) % 4,
    c: 8 + (a + 2 * shift) % 4,
    d: 12 + (a + 3 * shift) % 4,
  }))
);

/** The quarter round (RFC 8439, section 2.1). */
function quarterRound(x: Uint32Array, { a, b, c, d }: Quarter): void {
  x[a]! += x[b]!;
  x[d] = rotate(x[d]! ^ x[a]!, 16);
  x[c]! += x[d]!;
  x[b] = rotate(x[b]! ^ x[c]!, 12);
  x[a]! += x[b]!;
  x[d] = rotate(x[d]! ^ x[a]!, 8);
  x[c]! += x[d]!;
  x[b] = rotate(x[b]! ^ x[c]!, 7);
}

function rotate(word: number, bits: number): number {
  return word << bits | word >>> 32 - bits;
}
