/**
 * How places in a document and values from outside are shown in messages.
 * @module
 */
import { printable } from "../util/mod.ts";

/** Longest value shown in a message, in characters. */
const MAX_SHOWN = 80;

/** Shortens text from outside and makes it safe to print. */
export function clip(text: string): string {
  return printable(text, MAX_SHOWN);
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
