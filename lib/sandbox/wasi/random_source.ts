/**
 * Reproducible random numbers, for tests.
 * @module
 */

/**
 * A generator of integers from 0 to below its argument, the same for the same seed.
 *
 * Source: mulberry32 by Tommy Ettinger, public domain.
 */
export function random(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor(((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32 * below);
  };
}
