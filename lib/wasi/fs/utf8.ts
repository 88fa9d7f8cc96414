/**
 * UTF-8 lengths without encoding.
 * @module
 */

/** Bytes of a string in UTF-8. The string must be well formed, as decoded text is. */
export function utf8Length(text: string): number {
  let bytes = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit <= 0x7f) continue;
    // The two halves of a surrogate pair are four bytes together.
    bytes += unit <= 0x7ff || (unit >= 0xd800 && unit <= 0xdfff) ? 1 : 2;
  }
  return bytes;
}
