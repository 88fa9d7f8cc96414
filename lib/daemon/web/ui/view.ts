/// <reference lib="dom" />
/**
 * What views have in common.
 *
 * @module
 */
import { type Changes, RequestError } from "./daemon_api.ts";
import { type Child, h } from "./dom.ts";

/** What a view gets. */
export interface ViewContext {
  /** Where the view puts its elements. */
  main: HTMLElement;
  changes: Changes;
  /** The rest of the fragment, such as a job's id. */
  rest: string;
  /** Aborts when another view is shown. */
  signal: AbortSignal;
}

/** Shows a view; rejects if its data cannot be read. */
export type View = (context: ViewContext) => Promise<void>;

/** An error for people. */
export function errorBox(error: unknown): HTMLElement {
  const message = error instanceof Error ? error.message : String(error);
  const hint: Child = error instanceof RequestError && error.hint !== undefined
    ? h("p", {}, error.hint)
    : null;
  return h("div", { class: "bad", role: "alert" }, h("p", {}, message), hint);
}
