/**
 * How places in a document and values from outside are shown in messages.
 * @module
 */

/** Longest value shown in a message, in characters. */
const MAX_SHOWN = 80;

// C1 controls, and the marks that reorder or hide text on a terminal (Unicode TR 36).
// deno-lint-ignore no-control-regex -- control characters are what is looked for
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** Shortens text from outside and makes it safe to print. */
export function clip(text: string): string {
  const short = text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
  return short.toWellFormed().replace(
    UNSAFE,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** Shows a value: its JSON where it is short, else what it is. */
export function valueText(value: unknown): string {
  if (value === undefined) return "nothing";
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (typeof value === "object" && value !== null) return "an object";
  if (typeof value === "string") return clip(JSON.stringify(value.slice(0, 2 * MAX_SHOWN)));
  return clip(String(value));
}

/** Shows a place: `resources.memory_mb`, `args[3]`, `inputs["a b"]`. */
export function pathText(path: readonly (string | number)[]): string {
  let text = "";
  for (const part of path) {
    if (typeof part === "number") text += `[${part}]`;
    else if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(part)) text += `[${clip(JSON.stringify(part))}]`;
    else text += text === "" ? part : `.${part}`;
  }
  return text === "" ? "the document" : text;
}
