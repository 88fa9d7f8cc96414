/**
 * Text that the guest's side had a hand in, made fit for a message.
 * @module
 */

/** Longest text that is kept, in characters: the engine's own messages are shorter. */
const MAX_CHARACTERS = 500;

// Control characters, and the marks that reorder or hide text on a terminal (Unicode TR 36).
// deno-lint-ignore no-control-regex -- control characters are what is looked for
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** One line of bounded length in which nothing acts on a terminal or forges a line of a log. */
export function printable(text: string): string {
  const short = text.length > MAX_CHARACTERS ? `${text.slice(0, MAX_CHARACTERS)}…` : text;
  return short.toWellFormed().replace(
    UNSAFE,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
