/**
 * How V8 is told which compiler a function gets.
 * @module
 */

/**
 * How many functions of each module, from the first that is not imported, are optimized when they
 * are first called. The flag is a mask of 32 bits.
 */
export const FAST_PLACES = 32;

/**
 * The flags of V8 in an executor, and so of the compiled binary, where they are baked: all bits of
 * the mask. Functions beyond get the quick compiler until they are called often. See `arrange/`.
 */
export const TIER_FLAGS = "--wasm-tier-mask-for-testing=-1";
