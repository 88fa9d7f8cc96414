/// <reference lib="dom" />
/**
 * The view that verifies a receipt from a file, in the browser alone.
 *
 * @module
 */
import { fill, h } from "./dom.ts";
import { type ReceiptFiles, receiptReport } from "./receipt_report.ts";
import type { ViewContext } from "./view.ts";

/** Most bytes of a receipt. */
const MAX_RECEIPT_BYTES = 1_000_000;

/** Shows the form. */
export function receiptView({ main }: ViewContext): Promise<void> {
  const report = h("div");
  const inputs = {
    receipt: h("input", { type: "file", accept: ".json,application/json" }),
    module: h("input", { type: "file" }),
    stdin: h("input", { type: "file" }),
    stdout: h("input", { type: "file" }),
  };
  const update = async (): Promise<void> => {
    const receipt = inputs.receipt.files?.[0];
    if (receipt === undefined) return;
    if (receipt.size > MAX_RECEIPT_BYTES) {
      fill(report, h("p", { class: "bad", role: "alert" }, "This file is too large for a receipt"));
      return;
    }
    const files: ReceiptFiles = {};
    for (const name of ["module", "stdin", "stdout"] as const) {
      const file = inputs[name].files?.[0];
      if (file !== undefined) files[name] = new Uint8Array(await file.arrayBuffer());
    }
    fill(report, h("h2", {}, "Result"), await receiptReport(await receipt.text(), files));
  };
  const form = h(
    "form",
    { class: "drop", onchange: () => void update(), onsubmit: (event) => event.preventDefault() },
    h("label", {}, "Receipt (or drop it here)", inputs.receipt),
    h("label", {}, "Module, if you have it", inputs.module),
    h("label", {}, "Standard input, if you have it", inputs.stdin),
    h("label", {}, "Standard output, if you have it", inputs.stdout),
  );
  acceptDrop(form, (files) => {
    inputs.receipt.files = files;
    void update();
  });
  fill(
    main,
    h("h1", {}, "Verify a receipt"),
    h("p", {}, "Everything is checked on this page; nothing is sent."),
    form,
    report,
  );
  return Promise.resolve();
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
