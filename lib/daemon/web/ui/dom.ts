/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/**
 * Builds elements. Text from outside only ever becomes a text node.
 *
 * @module
 */
import { escapeText } from "../../../util/mod.ts";

/** What an element may contain. */
export type Child = Node | string | number | null | undefined | false;

/** Attributes, and handlers of events, by name: `onclick`. */
export type Attributes = Record<
  string,
  string | number | boolean | undefined | ((event: Event) => void)
>;

/** Creates an element. */
export function h<K extends keyof HTMLElementTagNameMap>(
  name: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...nodes(children));
  return element;
}

/** Replaces the content of an element. */
export function fill(element: Element, ...children: Child[]): void {
  element.replaceChildren(...nodes(children));
}

function nodes(children: readonly Child[]): (Node | string)[] {
  return children.flatMap((child) => {
    if (child === null || child === undefined || child === false) return [];
    // Control and bidirectional characters could show something that is not there.
    return [typeof child === "object" ? child : escapeText(String(child), Infinity)];
  });
}

/** A table with a heading for each column; scrolls sideways where it is too wide. */
export function dataTable(
  headings: readonly string[],
  rows: readonly HTMLTableRowElement[],
): HTMLElement {
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "group", "aria-label": `Table: ${headings[0]}` },
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, ...headings.map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, ...rows),
    ),
  );
}

/** A list of names and values; absent values are left out. */
export function facts(values: Record<string, Child>): HTMLElement {
  return h(
    "dl",
    {},
    ...Object.entries(values).flatMap(([name, value]) =>
      value === null || value === undefined ? [] : [h("dt", {}, name), h("dd", {}, value)]
    ),
  );
}

/** A value as indented JSON. */
export function jsonBlock(value: unknown): HTMLElement {
  return h("pre", { tabindex: 0 }, ...textLines(JSON.stringify(value, null, 2)));
}

/** Text that keeps its line ends; other control characters are shown escaped. */
export function textLines(text: string): Child[] {
  return text.split("\n").flatMap((line, at) => [
    at === 0 ? null : document.createTextNode("\n"),
    line,
  ]);
}

/** A number of bytes for people. */
export function bytesText(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  const units = ["kB", "MB", "GB", "TB"];
  let [value, unit] = [bytes / 1000, 0];
  while (value >= 1000 && unit < units.length - 1) [value, unit] = [value / 1000, unit + 1];
  return `${value.toFixed(1)} ${units[unit]}`;
}
