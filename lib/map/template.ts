/**
 * Expands replacement strings in the options of a map, as GNU parallel does.
 *
 * @module
 */

/** An item and its position, for {@linkcode Template.expand}. */
export interface TemplateValues {
  /** Text of the item. */
  item: string;
  /** Its parts, one of each list. @default {the item} */
  parts?: readonly string[] | undefined;
  /** Position of the item, from 1. */
  index: number;
}

/** Changes of an item by what is between the braces. */
const CHANGES: Readonly<Record<string, (item: string) => string>> = {
  "": (item) => item,
  ".": withoutExtension,
  "/": baseName,
  "//": directoryName,
  "/.": (item) => withoutExtension(baseName(item)),
};

/** A replacement string: of the item, of its part from the list of a number, or its position. */
const PATTERN = /\{(?:(#)|([1-9]\d?)?(\/\/|\/\.|[./])?)\}/g;

/** A text with replacement strings. Numbers of lists that do not exist are left, for example in patterns. */
export class Template {
  /** The text. */
  readonly text: string;
  /** Whether the text differs between items. */
  readonly isVariable: boolean;
  /** Whether every item gives another text: the text has the item's position. */
  readonly isUnique: boolean;

  readonly #lists: number;

  /** @param lists Number of lists that items are combined from; 1 if it is missing */
  constructor(text: string, lists = 1) {
    this.text = text;
    this.#lists = lists;
    this.isVariable = [...text.matchAll(PATTERN)].some(([, , list]) => this.#isList(list));
    this.isUnique = text.includes("{#}");
  }

  /** The text of an item. */
  expand(values: TemplateValues): string {
    if (!this.isVariable) return this.text;
    const { item, parts = [item], index } = values;
    return this.text.replace(PATTERN, (name, isIndex, list, change = "") => {
      if (isIndex !== undefined) return String(index);
      if (!this.#isList(list)) return name;
      return CHANGES[change]!(list === undefined ? item : parts[Number(list) - 1]!);
    });
  }

  /** Whether a number, if there is one, is that of a list. */
  #isList(list: string | undefined): boolean {
    return list === undefined || Number(list) <= this.#lists;
  }
}

/** Removes the last extension of a path. */
function withoutExtension(path: string): string {
  return path.replace(/\.[^/.]+$/s, "");
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

function directoryName(path: string): string {
  const end = path.lastIndexOf("/");
  return end < 0 ? "." : path.slice(0, end) || "/";
}
