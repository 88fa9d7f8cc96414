/// <reference lib="dom" />
/**
 * Lists evidence, and verifies it in the browser.
 *
 * @module
 */
import type { EvidenceEntryJson } from "../../../api/mod.ts";
import {
  findClaimDifference,
  parseReceipt,
  type Receipt,
  verifyReceipt,
} from "../../../core/mod.ts";
import { getJson } from "./daemon_api.ts";
import { code, type Column, dataTable, emptyState, facts, fill, h, tableRow } from "./dom.ts";
import { bytesText, timeText } from "./format.ts";
import { errorBox } from "./view.ts";

const COLUMNS: readonly Column[] = ["Found", "Document", { figure: "Size" }, "Receipts"];

/** Lists evidence. */
export function evidenceTable(entries: readonly EvidenceEntryJson[]): HTMLElement {
  if (entries.length === 0) {
    return emptyState("None: no two receipts of a job have contradicted each other.");
  }
  const report = h("div", { role: "status" });
  const check = async (path: string): Promise<void> => {
    try {
      fill(report, await evidenceReport(await getJson(path)));
    } catch (error) {
      fill(report, errorBox(error));
    }
  };
  const rows = entries.map(({ name, at, bytes }) => {
    const path = `/v1/evidence/${encodeURIComponent(name)}`;
    return tableRow(COLUMNS, [
      timeText(at),
      h("a", { href: path, download: name }, name),
      bytesText(bytes),
      h("button", { type: "button", onclick: () => void check(path) }, "Check"),
    ]);
  });
  return h("div", {}, dataTable("Evidence", COLUMNS, rows), report);
}

/** Verifies each receipt and names the first field in which one differs from the first. */
async function evidenceReport({ receipts }: { receipts: unknown[] }): Promise<HTMLElement> {
  const checked: { receipt: Receipt; problem: string | undefined }[] = [];
  for (const one of receipts) {
    const receipt = parseReceipt(JSON.stringify(one));
    const problem = await verifyReceipt(receipt).then(() => undefined, (error) => String(error));
    checked.push({ receipt, problem });
  }
  const first = checked[0]!.receipt;
  return h(
    "ul",
    {},
    ...checked.map(({ receipt, problem }) => {
      const { claim, run } = receipt;
      const difference = findClaimDifference(first.claim, claim);
      return h(
        "li",
        { class: problem === undefined ? undefined : "bad" },
        problem === undefined ? "✓ signed by " : `✗ ${problem}: `,
        code(run.node.peer_id),
        facts({
          Module: code(claim.module_hash),
          Ended: `${claim.status} ${claim.exit_code ?? ""}`,
          stdout: code(claim.stdout.hash),
          Difference: difference === undefined
            ? null
            : `${difference.field} differs from the first`,
        }),
      );
    }),
  );
}
