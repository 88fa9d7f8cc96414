/// <reference lib="dom" />
/**
 * Verifies a receipt in the browser, and shows each check.
 *
 * @module
 */
import {
  parseReceipt,
  type Receipt,
  type ReceiptExpectations,
  verifyReceipt,
} from "../../../core/mod.ts";
import { code, details, facts, h, jsonBlock } from "./dom.ts";
import { bytesText } from "./format.ts";

/** Files that belong to a receipt, if there are any: each is one more check. */
export type ReceiptFiles = Partial<Record<"module" | "stdin" | "stdout" | "stderr", Uint8Array>>;

/** Reports whether a receipt is valid, and what it claims. */
export async function receiptReport(text: string, files: ReceiptFiles = {}): Promise<HTMLElement> {
  let receipt: Receipt;
  try {
    receipt = parseReceipt(text);
  } catch (error) {
    return h("p", { class: "bad", role: "status" }, problemOf(error));
  }
  const checks = await Promise.all([
    check("signatures of claim and run", receipt, {}),
    ...Object.entries(files).map(([name, data]) =>
      check(`${name} is what the receipt names`, receipt, { [name]: data })
    ),
  ]);
  const { claim, run } = receipt;
  return h(
    "div",
    {},
    h("div", { role: "status" }, h("ul", { class: "plain" }, ...checks)),
    facts({
      Status: claim.status,
      "Exit code": claim.exit_code,
      Profile: claim.profile,
      "Depends on": claim.nondeterminism.join(", ") || "its input only",
      Node: code(run.node.peer_id),
      "Public key": code(run.node.public_key),
      Module: code(claim.module_hash),
      stdout: code(claim.stdout.hash),
      Length: bytesText(claim.stdout.bytes),
    }),
    details("Document", jsonBlock(receipt)),
  );
}

async function check(
  name: string,
  receipt: Receipt,
  expected: ReceiptExpectations,
): Promise<HTMLElement> {
  try {
    await verifyReceipt(receipt, expected);
    return h("li", { class: "good" }, `✓ ${name}`);
  } catch (error) {
    return h("li", { class: "bad" }, `✗ ${name}: ${problemOf(error)}`);
  }
}

function problemOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
