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

/**
 * Finds a dotted key, such as `jobs.queue_max`, or an element of a list, such as `network.listen[0]`; its offset in the
 * text, or undefined.
 */
export function locateKey(text: string, name: string): number | undefined {
  // Keys in the enclosing objects, and indices in the enclosing lists.
  const path: (string | number)[] = [];
  const isFound = (): boolean =>
    path.map((part) => typeof part === "number" ? `[${part}]` : `.${part}`).join("") === `.${name}`;
  let word: { text: string; at: number } | undefined;
  for (const { 0: token, index } of text.matchAll(TOKEN)) {
    if (/^\s|^\/[/*]/.test(token)) continue;
    const place = path.at(-1);
    if (token === "}" || token === "]") path.pop();
    else if (token === "," && typeof place === "number") path[path.length - 1] = place + 1;
    else if (token === ":" && word !== undefined && typeof place === "string") {
      path[path.length - 1] = word.text;
      if (isFound()) return word.at;
    } else if (typeof place === "number" && token !== "," && isFound()) return index;
    if (token === "{") path.push("");
    else if (token === "[") path.push(0);
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
