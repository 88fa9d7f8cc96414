/// <reference lib="dom" />
/**
 * The view that verifies a receipt from a file, in the browser alone.
 *
 * @module
 */
import { fill, h } from "./dom.ts";
import { type ReceiptFiles, receiptReport } from "./receipt_report.ts";
import { acceptDrop, type ViewContext } from "./view.ts";

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
      fill(
        report,
        h(
          "p",
          { class: "bad", role: "alert" },
          "This file is too large for a receipt: at most 1 MB",
        ),
      );
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
    h("label", {}, "Module (optional)", inputs.module),
    h("label", {}, "Standard input (optional)", inputs.stdin),
    h("label", {}, "Standard output (optional)", inputs.stdout),
  );
  acceptDrop(form, (files) => {
    inputs.receipt.files = files;
    void update();
  });
  fill(
    main,
    h("h1", {}, "Verify a receipt"),
    h("p", {}, "This page checks everything in the browser; nothing is sent."),
    form,
    report,
  );
  return Promise.resolve();
}
