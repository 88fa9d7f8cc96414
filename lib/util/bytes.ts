/**
 * Concatenates and writes byte arrays, and converts them to and from hex and base64.
 *
 * @module
 */

/** Concatenates byte arrays into a new array. */
export function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Whether the engine converts hex, as Deno does; Node before 25 and older browsers do not. */
const HAS_HEX = "fromHex" in Uint8Array;

/** Encodes bytes as lowercase hex. */
export function toHex(bytes: Uint8Array): string {
  if (HAS_HEX) return bytes.toHex();
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Decodes lowercase hex.
 *
 * @throws {SyntaxError} If the text is not lowercase hex of whole bytes.
 */
export function fromHex(text: string): Uint8Array<ArrayBuffer> {
  if (!/^(?:[0-9a-f]{2})*$/.test(text)) throw new SyntaxError("Text is not lowercase hex");
  if (HAS_HEX) return Uint8Array.fromHex(text);
  return Uint8Array.from(text.match(/../g) ?? [], (digits) => Number.parseInt(digits, 16));
}

/** Characters created by one call, which passes them as arguments. */
const CHARS = 8192;

/** Encodes bytes as base64 (RFC 4648, section 4) with padding. */
export function toBase64(bytes: Uint8Array): string {
  // Not Uint8Array's own method, which Node before 25 and older browsers lack.
  let text = "";
  for (let at = 0; at < bytes.length; at += CHARS) {
    text += String.fromCharCode(...bytes.subarray(at, at + CHARS));
  }
  return btoa(text);
}

/**
 * Decodes base64 in its only canonical form: with padding, without white space, and with zeros as unused bits.
 *
 * @throws {SyntaxError} If the text is not what {@linkcode toBase64} returns.
 */
export function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  // atob() throws another error, and skips white space.
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) {
    throw new SyntaxError("Text is not base64");
  }
  const chars = atob(text);
  const bytes = new Uint8Array(chars.length);
  for (let at = 0; at < bytes.length; at++) bytes[at] = chars.charCodeAt(at);
  if (toBase64(bytes) !== text) throw new SyntaxError("Text is not canonical base64");
  return bytes;
}

/** Sink that may write a part of a buffer: a file, a connection or a standard stream. */
export interface PartialWriter {
  /** Writes at least one byte. @returns The number of bytes written. */
  write(bytes: Uint8Array): Promise<number>;
}

/** Writes a whole buffer. */
export async function writeAll(writer: PartialWriter, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await writer.write(bytes.subarray(at));
}

async function digest(text: string): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
}

/** Compares two secrets in constant time, by their hashes. */
export async function equalSecrets(a: string, b: string): Promise<boolean> {
  const [left, right] = [await digest(a), await digest(b)];
  let difference = 0;
  for (let at = 0; at < left.length; at++) difference |= (left[at] ?? 0) ^ (right[at] ?? 0);
  return difference === 0;
}
