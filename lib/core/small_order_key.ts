/**
 * Ed25519 public keys that prove nothing, told from their bytes alone.
 * @module
 */

/** The field's modulus is 2^255 - 19: the last byte of one at or above it, its sign cleared. */
const TOP_BYTE = 0x7f;
const LOWEST_BYTE = 0xed;

/**
 * The y of the eight points of small order, little-endian: 0, 1, -1, and those of order 8. Each stands for
 * two points, x and -x. Under such a key one signature fits any message.
 */
const SMALL_ORDER_Y: ReadonlySet<string> = new Set([
  "0000000000000000000000000000000000000000000000000000000000000000",
  "0100000000000000000000000000000000000000000000000000000000000000",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
]);

/**
 * Tells whether a 32-byte key is of small order, or in a form that is not canonical (RFC 8032, section 5.1.3:
 * y is below the modulus). Whether it is a point at all, it does not tell.
 */
export function isWeakKey(key: Uint8Array): boolean {
  const y = key.slice();
  y[31]! &= TOP_BYTE;
  if (y[31] === TOP_BYTE && y[0]! >= LOWEST_BYTE && y.subarray(1, 31).every((b) => b === 0xff)) {
    return true;
  }
  return SMALL_ORDER_Y.has(y.toHex());
}
