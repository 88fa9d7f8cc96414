/**
 * Lowercase hex, as in all documents.
 * @module
 */

/** Bytes as lowercase hex. */
export function toHex(bytes: Uint8Array): string {
  return bytes.toHex();
}

/**
 * Bytes of lowercase hex.
 *
 * @throws {SyntaxError} when the text is anything else
 */
export function fromHex(text: string): Uint8Array<ArrayBuffer> {
  if (!/^(?:[0-9a-f]{2})*$/.test(text)) throw new SyntaxError("Text is not lowercase hex");
  return Uint8Array.fromHex(text);
}
