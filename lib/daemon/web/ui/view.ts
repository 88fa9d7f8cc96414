/// <reference lib="dom" />
/**
 * What views have in common.
 *
 * @module
 */
import type { Changes } from "./changes.ts";
import { RequestError } from "./daemon_api.ts";
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

/** Limits how often a function runs: at once, then after the interval if it was called meanwhile. */
export function throttle(run: () => void, { ms, signal }: { ms: number; signal: AbortSignal }) {
  let isWaiting = false;
  let isCalled = false;
  const call = (): void => {
    if (signal.aborted) return;
    if (isWaiting) {
      isCalled = true;
      return;
    }
    isWaiting = true;
    isCalled = false;
    run();
    setTimeout(() => {
      isWaiting = false;
      if (isCalled) call();
    }, ms);
  };
  return call;
}

/** Calls a function with the files that are dropped on an element. */
export function acceptDrop(element: HTMLElement, take: (files: FileList) => void): void {
  const mark = (over: boolean) => (event: Event): void => {
    event.preventDefault();
    element.classList.toggle("over", over);
  };
  element.addEventListener("dragover", mark(true));
  element.addEventListener("dragleave", mark(false));
  element.addEventListener("drop", (event) => {
    mark(false)(event);
    const files = event.dataTransfer?.files;
    if (files !== undefined && files.length > 0) take(files);
  });
}
