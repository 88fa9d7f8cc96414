/**
 * Expands replacement strings in the options of a map, as GNU parallel does.
 *
 * @module
 */

/** An item and its position, for {@linkcode Template.expand}. */
export interface TemplateValues {
  /** Text of the item. */
  item: string;
  /** Position of the item, from 1. */
  index: number;
}

/** Replacement strings by their text. */
const REPLACEMENTS: Readonly<Record<string, (values: TemplateValues) => string>> = {
  "{}": ({ item }) => item,
  "{.}": ({ item }) => withoutExtension(item),
  "{/}": ({ item }) => baseName(item),
  "{//}": ({ item }) => directoryName(item),
  "{/.}": ({ item }) => withoutExtension(baseName(item)),
  "{#}": ({ index }) => String(index),
};

const PATTERN = /\{(?:\/\/|\/\.|[./#])?\}/g;

/** A text with replacement strings. */
export class Template {
  /** The text. */
  readonly text: string;
  /** Whether the text differs between items. */
  readonly isVariable: boolean;
  /** Whether every item gives another text: the text has the item's position. */
  readonly isUnique: boolean;

  constructor(text: string) {
    this.text = text;
    this.isVariable = text.search(PATTERN) >= 0;
    this.isUnique = text.includes("{#}");
  }

  /** The text of an item. */
  expand(values: TemplateValues): string {
    if (!this.isVariable) return this.text;
    return this.text.replace(PATTERN, (name) => REPLACEMENTS[name]!(values));
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
