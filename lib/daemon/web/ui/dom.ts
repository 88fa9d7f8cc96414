/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/**
 * Builds elements. Text from outside only ever becomes a text node.
 *
 * @module
 */
import { escapeText } from "../../../util/mod.ts";

/** Content of an element. */
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

/** Text of several lines: line ends and tabs stay, other control characters are escaped. */
export function escapeLines(text: string): string {
  return text.split(/\r?\n/).map((line) =>
    line.split("\t").map((part) => escapeText(part, Infinity)).join("\t")
  ).join("\n");
}

/** An identifier such as a hash or a peer id. */
export function code(text: Child): HTMLElement {
  return h("code", {}, text);
}

/** A column of a table; figures are aligned to the right. */
export type Column = string | { figure: string };

/** A row of a table. */
export function tableRow(columns: readonly Column[], cells: readonly Child[]): HTMLTableRowElement {
  return h(
    "tr",
    {},
    ...cells.map((cell, at) =>
      h("td", { class: typeof columns[at] === "object" ? "figure" : undefined }, cell)
    ),
  );
}

/** A table with a heading for each column; scrolls sideways where it is too wide. */
export function dataTable(
  name: string,
  columns: readonly Column[],
  rows: readonly HTMLTableRowElement[],
): HTMLElement {
  const headings = columns.map((column) =>
    typeof column === "object"
      ? h("th", { scope: "col", class: "figure" }, column.figure)
      : h("th", { scope: "col" }, column)
  );
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "group", "aria-label": name },
    h("table", {}, h("thead", {}, h("tr", {}, ...headings)), h("tbody", {}, ...rows)),
  );
}

/** A list of names and values; absent values are left out. */
export function facts(values: Record<string, Child>): HTMLElement {
  return h(
    "dl",
    {},
    ...Object.entries(values).flatMap(([name, value]) =>
      value === null || value === undefined || value === ""
        ? []
        : [h("dt", {}, name), h("dd", {}, value)]
    ),
  );
}

/** A value as indented JSON. */
export function jsonBlock(value: unknown): HTMLElement {
  return h(
    "pre",
    { tabindex: 0 },
    document.createTextNode(escapeLines(JSON.stringify(value, null, 2))),
  );
}

/** Further content that the reader opens. */
export function details(summary: string, ...children: Child[]): HTMLElement {
  return h("details", {}, h("summary", {}, summary), ...children);
}

/** A paragraph in place of a list without entries. */
export function emptyState(text: string): HTMLElement {
  return h("p", { class: "empty" }, text);
}
