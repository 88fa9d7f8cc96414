/**
 * Text from outside, made fit for a terminal, a message and a log. There is one list of what is unsafe.
 * @module
 */

/** Longest text that is kept where nothing else is said, in characters. */
const MAX_CHARACTERS = 500;

// Control characters, and the marks that reorder or hide text on a terminal (Unicode TR 36).
// deno-lint-ignore no-control-regex -- control characters are what is looked for
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** Writes what acts on a terminal or ends a line as `\uXXXX`, which in JSON is the same string. */
export function escapeUnsafe(text: string): string {
  return text.replace(UNSAFE, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** One line of bounded length in which nothing acts on a terminal or forges a line of a log. */
export function printable(text: string, maxCharacters: number = MAX_CHARACTERS): string {
  const short = text.length > maxCharacters ? `${text.slice(0, maxCharacters)}…` : text;
  return escapeUnsafe(short.toWellFormed());
}
