/**
 * Formats claims and receipts for people, as one labelled value a line.
 *
 * @module
 */
import type { Claim, Receipt } from "../core/mod.ts";
import { escapeText } from "../util/mod.ts";
import { table } from "./daemon_client.ts";

/** A label and its value. */
export type Row = readonly [label: string, value: string];

/** Formats how a run ended. */
export function endText({ status, exit_code }: Pick<Claim, "status" | "exit_code">): string {
  return exit_code === null ? status : `${status} with code ${exit_code}`;
}

/** Rows of a claim: what every node that runs the job should agree on. */
export function claimRows(claim: Claim): Row[] {
  const content = ({ hash, bytes }: Claim["stdout"]): string => `${hash}, ${bytes} bytes`;
  return [
    ["status", endText(claim)],
    ["module", claim.module_hash],
    ["manifest", claim.manifest_hash],
    ["stdin", claim.stdin_hash],
    ["stdout", content(claim.stdout)],
    ["stderr", content(claim.stderr)],
    ...Object.entries(claim.outputs).map(([path, output]): Row => [
      "output",
      `${content(output)}  ${escapeText(path)}`,
    ]),
    ["profile", claim.profile],
    ...claim.fuel === undefined ? [] : [["fuel", String(claim.fuel)] as const],
    ["sources", claim.nondeterminism.join(", ") || "none: depends on its inputs only"],
  ];
}

/** Rows of a run: what only the node that signed the receipt knows. */
export function runRows({ run }: Receipt): Row[] {
  const { usage, runtime, node } = run;
  return [
    ["job", run.job_id],
    ["node", node.peer_id],
    ["key", node.public_key],
    ["nonce", run.nonce],
    ["runtime", `${runtime.name} ${runtime.version}, ${runtime.engine}, ${runtime.arch}`],
    ["started", run.started_at],
    ["finished", run.finished_at],
    [
      "used",
      `${usage.wall_time_ms} ms wall, ${usage.cpu_time_ms} ms CPU, ${usage.memory_peak_bytes} bytes`,
    ],
  ];
}

/** Formats rows below a headline. */
export function labelled(headline: string, rows: readonly Row[]): string {
  return `${headline}\n${table(rows)}`;
}
