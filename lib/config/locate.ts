/**
 * Finds the line and column of a key in JSON with comments.
 *
 * @module
 */

/** Whitespace and comments, strings, punctuation, and other tokens such as numbers. */
const TOKEN = /\s+|\/\/[^\n]*|\/\*[\s\S]*?\*\/|"(?:[^"\\]|\\.)*"|[{}[\]:,]|[^\s{}[\]:,"/]+|./gy;

/** Returns `LINE:COLUMN` of an offset, both from 1. */
export function lineAndColumn(text: string, offset: number): string {
  const before = text.slice(0, offset).split("\n");
  return `${before.length}:${before.at(-1)!.length + 1}`;
}

/** Finds the second occurrence of a key in one object; its offset and its name. */
export function findRepeatedKey(text: string): { name: string; at: number } | undefined {
  const seen: Set<string>[] = [];
  let word: { text: string; at: number } | undefined;
  for (const { 0: token, index } of text.matchAll(TOKEN)) {
    if (/^\s|^\/[/*]/.test(token)) continue;
    if (token === "{" || token === "[") seen.push(new Set());
    else if (token === "}" || token === "]") seen.pop();
    else if (token === ":" && word !== undefined) {
      if (seen.at(-1)?.has(word.text)) return { name: word.text, at: word.at };
      seen.at(-1)?.add(word.text);
    }
    word = token.startsWith('"') ? { text: unquote(token), at: index } : undefined;
  }
  return undefined;
}

/** Finds a dotted key, such as `jobs.queue_max`; its offset in the text, or undefined. */
export function locateKey(text: string, name: string): number | undefined {
  // Keys of the enclosing objects; null for the elements of a list.
  const path: (string | null)[] = [];
  let word: { text: string; at: number } | undefined;
  for (const { 0: token, index } of text.matchAll(TOKEN)) {
    if (/^\s|^\/[/*]/.test(token)) continue;
    if (token === "{") path.push("");
    else if (token === "[") path.push(null);
    else if (token === "}" || token === "]") path.pop();
    else if (token === ":" && word !== undefined && path.at(-1) !== null) {
      path[path.length - 1] = word.text;
      if (path.join(".") === name) return word.at;
    }
    word = token.startsWith('"') ? { text: unquote(token), at: index } : undefined;
  }
  return undefined;
}

function unquote(token: string): string {
  try {
    return JSON.parse(token);
  } catch {
    return token;
  }
}
