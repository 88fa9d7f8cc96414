/**
 * Concatenates byte arrays and converts them to and from hex.
 *
 * @module
 */

/** Concatenates byte arrays into a new array. */
export function joinBytes(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Encodes bytes as lowercase hex. */
export function toHex(bytes: Uint8Array): string {
  return bytes.toHex();
}

/**
 * Decodes lowercase hex.
 *
 * @throws {SyntaxError} If the text is not lowercase hex of whole bytes.
 */
export function fromHex(text: string): Uint8Array<ArrayBuffer> {
  if (!/^(?:[0-9a-f]{2})*$/.test(text)) throw new SyntaxError("Text is not lowercase hex");
  return Uint8Array.fromHex(text);
}
