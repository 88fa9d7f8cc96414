/**
 * Escapes untrusted text, suggests names for misspelt ones and splits streams into lines.
 *
 * @module
 */

/** Default length limit, in UTF-16 code units. */
const MAX_CHARACTERS = 500;

// Control characters, and the marks that reorder or hide text on a terminal (Unicode TR 36).
// deno-lint-ignore no-control-regex -- the expression matches control characters
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** Escapes control characters and direction marks as `\uXXXX`, which JSON parsers read as the same string. */
export function escapeJson(text: string): string {
  return text.replace(UNSAFE, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** Escapes and truncates untrusted text to one line that is safe for terminals and logs. */
export function escapeText(text: string, maxCharacters: number = MAX_CHARACTERS): string {
  const short = text.length > maxCharacters ? `${text.slice(0, maxCharacters)}…` : text;
  return escapeJson(short.toWellFormed());
}

/** Longest name that is compared, in UTF-16 code units: the edit distance takes quadratic time. */
const MAX_NAME = 64;

/**
 * Finds the known name closest to a misspelt one by Damerau-Levenshtein distance.
 *
 * @returns `undefined` if more than a third of the letters differ from every known name.
 */
export function didYouMean(name: string, known: readonly string[]): string | undefined {
  if (name.length > MAX_NAME) return undefined;
  let best: string | undefined;
  let bestDistance = Infinity;
  for (const candidate of known) {
    const distance = editDistance(normalize(name), normalize(candidate));
    if (distance < bestDistance && distance <= Math.max(1, Math.floor(candidate.length / 3))) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** Ignores case and separators, so that `memoryMB` and `memory-mb` match `memory_mb`. */
function normalize(name: string): string {
  return name.toLowerCase().replace(/[-_]/g, "");
}

function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      let distance = Math.min(row[j - 1]! + 1, last[j]! + 1, last[j - 1]! + cost);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        distance = Math.min(distance, beforeLast[j - 2]! + 1);
      }
      row.push(distance);
    }
    [beforeLast, last] = [last, row];
  }
  return last[b.length]!;
}

/** Options of {@linkcode lines}. */
export interface LinesOptions {
  /** Longest line, in UTF-16 code units. */
  maxLength: number;
  /** Creates the error for a longer line. */
  tooLong: () => Error;
}

/**
 * Yields the lines of a UTF-8 body as they arrive, without the empty ones.
 *
 * @throws What `tooLong` creates.
 */
export async function* lines(
  body: ReadableStream<Uint8Array> | null,
  { maxLength, tooLong }: LinesOptions,
): AsyncGenerator<string, void, void> {
  let rest = "";
  const decoder = new TextDecoder();
  for await (const chunk of body ?? []) {
    rest += decoder.decode(chunk, { stream: true });
    const found = rest.split("\n");
    rest = found.pop() ?? "";
    yield* found.filter((line) => line !== "");
    if (rest.length > maxLength) throw tooLong();
  }
}
