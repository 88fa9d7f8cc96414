/**
 * Verifies evidence for `plasm verify`, and with `--arbitrate` runs its job again to find the false receipts.
 *
 * @module
 */
import { differenceText, type Receipt } from "../core/mod.ts";
import { PlasmError } from "../core/errors/mod.ts";
import {
  arbitrate,
  type Arbitration,
  type Contradiction,
  MAX_EVIDENCE_BYTES,
  parseEvidence,
  type VerifiedEvidence,
  verifyEvidence,
} from "../quorum/mod.ts";
import { escapeText } from "../util/mod.ts";
import type { ParsedArgs } from "./command.ts";
import { readCappedFile } from "./host_files.ts";
import type { CliIo } from "./io.ts";
import { endText, labelled, type Row } from "./receipt_text.ts";
import { NOT_REPRODUCIBLE_STATUS, rerunJob } from "./rerun_job.ts";

/** Maximum length of a printed difference, in characters: fits two hashes. */
const MAX_DIFFERENCE = 400;

/**
 * Verifies the evidence in a file and prints the contradictions. Resolves to the exit status.
 *
 * @throws {PlasmError} `bad-receipt` if it proves no contradiction; with `--arbitrate` as `rerun`
 */
export async function verifyEvidenceFile(
  path: string,
  { args, io }: { args: ParsedArgs; io: CliIo },
): Promise<number> {
  const json = await readCappedFile(path, {
    maxBytes: MAX_EVIDENCE_BYTES,
    code: "bad-input",
    what: "evidence",
    signal: io.signal,
  });
  const verified = await verifyEvidence(parseEvidence(json));
  const verdict = args.flag("arbitrate") ? await arbitrateAgain(verified, { args, io }) : undefined;
  await io.write(
    args.flag("json")
      ? `${JSON.stringify(evidenceJson(verified, verdict))}\n`
      : labelled("evidence verified", [...evidenceRows(verified), ...verdictRows(verdict)]),
  );
  const isDecided = verdict === undefined || verdict.false.length > 0;
  return isDecided ? 0 : NOT_REPRODUCIBLE_STATUS;
}

async function arbitrateAgain(
  { receipts }: VerifiedEvidence,
  context: { args: ParsedArgs; io: CliIo },
): Promise<Arbitration> {
  const { receipt } = await rerunJob({ receipt: receipts[0]!, bundle: undefined }, context);
  if (receipt === undefined) {
    throw new PlasmError("bad-receipt", "Cannot arbitrate: the job did not run to an end");
  }
  return arbitrate(receipts, receipt);
}

function peerOf({ run }: Receipt): string {
  return run.node.peer_id;
}

function evidenceRows({ receipts, contradictions, selfContradicting }: VerifiedEvidence): Row[] {
  const [{ claim }] = receipts as [Receipt];
  const claims = [...Map.groupBy(receipts, ({ run }) => run.claim_hash).values()];
  return [
    ["module", claim.module_hash],
    ["manifest", claim.manifest_hash],
    ["stdin", claim.stdin_hash],
    ...claims.flatMap((group, at): Row[] => [
      [`claim ${at + 1}`, `${endText(group[0]!.claim)}, stdout ${group[0]!.claim.stdout.hash}`],
      ...group.map((receipt): Row => ["  signed by", peerOf(receipt)]),
    ]),
    ...contradictions.map((one): Row => ["contradiction", contradictionText(one, claims)]),
    ...selfContradicting.map((peerId): Row => ["false", `${peerId} signed both`]),
  ];
}

function contradictionText(
  { first, second, difference }: Contradiction,
  claims: readonly Receipt[][],
): string {
  const nameOf = (receipt: Receipt): string =>
    `claim ${claims.findIndex((group) => group.includes(receipt)) + 1}`;
  const text = differenceText(difference, { first: nameOf(first), second: nameOf(second) });
  return escapeText(text, MAX_DIFFERENCE);
}

function verdictRows(verdict: Arbitration | undefined): Row[] {
  if (verdict === undefined) return [];
  return [
    ["new run by", peerOf(verdict.receipt)],
    ...verdict.confirmed.map((receipt): Row => ["confirmed", peerOf(receipt)]),
    ...verdict.false.map((receipt): Row => ["false", peerOf(receipt)]),
    ...verdict.undecided.map((receipt): Row => ["undecided", peerOf(receipt)]),
  ];
}

/** JSON form of verified evidence. */
function evidenceJson(
  { receipts, contradictions, selfContradicting }: VerifiedEvidence,
  verdict: Arbitration | undefined,
): Record<string, unknown> {
  return {
    verified: true,
    receipts,
    contradictions: contradictions.map(({ first, second, difference }) => ({
      nodes: [peerOf(first), peerOf(second)],
      field: difference.field,
      values: [difference.first ?? null, difference.second ?? null],
    })),
    self_contradicting: selfContradicting,
    ...verdict === undefined ? {} : { arbitration: arbitrationJson(verdict) },
  };
}

/** JSON form of a verdict. */
export function arbitrationJson({ receipt, ...verdict }: Arbitration) {
  return {
    receipt: JSON.parse(JSON.stringify(receipt)),
    confirmed: verdict.confirmed.map(peerOf),
    false: verdict.false.map(peerOf),
    undecided: verdict.undecided.map(peerOf),
  };
}

/** Start of an evidence file, in either order of its fields. */
const EVIDENCE_START = /^\s*\{\s*(?:"version"\s*:\s*"[\d.]+"\s*,\s*)?"receipts"/;

/** Bytes from which a file is recognized. */
const START_BYTES = 256;

/** Reports whether a path is a regular file that begins as evidence does. */
export async function isEvidenceFile(path: string): Promise<boolean> {
  try {
    // A named pipe can be read once only.
    if (!(await Deno.stat(path)).isFile) return false;
    using file = await Deno.open(path);
    const start = new Uint8Array(START_BYTES);
    const length = await file.read(start) ?? 0;
    return EVIDENCE_START.test(new TextDecoder().decode(start.subarray(0, length)));
  } catch {
    return false; // reported when it is read
  }
}
